import { dirname, join, relative } from "node:path";
import { findAbove, identityOf, openIfPossible } from "./ancestry.ts";
import type { Directory } from "./directory.ts";
import { type Identity, isSame, keyOf } from "./identity.ts";
import { linkedFiles } from "./linked-files.ts";
import { followLinks, type PassedLink } from "./links.ts";
import { type Mount, mounts, type PlaceOnDevice, placeOn } from "./mounts.ts";
import { orAsSecondUser } from "./second-user.ts";

/** Where a cache lies: nothing there is given to anybody, removed, moved or written, whatever it is nested in. */
export interface CachePlaces {
  /** The directories that were named; what else is in them may be anything. */
  readonly root: readonly Identity[];
  /** Where the contents are. */
  readonly contents: readonly Identity[];
  /** Files elsewhere that links in the contents lead to, and all links that lead to something of it. */
  readonly linked: readonly Identity[];
}

/** Of a volume cache, and of an image in an OCI layout. */
const contentNames = ["committed", "committed-backup", "blobs", "blobs/sha256"];

function contentsOf(cacheDir: string): string[] {
  return contentNames.map((name) => `${cacheDir}/${name}`);
}

/** Where the caches of some directories lie. What cannot be opened now is told when it is read. */
export function cachePlaces(cacheDirs: readonly string[]): CachePlaces {
  const dirs = cacheDirs.flatMap(contentsOf);
  return {
    root: cacheDirs.flatMap(identityOf),
    contents: dirs.flatMap(identityOf),
    linked: [...dirs.flatMap(linkedFiles), ...cacheDirs.flatMap(linksTo)].map(({ identity }) => identity),
  };
}

/** The links by which a cache is reached: by its path, and from there to its contents and their files. */
function linksTo(cacheDir: string): PassedLink[] {
  const dirs = contentsOf(cacheDir);
  const reached = [cacheDir, ...dirs].filter(isReachedByLink);
  return [...reached, ...dirs.flatMap(linkedFiles).map(({ link }) => link)].flatMap(linksOf);
}

/** Most are not, and that takes no look at all that a path leads through. */
function isReachedByLink(dir: string): boolean {
  const directory = openIfPossible(dir);
  const real = directory?.realPath ?? dir;
  directory?.close();
  return real !== dir;
}

function linksOf(path: string): readonly PassedLink[] {
  try {
    return orAsSecondUser(() => followLinks(path).links);
  } catch {
    // It leads nowhere; that is told where it is read.
    return [];
  }
}

/** What this process leaves where it is, since a cache lies there: directories, and files of a cache, by device and inode. */
const kept = new Set<string>();
/** Whether files or links are among them: what links of a cache lead to, and those by which it is reached. */
let hasLinked = false;
const contents: Identity[] = [];
const roots: Identity[] = [];
/** Open, so that no other directory gets the inode of one that an exporter takes away. */
const handles: Directory[] = [];

/** Has caches, and all above them, stay where they are from now on; also where they lie in the layers directory by a mount. */
export function keepInPlace(cacheDirs: readonly string[], layersDir: string): void {
  if (cacheDirs.length === 0) return;
  const places = placesOnDevices();
  const layers = openIfPossible(layersDir);
  const base = layers && places(layers);
  layers?.close();
  const keepWithAlias = (directory: Directory) => {
    keep(directory);
    const below = pathBelow(base, places(directory));
    const alias = below === undefined ? undefined : openIfPossible(join(layersDir, below));
    if (alias === undefined) return;
    keep(alias);
    alias.close();
  };
  for (const dir of cacheDirs) {
    for (const path of [dir, ...contentsOf(dir)]) {
      const directory = openIfPossible(path);
      if (directory === undefined) continue;
      handles.push(directory);
      if (path === dir) roots.push(directory.identity);
      else contents.push(directory.identity);
      keepWithAlias(directory);
    }
    for (const { path, identity } of [...contentsOf(dir).flatMap(linkedFiles), ...linksTo(dir)]) {
      kept.add(keyOf(identity));
      hasLinked = true;
      const directory = openIfPossible(dirname(path));
      if (directory === undefined) continue;
      keepWithAlias(directory);
      directory.close();
    }
  }
}

function keep(directory: Directory): void {
  findAbove(directory, ({ identity }) => {
    kept.add(keyOf(identity));
    return undefined;
  });
}

/** Tells where directories lie on their file systems, by one look at the mounts; nothing where they cannot be read. */
function placesOnDevices(): (directory: Directory) => PlaceOnDevice | undefined {
  const known = mountsIfReadable();
  return (directory) => {
    const mount = known.find(({ id }) => id === directory.mountId);
    return mount && placeOn(mount, directory.realPath);
  };
}

/** Where they cannot be read, whatever would remove or move a directory says so, and leaves it. */
function mountsIfReadable(): Mount[] {
  try {
    return mounts();
  } catch {
    return [];
  }
}

/** How one place is reached from another on the same file system; undefined where it does not lie below. */
function pathBelow(base: PlaceOnDevice | undefined, place: PlaceOnDevice | undefined): string | undefined {
  if (base === undefined || place === undefined || base.device !== place.device) return undefined;
  const below = relative(base.path, place.path);
  return below === "" || below === ".." || below.startsWith("../") ? undefined : below;
}

/** Whether a directory, something in it, or a file has to stay where it is. */
export function isKept(identity: Identity): boolean {
  return kept.has(keyOf(identity));
}

/** Whether a file lies in what a cache holds, by whatever further name or mount it was reached. */
export function isOfCache(file: Identity): boolean {
  return handles.some((directory) => contents.some((place) => directory.isSame(place)) && holds(directory, file));
}

function holds(directory: Directory, file: Identity): boolean {
  try {
    return directory.names().some((name) => {
      const stat = directory.stat(name);
      return stat !== undefined && isSame(stat, file);
    });
  } catch {
    // Who may not look into it wrote nothing there.
    return false;
  }
}

/** What is wrong with a place to write to. */
export const inCache = "it lies in the cache, which is never written";

/** Whether under a name there is a file that a link of a cache leads to, or such a link: nothing replaces or removes that. */
export function isLinkedTo(directory: Directory, name: string): boolean {
  const stat = hasLinked ? directory.stat(name) : undefined;
  return stat?.isDirectory() === false && isKept(stat);
}

/**
 * Throws where a directory lies in what a cache holds: nothing is written there. The directory of a cache itself may hold
 * other things, too, but not layers, whose names anybody chooses (`forLayers`).
 */
export function refuseInCache(directory: Directory, { forLayers = false } = {}): void {
  // One that holds nothing is not a cache, whatever it was named as.
  const isCache = forLayers && contents.length > 0 && roots.some((root) => directory.isSame(root));
  if (isCache || liesIn(directory, contents)) throw new Error(inCache);
}

/** Whether a directory is one of these, or lies in one. */
export function liesIn(directory: Directory, places: readonly Identity[]): boolean {
  if (places.length === 0) return false;
  return findAbove(directory, (at) => (places.some((place) => at.isSame(place)) ? true : undefined)) === true;
}
