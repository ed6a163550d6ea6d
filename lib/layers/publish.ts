import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { type Directory, isMountPoint } from "../disk/directory.ts";
import { Staging } from "../disk/staging.ts";
import { errorCode, hasCode } from "../errors.ts";
import { cannotWrite } from "../failures.ts";
import type { Log } from "../log.ts";
import { quote } from "../text.ts";
import type { SbomFile } from "./sbom.ts";

/** A layer that cannot take its place though the disk is fine; costs this layer only. */
export class PlaceError extends Error {
  override readonly name = "PlaceError";
}

/** What stands of a layer beside its directory. */
const isSbomOf = (layer: string) => (name: string) =>
  name.startsWith(`${layer}.sbom.`) && /^[A-Za-z0-9_-]+\.json$/.test(name.slice(layer.length + 6));

/**
 * The directory of one buildpack below the layers directory, where layers are published: everything is made in a staging
 * directory first and moved into place by rename, `<layer>.toml` last, so that a crash leaves no toml without its layer.
 * Methods throw RestorerErrors (exit 42) when the disk does not let them, and PlaceErrors.
 */
export class BuildpackDirectory {
  readonly #directory: Directory;
  /** On the same file system as the buildpack's directory, or renames would fail. */
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
      this.#ownsStaging = isMountPoint(this.#directory);
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
      const staged = this.#stageText(toml);
      for (const { suffix, path } of this.#stageSboms(sboms)) this.#replace(path, `${layer}.${suffix}`);
      this.#replace(staged, `${layer}.toml`);
    });
  }

  /** Replaces a layer by the directory at `root`, which gets mode `rootMode`, with its toml and SBOM files. */
  publishLayer(layer: string, root: string, rootMode: number, toml: string, sboms: readonly SbomFile[]): void {
    this.#guard(layer, () => {
      const staged = this.#stageText(toml);
      const stagedSboms = this.#stageSboms(sboms);
      const fd = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      try {
        this.#clear(layer, () => renameSync(root, this.#directory.at(layer)));
        // Only now: a directory that its owner may not write cannot be renamed.
        if (rootMode !== 0o700) fchmodSync(fd, rootMode);
      } finally {
        closeSync(fd);
      }
      for (const { suffix, path } of stagedSboms) this.#replace(path, `${layer}.${suffix}`);
      this.#replace(staged, `${layer}.toml`);
    });
  }

  /** Removes all that stands of a layer: directory, toml, SBOM files, and the `.sha` of old lifecycles. */
  removeLayer(layer: string): void {
    this.#guard(layer, () => this.#clear(layer, () => {}));
  }

  /** Removes what stands of a layer, toml first, and then puts another in its place. */
  #clear(layer: string, putInPlace: () => void): void {
    this.#discard(`${layer}.toml`);
    // A directory of such a name is a layer of its own.
    const files = this.#directory.list().filter(({ isDirectory }) => !isDirectory);
    for (const { name } of files) if (name === `${layer}.sha` || isSbomOf(layer)(name)) this.#discard(name);
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
      // Another restorer may do the same at this moment.
      if (errorCode(error) !== "ENOENT") throw error;
    }
  }

  #moveAside(name: string): void {
    const path = this.#directory.at(name);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return;
    if (!stat.isDirectory()) {
      unlinkSync(path);
      return;
    }
    try {
      this.#staging.discard(path);
    } catch (error) {
      if (errorCode(error) === "EBUSY")
        throw new PlaceError("its directory is a mount point, which cannot be replaced");
      if (errorCode(error) !== "EACCES" || (stat.mode & 0o200) !== 0) throw error;
      // A directory that its owner may not write cannot be renamed.
      chmodSync(path, (stat.mode & 0o7777) | 0o700);
      this.#staging.discard(path);
    }
  }

  /** Moves a staged file into place, over whatever stands there. */
  #replace(staged: string, name: string): void {
    try {
      renameSync(staged, this.#directory.at(name));
    } catch (error) {
      if (!hasCode(error, "EISDIR", "ENOTEMPTY", "EEXIST")) throw error;
      this.#discard(name);
      renameSync(staged, this.#directory.at(name));
    }
  }

  #stageText(content: string): string {
    const path = this.#staging.slot();
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const fd = openSync(path, flags, 0o666 & ~this.#umask);
    try {
      const bytes = Buffer.from(content);
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
      // Nowhere else: on the disk before its layer, it would outlive a power cut that the layer does not.
      if (this.#staging.writesBehind) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    return path;
  }

  #stageSboms(sboms: readonly SbomFile[]): { suffix: string; path: string }[] {
    return sboms.map(({ suffix, fd }) => {
      const path = this.#staging.slot();
      copyFileSync(`/proc/self/fd/${fd}`, path, constants.COPYFILE_EXCL);
      chmodSync(path, 0o666 & ~this.#umask);
      return { suffix, path };
    });
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
  const path = layers.at(name);
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true) {
    log.warn(`removing ${quote(`${layers.path}/${name}`)}, a symbolic link in the place of a buildpack's directory`);
    unlinkSync(path);
  }
  try {
    mkdirSync(path, 0o777 & ~umask);
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
  }
  return layers.open(name);
}
