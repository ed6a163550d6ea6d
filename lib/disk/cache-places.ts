import { Directory, type Identity, isSame } from "./directory.ts";

/** Where a cache lies: nothing there is given to anybody, removed, moved or written, whatever it is nested in. */
export interface CachePlaces {
  /** The directories that were named; what else is in them may be anything. */
  readonly root: readonly Identity[];
  /** Where the contents are. */
  readonly contents: readonly Identity[];
}

/** Of a volume cache, and of an image in an OCI layout. */
const contentNames = ["committed", "committed-backup", "blobs"];

/** Where the caches of some directories lie. What cannot be opened now is told when it is read. */
export function cachePlaces(cacheDirs: readonly string[]): CachePlaces {
  return {
    root: cacheDirs.flatMap(identityOf),
    contents: cacheDirs.flatMap((dir) => contentNames.flatMap((name) => identityOf(`${dir}/${name}`))),
  };
}

/** Directories that this process leaves where they are, by device and inode, for the cache that lies in them. */
const kept = new Set<string>();
const contents: Identity[] = [];
/** Open, so that no other directory gets the inode of one that an exporter takes away. */
const handles: Directory[] = [];

/** Has caches, and all above them, stay where they are from now on. */
export function keepInPlace(cacheDirs: readonly string[]): void {
  for (const dir of cacheDirs) {
    for (const path of [dir, ...contentNames.map((name) => `${dir}/${name}`)]) {
      const directory = openIfPossible(path);
      if (directory === undefined) continue;
      handles.push(directory);
      if (path !== dir) contents.push(directory.identity);
      for (const { dev, ino } of ancestry(directory.reopen())) kept.add(`${dev}:${ino}`);
    }
  }
}

/** Whether something in a directory, or the directory itself, has to stay where it is. */
export function isKept({ dev, ino }: Identity): boolean {
  return kept.has(`${dev}:${ino}`);
}

/** Throws where a directory lies in what a cache holds, or is part of it: nothing is written there. */
export function refuseInCache(directory: Directory): void {
  if (liesIn(directory, contents)) throw new Error("it lies in the cache, which is never written");
}

/** Whether a directory is one of these, or lies in one. */
export function liesIn(directory: Directory, places: readonly Identity[]): boolean {
  return places.length > 0 && ancestry(directory.reopen()).some((at) => places.some((place) => isSame(at, place)));
}

/** A directory, which is closed, and all above it, as far up as it can be opened. */
function ancestry(directory: Directory): Identity[] {
  const found: Identity[] = [];
  let at: Directory | undefined = directory;
  while (at !== undefined) {
    const { identity }: Directory = at;
    found.push(identity);
    const above: Directory | undefined = openIfPossible(at.at(".."));
    at.close();
    at = above;
    if (above?.isSame(identity) !== true) continue;
    above.close();
    at = undefined;
  }
  return found;
}

function identityOf(path: string): Identity[] {
  const directory = openIfPossible(path);
  if (directory === undefined) return [];
  const { identity } = directory;
  directory.close();
  return [identity];
}

function openIfPossible(path: string): Directory | undefined {
  try {
    return Directory.open(path, path, true);
  } catch {
    return undefined;
  }
}
