import type { Directory } from "../disk/directory.ts";
import { MountError } from "../disk/removal.ts";
import { type Slot, Staging } from "../disk/staging.ts";
import { InPlace, Staged, type Workplace } from "../disk/workplace.ts";
import { hasCode } from "../errors.ts";
import { cannotWrite } from "../failures.ts";
import type { Log } from "../log.ts";
import { openOrMakePlace } from "./buildpack-place.ts";
import { LayerFiles } from "./layer-files.ts";
import { maxNameBytes } from "./names.ts";
import { mountedAt, PlaceError, placeTaken, refuseLinked, refuseMountedFiles, refuseTaken } from "./place.ts";
import type { SbomFile } from "./sbom.ts";

/**
 * The directory of one buildpack below the layers directory, where layers are published: everything is made in a staging
 * directory first and moved into place by rename, `<layer>.toml` last, so that a crash leaves no toml without its layer.
 * Where directories cannot be renamed a layer is made in its place instead. Methods throw RestorerErrors (exit 42) when the
 * disk does not let them, and PlaceErrors.
 */
export class BuildpackDirectory {
  readonly #directory: Directory;
  /**
   * On the same file system as the buildpack's directory, or renames would fail, and where new files get the same group
   * (D22).
   */
  readonly #staging: Staging;
  readonly #ownsStaging: boolean;
  readonly #name: string;
  readonly #umask: number;
  readonly #files: LayerFiles;

  constructor(layers: Directory, name: string, staging: Staging, umask: number, log: Log) {
    this.#umask = umask;
    this.#name = name;
    this.#directory = openOrMakePlace(layers, name, umask, log);
    this.#files = new LayerFiles(this.#directory);
    const isMount = this.#directory.mountId !== layers.mountId;
    try {
      const hasOwnGroup = this.#directory.groupForContents !== layers.groupForContents;
      this.#ownsStaging = hasOwnGroup || isMount;
      this.#staging = this.#ownsStaging ? new Staging(this.#directory) : staging;
    } catch (error) {
      this.#directory.close();
      const hint = isMount && hasCode(error, "EACCES") ? mountHint : undefined;
      throw cannotWrite(`${layers.path}/${name}`, error, hint);
    }
  }

  /** Where to make the directory of a layer. Where that is in its place nothing stands of the layer any more. */
  workplace(layer: string): Workplace {
    if (this.#staging.movesDirectories) return new Staged(this.#staging);
    return this.#guard(layer, () => {
      refuseTaken(this.#directory, layer);
      this.#refuseLinked(layer, []);
      const mark = this.#staging.mark(this.#ownsStaging ? [] : [this.#name], [`${layer}.toml`, layer]);
      return this.#clear(layer, () => new InPlace(this.#directory, layer, mark, this.#staging));
    });
  }

