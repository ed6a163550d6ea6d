import type { Directory } from "../disk/directory.ts";
import { openOrMakeNested } from "../disk/nested.ts";
import { MountError, refuseMounts } from "../disk/removal.ts";
import { hasStaging, Staging, sweepStaging } from "../disk/staging.ts";
import { describe, hasCode } from "../errors.ts";
import { cannotWrite } from "../failures.ts";
import type { Log } from "../log.ts";
import { quote } from "../text.ts";
import { refuseLayersPlace } from "./buildpack-place.ts";
import { BuildpackDirectory } from "./publish.ts";

/**
 * The layers directory while a run works in it: its staging directory, the directories of buildpacks, and what is to be
 * cleaned up. Methods throw RestorerErrors (exit 42) when the disk does not let them.
 */
export class LayersDirectory {
  readonly #directory: Directory;
  readonly #umask: number;
  readonly #log: Log;
  #staging: Staging | undefined;
  /** Directories of buildpacks that were not there before. */
  readonly #made = new Set<string>();
  /** Directories of buildpacks that are in use, and the one that was used last, for the next layer is likely to be there, too. */
  readonly #open = new Map<string, { readonly buildpack: BuildpackDirectory; users: number }>();
  #last: string | undefined;

  constructor(directory: Directory, umask: number, log: Log) {
    this.#directory = directory;
    this.#umask = umask;
    this.#log = log;
  }

  /** Made when it is first needed. */
  get staging(): Staging {
    try {
      this.#staging ??= new Staging(this.#directory);
    } catch (error) {
      throw cannotWrite(this.#directory.path, error);
    }
    return this.#staging;
  }

  /**
   * Removes what killed runs left behind, in the layers directory and in those directories of the layers' buildpacks that
   * are mounts.
   */
  sweep(layers: readonly { readonly directory: string }[]): void {
    const buildpacks = new Set<string>();
    for (const { directory } of layers) buildpacks.add(directory);
    try {
      sweepStaging(this.#directory, this.#log);
      for (const name of buildpacks) {
        const directory = this.#directory.openIfThere(name);
        if (directory === undefined) continue;
        sweepStaging(directory, this.#log);
        directory.close();
      }
    } catch (error) {
      throw cannotWrite(this.#directory.path, error);
    }
  }

  /** Whether a buildpack has a directory. */
  has(name: string): boolean {
    return this.#directory.stat(name)?.isDirectory() === true;
  }

  /** Opens the directory of a buildpack, made as needed, for use until `leaveBuildpack`. */
  enterBuildpack(name: string): BuildpackDirectory {
    const open = this.#open.get(name) ?? { buildpack: this.#openBuildpack(name), users: 0 };
    this.#open.set(name, open);
    open.users += 1;
    return open.buildpack;
  }

  leaveBuildpack(name: string): void {
    const open = this.#open.get(name);
    if (open === undefined) return;
    open.users -= 1;
    if (open.users > 0 || this.#last === name) return;
    this.#closeLast();
    this.#last = name;
  }

  /** Acts in a buildpack's directory. */
  inBuildpack(name: string, act: (buildpack: BuildpackDirectory) => void): void {
    const buildpack = this.enterBuildpack(name);
    try {
      act(buildpack);
    } finally {
      this.leaveBuildpack(name);
    }
  }

  #openBuildpack(name: string): BuildpackDirectory {
    if (this.#directory.stat(name) === undefined) this.#made.add(name);
    return new BuildpackDirectory(this.#directory, name, this.staging, this.#umask, this.#log);
  }

  /** Opens `<layers>/sbom`; undefined where no directory stands there. */
  openSboms(): Directory | undefined {
    return this.#directory.openIfThere("sbom");
  }

  /** Removes `<layers>/sbom`, whatever it is. */
  removeSboms(): void {
    try {
      const stat = this.#directory.stat("sbom");
      if (stat === undefined) return;
      refuseMounts(this.#directory, "sbom");
      if (stat.isDirectory()) this.staging.discard(this.#directory, "sbom");
      else this.#directory.unlink("sbom");
    } catch (error) {
      if (error instanceof MountError || hasCode(error, "EBUSY")) {
        this.#log.warn(`Not removing ${quote(`${this.#directory.path}/sbom`)}: ${describe(error)}`, "not-removed");
      } else if (!hasCode(error, "ENOENT")) {
        // Another restorer may do the same at this moment.
        throw cannotWrite(`${this.#directory.path}/sbom`, error);
      }
    }
  }

  /** Cleans up; what cannot be cleaned up is told, but does not change how the run ends. */
  end(): void {
    this.cleanUp(() => this.#closeLast());
    this.cleanUp(() => this.#staging?.dispose());
    this.cleanUp(() => this.#removeEmpty());
  }

  /** Removes something that is not wanted any more; what does not go is told. */
  cleanUp(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#log.warn(`Cannot clean up below ${quote(this.#directory.path)}: ${describe(error)}`, "not-removed");
    }
  }

  #closeLast(): void {
    const open = this.#last === undefined ? undefined : this.#open.get(this.#last);
    if (this.#last === undefined || open === undefined || open.users > 0) return;
    this.#open.delete(this.#last);
    this.#last = undefined;
    open.buildpack.close();
  }

  /** Removes directories made for layers of which none came, unless another restorer may be about to fill them. */
  #removeEmpty(): void {
    if (this.#made.size === 0 || hasStaging(this.#directory)) return;
    for (const name of this.#made) removeIfEmpty(this.#directory, name);
  }
}

function removeIfEmpty(parent: Directory, name: string): void {
  try {
    parent.removeEmpty(name);
  } catch (error) {
    if (!hasCode(error, "ENOTEMPTY", "EEXIST", "ENOENT")) throw error;
  }
}

/**
 * Opens the layers directory, made as needed; it may be a link itself (a mounted volume), unless that lies in `shared`, where
 * others write. Throws a RestorerError (exit 42).
 */
export function openLayersDirectory(path: string, umask: number, shared: readonly string[]): Directory {
  try {
    const directory = openOrMakeNested(path, shared, 0o777 & ~umask);
    refuseLayersPlace(directory);
    return directory;
  } catch (error) {
    throw cannotWrite(path, error);
  }
}
