import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from "node:fs";
import { join, resolve } from "node:path";

/** A file or symbolic link found on this machine. */
export interface Source {
  readonly path: string;
  /** Below the root it was found in. */
  readonly relative: string;
  readonly size: number;
  readonly executable: boolean;
  /** A symbolic link's target. */
  readonly target?: string;
}

/** Trees of real content: our own dependencies are always there, the others on most machines. */
export const roots = {
  nodeModules: resolve(import.meta.dir, "..", "node_modules"),
  go: join(process.env.GOROOT ?? "/usr/local/go", "src"),
  goTools: process.env.GOROOT ?? "/usr/local/go",
  share: "/usr/share",
  lib: "/usr/lib",
} as const;

/**
 * The first `limit` files (and relative links) below the roots whose sizes are in the range, in the order of their
 * names: the same on every run, as long as the trees stay as they are. A missing root counts as empty.
 */
export function collect(from: readonly string[], range: { min: number; max: number; limit: number }): Source[] {
  const found: Source[] = [];
  const visit = (root: string, relative: string): void => {
    for (const name of names(join(root, relative))) {
      if (found.length === range.limit) return;
      const child = relative === "" ? name : `${relative}/${name}`;
      const path = join(root, child);
      const stat = lstatSync(path, { throwIfNoEntry: false });
      if (stat?.isDirectory()) visit(root, child);
      else if (stat?.isSymbolicLink() && range.min === 0) {
        const target = readlinkSync(path);
        if (!target.startsWith("/")) found.push({ path, relative: child, size: 0, executable: false, target });
      } else if (stat?.isFile() && stat.size >= range.min && stat.size <= range.max && readable(path)) {
        found.push({ path, relative: child, size: stat.size, executable: (stat.mode & 0o111) !== 0 });
      }
    }
  };
  for (const root of from) visit(root, "");
  return found;
}

function names(path: string): string[] {
  try {
    return readdirSync(path)
      .filter((name) => /^[\x20-\x7e]+$/.test(name))
      .sort();
  } catch {
    return [];
  }
}

function readable(path: string): boolean {
  try {
    closeSync(openSync(path, "r"));
    return true;
  } catch {
    return false;
  }
}

/** Fills `into` from `offset` of a file; returns how many bytes there were. */
export function readPart(path: string, offset: number, into: Uint8Array): number {
  const fd = openSync(path, "r");
  try {
    let done = 0;
    while (done < into.length) {
      const n = readSync(fd, into, done, into.length - done, offset + done);
      if (n === 0) break;
      done += n;
    }
    return done;
  } finally {
    closeSync(fd);
  }
}