  close(): void {
    if (this.#ownsStaging) this.#staging.dispose();
    this.#directory.close();
  }

  /** Writes a file such as store.toml. */
  writeFile(name: string, content: string): void {
    this.#guard(name, () => {
      this.#refuseLinked(name, []);
      this.#replace(this.#stageText(content), name);
    });
  }

  /** Before anything of a layer is touched: what a link of the cache leads to stays, and the layer with it. */
  #refuseLinked(layer: string, sboms: readonly SbomFile[]): void {
    const beside = sboms.map(({ suffix }) => `${layer}.${suffix}`);
    refuseLinked(this.#directory, [layer, `${layer}.toml`, ...this.#files.ofLayer(layer), ...beside]);
  }

  /** Writes `<layer>.toml` and SBOM files; the directory of the layer is left as it stands. */
  publishMetadata(layer: string, toml: string, sboms: readonly SbomFile[]): void {
    this.#guard(layer, () => {
      checkNames(layer, sboms);
      refuseMountedFiles(this.#directory, layer);
      this.#refuseLinked(layer, sboms);
      const staged = this.#stageText(toml);
      for (const { suffix, slot } of this.#stageSboms(sboms)) this.#replace(slot, `${layer}.${suffix}`);
      this.#replace(staged, `${layer}.toml`);
    });
  }

  /**
   * Replaces a layer by the directory made in a workplace, which gets mode `rootMode`, with its toml and SBOM files. False
   * where the file system does not rename directories: then nothing is left of it, and the next workplace will be in its
   * place.
   */
  publishLayer(layer: string, place: Workplace, rootMode: number, toml: string, sboms: readonly SbomFile[]): boolean {
    return this.#guard(layer, () => {
      checkNames(layer, sboms);
      this.#refuseLinked(layer, sboms);
      const staged = this.#stageText(toml);
      const stagedSboms = this.#stageSboms(sboms);
      if (place.isMade) this.#finishRoot(place, rootMode);
      else if (!this.#publishRoot(layer, place, rootMode)) return false;
      for (const sbom of stagedSboms) this.#replace(sbom.slot, `${layer}.${sbom.suffix}`);
      this.#replace(staged, `${layer}.toml`);
      if (place.isMade) this.#complete(layer, place);
      return true;
    });
  }

  #publishRoot(layer: string, place: Staged, mode: number): boolean {
    refuseTaken(this.#directory, layer);
    const root = this.#staging.directory.open(place.slot.name);
    try {
      const isMoved = this.#clear(layer, () => this.#staging.publish(place.slot, this.#directory, layer));
      if (isMoved) this.#refuseSwept(layer);
      // Only now: a directory that its owner may not write cannot be renamed.
      if (isMoved) this.#setModeOfMoved(layer, root, mode);
      else place.remove();
      return isMoved;
    } finally {
      root.close();
    }
  }

  /** Before its toml: what another run may have emptied meanwhile does not stay. */
  #refuseSwept(layer: string): void {
    if (!this.#staging.isSwept) return;
    this.#discard(layer);
    throw new Error("another restorer took this one for dead, and removes what it makes");
  }

  /** A layer that cannot have its mode does not stay. */
  #setModeOfMoved(layer: string, root: Directory, mode: number): void {
    try {
      root.ensureMode(mode);
    } catch (error) {
      this.#discard(layer);
      throw error;
    }
  }

  #finishRoot(place: InPlace, mode: number): void {
    if (!place.isInPlace) throw new Error(begunAnew);
    place.root.ensureMode(mode);
  }

  /** Looks again, now that the toml is there: it must not stand beside what another run has only begun. */
  #complete(layer: string, place: InPlace): void {
    if (!place.isInPlace) {
      this.#discard(`${layer}.toml`);
      throw new Error(begunAnew);
    }
    place.complete();
  }

  /** Removes all that stands of a layer: directory, toml, SBOM files, and the `.sha` of old lifecycles. */
  removeLayer(layer: string): void {
    this.#guard(layer, () => {
      refuseTaken(this.#directory, layer);
      this.#refuseLinked(layer, []);
      this.#clear(layer, () => {});
    });
  }

  /** Removes what stands of a layer, toml first, and then puts another in its place. */
  #clear<T>(layer: string, putInPlace: () => T): T {
    this.#discard(`${layer}.toml`);
    for (const name of this.#files.ofLayer(layer)) this.#discard(name);
    // Another restorer may put its copy there at any time.
    for (let attempt = 1; ; attempt++) {
      try {
        this.#discard(layer);
        return putInPlace();
      } catch (error) {
        if (attempt === 10 || !hasCode(error, "EEXIST", "EISDIR", "ENOTEMPTY", "ENOTDIR")) throw error;
      }
    }
  }

  #discard(name: string): void {
    try {
      this.#moveAside(name);
    } catch (error) {
      if (hasCode(error, "EBUSY")) throw placeTaken(error);
      // Another restorer may do the same at this moment.
      if (!hasCode(error, "ENOENT")) throw error;
    }
  }

  #moveAside(name: string): void {
    // Mostly nothing stands there, and the exception of opening it would take longer than all the rest.
    if (this.#directory.stat(name) === undefined) return;
    const directory = this.#directory.openIfThere(name);
    if (directory === undefined) {
      this.#directory.unlink(name);
      return;
    }
    try {
      this.#staging.discard(this.#directory, name);
    } catch (error) {
      if (error instanceof MountError) throw placeTaken(error);
      const { mode } = directory.ownStat();
      if (!hasCode(error, "EACCES") || (mode & 0o200) !== 0) throw error;
      // A directory that its owner may not write cannot be renamed.
      directory.setMode((mode & 0o7777) | 0o700);
      this.#staging.discard(this.#directory, name);
    } finally {
      directory.close();
    }
  }

  /** Moves a staged file into place, over whatever stands there. */
  #replace(slot: Slot, name: string): void {
    this.#files.add(name);
    try {
      this.#staging.publishFile(slot, this.#directory, name);
    } catch (error) {
      if (hasCode(error, "EBUSY")) throw mountedAt(this.#directory, name);
      if (!hasCode(error, "EISDIR", "ENOTEMPTY", "EEXIST")) throw error;
      this.#discard(name);
      this.#staging.publishFile(slot, this.#directory, name);
    }
  }

  #stageText(content: string): Slot {
    return this.#staging.write(Buffer.from(content), 0o666 & ~this.#umask);
  }

  #stageSboms(sboms: readonly SbomFile[]): { suffix: string; slot: Slot }[] {
    return sboms.map(({ suffix, fd }) => ({ suffix, slot: this.#staging.copy(fd, 0o666 & ~this.#umask) }));
  }

  #guard<T>(name: string, act: () => T): T {
    try {
      return this.#files.changing(act);
    } catch (error) {
      if (error instanceof PlaceError) throw error;
      throw cannotWrite(`${this.#directory.path}/${name}`, error);
    }
  }
}

const mountHint =
  "Something is mounted there, and keeps its owner: make it writable for the user the restorer runs as (see -uid and -gid), or unmount it.";

const begunAnew =
  "another restorer makes the same layer; on a file system that does not rename directories only one can run at a time";

/** A layer's name may leave room for its toml, but not for the longer names of its SBOM files. */
function checkNames(layer: string, sboms: readonly SbomFile[]): void {
  const tooLong = sboms.find(({ suffix }) => Buffer.byteLength(`${layer}.${suffix}`) > maxNameBytes);
  if (tooLong === undefined) return;
  throw new PlaceError(
    `with ".${tooLong.suffix}" behind it the layer name is longer than ${maxNameBytes} bytes`,
    "unsafe-name",
  );
}
