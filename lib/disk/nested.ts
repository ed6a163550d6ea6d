import { realpathSync } from "node:fs";
import { join, relative } from "node:path";
import { hasCode } from "../errors.ts";
import { Directory } from "./directory.ts";
import { makeDirectories } from "./make-directories.ts";
import { namesOf, prefixesOf } from "./prefixes.ts";
import { orAsSecondUser } from "./second-user.ts";

/**
 * Opens a directory, links in its path followed, as for a mounted volume; but none in or behind one of `shared`, directories
 * that others write to: a link there may lead anywhere. Throws the system's errors.
 */
export function openNested(path: string, shared: readonly string[]): Directory {
  const nested = findNested(path, shared);
  if (nested === undefined) return Directory.open(path, path, true);
  return descend(nested, (at, name) => at.open(name));
}

/** As `openNested`; makes what is not there. */
export function openOrMakeNested(path: string, shared: readonly string[], mode: number): Directory {
  const nested = findNested(path, shared);
  if (nested !== undefined) return descend(nested, (at, name) => at.openOrMake(name, mode));
  makeDirectories(path, mode);
  return Directory.open(path, path, true);
}

/** A directory that others write to, and the names that lead on from there. */
interface Nested {
  readonly from: string;
  readonly names: readonly string[];
}

function findNested(path: string, shared: readonly string[]): Nested | undefined {
  const places: string[] = [];
  for (const place of shared) {
    const real = realPathOf(place);
    if (real !== undefined) places.push(real);
  }
  if (places.length === 0) return undefined;
  let behind = namesOf(path);
  for (const prefix of prefixesOf(path).slice(0, -1)) {
    const real = realPathOf(prefix);
    if (real === undefined) return undefined;
    for (const from of places) {
      if (real === from || real.startsWith(`${from}/`)) {
        return { from, names: [...namesOf(relative(from, real)), ...behind] };
      }
    }
    behind = behind.slice(1);
  }
  return undefined;
}

function descend({ from, names }: Nested, open: (at: Directory, name: string) => Directory): Directory {
  let at = Directory.open(from, from, true);
  for (const name of names) {
    const next = withLinksNamed(join(at.path, name), () => open(at, name));
    at.close();
    at = next;
  }
  return at;
}

function withLinksNamed<T>(path: string, open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (!hasCode(error, "ENOTDIR", "ELOOP")) throw error;
    throw Object.assign(new Error(`${path} is not a directory, and links are not followed there`), { code: "ENOTDIR" });
  }
}

function realPathOf(path: string): string | undefined {
  try {
    return orAsSecondUser(() => realpathSync(path));
  } catch {
    return undefined;
  }
}
