import { Directory } from "./directory.ts";

/** What `find` gives for a directory or one above it, the nearest first, as far up as they can be opened; closes what it opens. */
export function findAbove<T>(directory: Directory, find: (at: Directory) => T | undefined): T | undefined {
  let at: Directory | undefined = directory.reopen();
  while (at !== undefined) {
    const found = find(at);
    const above: Directory | undefined = found === undefined ? openIfPossible(at.at("..")) : undefined;
    const isTop = above?.isSame(at.identity) === true;
    at.close();
    at = above;
    if (found !== undefined) return found;
    if (!isTop) continue;
    above?.close();
    at = undefined;
  }
  return undefined;
}

/** Opens a directory, links followed; undefined where that fails. */
export function openIfPossible(path: string): Directory | undefined {
  try {
    return Directory.open(path, path, true);
  } catch {
    return undefined;
  }
}
