import { Directory } from "./directory.ts";
import type { Identity } from "./identity.ts";

/** What `find` gives for a directory or one above it, the nearest first, as far up as they can be opened; closes what it opens. */
export function findAbove<T>(directory: Directory, find: (at: Directory) => T | undefined): T | undefined {
  const found = find(directory);
  if (found !== undefined) return found;
  let below = directory.identity;
  let at = openIfPossible(directory.at(".."));
  while (at !== undefined) {
    const isBeyondTop = at.isSame(below);
    const foundHere: T | undefined = isBeyondTop ? undefined : find(at);
    const above: Directory | undefined =
      isBeyondTop || foundHere !== undefined ? undefined : openIfPossible(at.at(".."));
    below = at.identity;
    at.close();
    at = above;
    if (foundHere !== undefined) return foundHere;
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

/** What tells a directory from all others, links followed; nothing where it cannot be opened. */
export function identityOf(path: string): Identity[] {
  const directory = openIfPossible(path);
  if (directory === undefined) return [];
  const { identity } = directory;
  directory.close();
  return [identity];
}
