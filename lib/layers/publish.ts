import type { Directory } from "../disk/directory.ts";
import { MountError, refuseMounts } from "../disk/removal.ts";
import { type Slot, Staging } from "../disk/staging.ts";
import { describe, hasCode } from "../errors.ts";
import { cannotWrite } from "../failures.ts";
import type { Log } from "../log.ts";
import { quote } from "../text.ts";
import { isSbomFileOf, maxNameBytes } from "./names.ts";
import type { OutcomeCode } from "./outcomes.ts";
import type { SbomFile } from "./sbom.ts";

/** A layer that cannot take its place though the disk is fine; costs this layer only. */
export class PlaceError extends Error {
  override readonly name = "PlaceError";
  readonly code: OutcomeCode;

  constructor(message: string, code: OutcomeCode = "place-taken") {
    super(message);
    this.code = code;
  }
}

/**
 * The directory of one buildpack below the layers directory, where layers are published: everything is made in a staging
 * directory first and moved into place by rename, `<layer>.toml` last, so that a crash leaves no toml without its layer.
 * Methods throw RestorerErrors (exit 42) when the disk does not let them, and PlaceErrors.
 */
export class BuildpackDirectory {
  readonly #directory: Directory;
  /**
   * On the same file system as the buildpack's directory, or renames would fail; and where new files get the same group
   * (D22).
   */
  readonly #staging: Staging;
  readonly #ownsStaging: boolean;
  readonly #umask: number;

  constructor(layers: Directory, name: string, staging: Staging, umask: number, log: Log) {
    this.#umask = umask;
    try {
      this.#directory = openOrMake(layers, name, umask, log);
    } catch (error) {
      throw cannotWrite(`${layers.path}/${name}`, error);
    }
    try {
      const hasOwnGroup = this.#directory.groupForContents !== layers.groupForContents;
      this.#ownsStaging = hasOwnGroup || this.#directory.mountId !== layers.mountId;
      this.#staging = this.#ownsStaging ? new Staging(this.#directory) : staging;
    } catch (error) {
      this.#directory.close();
      throw cannotWrite(`${layers.path}/${name}`, error);
    }
  }

  /** Where to make layers of this buildpack. */
  get staging(): Staging {
    return this.#staging;
  }

  close(): void {
    if (this.#ownsStaging) this.#staging.dispose();
    this.#directory.close();
  }

  /** Writes a file such as store.toml. */
  writeFile(name: string, content: string): void {
    this.#guard(name, () => this.#replace(this.#stageText(content), name));
  }

  /** Writes `<layer>.toml` and SBOM files; the directory of the layer is left as it stands. */
  publishMetadata(layer: string, toml: string, sboms: readonly SbomFile[]): void {
    this.#guard(layer, () => {
      checkNames(layer, sboms);
      const staged = this.#stageText(toml);
      for (const { suffix, slot } of this.#stageSboms(sboms)) this.#replace(slot, `${layer}.${suffix}`);
      this.#replace(staged, `${layer}.toml`);
    });
  }

