import { fstatSync, readlinkSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { findAbove, identityOf, openIfPossible } from "./ancestry.ts";
import { refuseInCache } from "./cache-places.ts";
import type { Directory } from "./directory.ts";
import type { Identity } from "./identity.ts";
import { mostLinks } from "./links.ts";
import { mountIdOf } from "./mounts.ts";
import { prefixesOf } from "./prefixes.ts";
import { orAsSecondUser } from "./second-user.ts";

/** Directories in which others may put links. */
export interface SharedPlaces {
  readonly layersDir: string;
  readonly kanikoDir: string;
  readonly cacheDirs: readonly string[];
}

/** One of them, by name and as it stands. */
interface Place {
  readonly label: string;
  readonly identity: Identity;
}

/**
 * Bounds for what is written outside of layers: a path that leads through a directory in which others may put links must end
 * in it. Directories are told by what they are, by whatever name or mount they are reached.
 */
export class Bounds {
  readonly #places: readonly Place[];

  constructor({ layersDir, kanikoDir, cacheDirs }: SharedPlaces) {
    this.#places = [
      ...placeAt(layersDir, "the layers directory"),
      ...placeAt(kanikoDir, "the kaniko directory"),
      ...cacheDirs.flatMap((dir) => placeAt(dir, "the cache directory")),
    ];
  }

  /** Throws where the directory of a path lies outside of what the path leads through, or in what a cache holds. */
  check(path: string, directory: Directory): void {
    refuseInCache(directory);
    const left = this.#passed(dirname(resolve(path))).find((place) => !liesIn(directory, place));
    if (left !== undefined) throw new Error(`a link in its path leads out of ${left.label}`);
  }

  /** By which place a link may not be followed to what a handle is on, in words; undefined where it may. */
  refusal(directory: Directory, name: string, handle: number): string | undefined {
    const end = openIfPossible(dirname(readlinkSync(`/proc/self/fd/${handle}`)));
    try {
      if (end !== undefined) refuseInCache(end);
      const { nlink } = fstatSync(handle);
      const passed = this.#passedByLinks(directory, name);
      return passed.find((place) => nlink > 1 || end === undefined || !liesIn(end, place, mountIdOf(handle)))?.label;
    } finally {
      end?.close();
    }
  }

  /** The places through which a link leads, and the links that it leads to. */
  #passedByLinks(directory: Directory, name: string): Place[] {
    const passed = new Set<Place>();
    let path = join(directory.realPath, name);
    for (let links = 0; links < mostLinks; links++) {
      for (const place of this.#passed(dirname(path))) passed.add(place);
      const target = linkAt(path);
      if (target === undefined) break;
      path = resolve(realDirectoryOf(path), target);
    }
    return [...passed];
  }

  /** The places through which the path of a directory leads. */
  #passed(path: string): Place[] {
    const passed = new Set<Place>();
    for (const prefix of prefixesOf(path)) {
      const directory = openIfPossible(prefix);
      if (directory === undefined) break;
      for (const place of this.#places) if (liesIn(directory, place)) passed.add(place);
      directory.close();
    }
    return [...passed];
  }
}

function placeAt(path: string, label: string): Place[] {
  return identityOf(path).map((identity) => ({ label, identity }));
}

/** Whether a directory lies in a place; with `mountId`, on the very mount by which the place was reached. */
function liesIn(directory: Directory, { identity }: Place, mountId?: string): boolean {
  const answer = findAbove(directory, (at) => {
    if (!at.isSame(identity)) return undefined;
    return mountId === undefined || at.mountId === mountId;
  });
  return answer === true;
}

function realDirectoryOf(path: string): string {
  const directory = openIfPossible(dirname(path));
  const real = directory?.realPath ?? dirname(path);
  directory?.close();
  return real;
}

function linkAt(path: string): string | undefined {
  try {
    return orAsSecondUser(() => readlinkSync(join(realDirectoryOf(path), basename(path))));
  } catch {
    return undefined;
  }
}