  /** Replaces a layer by the directory in `slot`, which gets mode `rootMode`, with its toml and SBOM files. */
  publishLayer(layer: string, slot: Slot, rootMode: number, toml: string, sboms: readonly SbomFile[]): void {
    this.#guard(layer, () => {
      checkNames(layer, sboms);
      this.#refuseMounts(layer);
      const staged = this.#stageText(toml);
      const stagedSboms = this.#stageSboms(sboms);
      const root = this.#staging.directory.open(slot.name);
      try {
        this.#clear(layer, () => this.#staging.publish(slot, this.#directory, layer));
        // Only now: a directory that its owner may not write cannot be renamed.
        if (rootMode !== 0o700 || this.#staging.inheritsGroup) root.setMode(rootMode);
      } finally {
        root.close();
      }
      for (const sbom of stagedSboms) this.#replace(sbom.slot, `${layer}.${sbom.suffix}`);
      this.#replace(staged, `${layer}.toml`);
    });
  }

  /** Removes all that stands of a layer: directory, toml, SBOM files, and the `.sha` of old lifecycles. */
  removeLayer(layer: string): void {
    this.#guard(layer, () => {
      this.#refuseMounts(layer);
      this.#clear(layer, () => {});
    });
  }

  /** A layer that holds a mount stays whole, its toml included. */
  #refuseMounts(layer: string): void {
    try {
      refuseMounts(this.#directory, layer);
    } catch (error) {
      if (error instanceof MountError) throw mountInTheWay(error);
      throw error;
    }
  }

  /** Removes what stands of a layer, toml first, and then puts another in its place. */
  #clear(layer: string, putInPlace: () => void): void {
    this.#discard(`${layer}.toml`);
    // A directory of such a name is a layer of its own.
    const files = this.#directory.list().filter(({ isDirectory }) => !isDirectory);
    for (const { name } of files) if (name === `${layer}.sha` || isSbomFileOf(layer, name)) this.#discard(name);
    // Another restorer may put its copy there at any time.
    for (let attempt = 1; ; attempt++) {
      this.#discard(layer);
      try {
        putInPlace();
        return;
      } catch (error) {
        if (attempt === 10 || !hasCode(error, "EEXIST", "ENOTEMPTY", "ENOTDIR")) throw error;
      }
    }
  }

  #discard(name: string): void {
    try {
      this.#moveAside(name);
    } catch (error) {
      if (hasCode(error, "EBUSY")) throw mountInTheWay(error);
      // Another restorer may do the same at this moment.
      if (!hasCode(error, "ENOENT")) throw error;
    }
  }

  #moveAside(name: string): void {
    const directory = this.#directory.openIfThere(name);
    if (directory === undefined) {
      if (this.#directory.stat(name) !== undefined) this.#directory.unlink(name);
      return;
    }
    try {
      this.#staging.discard(this.#directory, name);
    } catch (error) {
      if (error instanceof MountError) throw mountInTheWay(error);
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
    try {
      this.#staging.publish(slot, this.#directory, name);
    } catch (error) {
      if (!hasCode(error, "EISDIR", "ENOTEMPTY", "EEXIST")) throw error;
      this.#discard(name);
      this.#staging.publish(slot, this.#directory, name);
    }
  }

  #stageText(content: string): Slot {
    return this.#staging.write(Buffer.from(content), 0o666 & ~this.#umask);
  }

  #stageSboms(sboms: readonly SbomFile[]): { suffix: string; slot: Slot }[] {
    return sboms.map(({ suffix, fd }) => ({ suffix, slot: this.#staging.copy(fd, 0o666 & ~this.#umask) }));
  }

  #guard(name: string, act: () => void): void {
    try {
      act();
    } catch (error) {
      if (error instanceof PlaceError) throw error;
      throw cannotWrite(`${this.#directory.path}/${name}`, error);
    }
  }
}

function openOrMake(layers: Directory, name: string, umask: number, log: Log): Directory {
  if (layers.stat(name)?.isSymbolicLink() === true) {
    log.warn(`removing ${quote(`${layers.path}/${name}`)}, a symbolic link in the place of a buildpack's directory`);
    layers.unlink(name);
  }
  return layers.openOrMake(name, 0o777 & ~umask);
}

/** A layer's name may leave room for its toml, but not for the longer names of its SBOM files. */
function checkNames(layer: string, sboms: readonly SbomFile[]): void {
  const tooLong = sboms.find(({ suffix }) => Buffer.byteLength(`${layer}.${suffix}`) > maxNameBytes);
  if (tooLong === undefined) return;
  throw new PlaceError(
    `with ".${tooLong.suffix}" behind it the layer name is longer than ${maxNameBytes} bytes`,
    "unsafe-name",
  );
}

function mountInTheWay(error: unknown): PlaceError {
  const why = error instanceof MountError ? describe(error) : "its directory is a mount point";
  return new PlaceError(`${why}, so that what stands there cannot be replaced`);
}
