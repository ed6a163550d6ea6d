import type { TarEntry } from "./tar.ts";
import { show, TarError } from "./tar-error.ts";

/**
 * Finds out below which prefix an archive holds a layer: normally the layers directory of the build that made the cache
 * (contract §4, D6). One prefix holds for the whole archive.
 */
export class LayerPrefix {
  readonly #anchor: readonly string[];
  /** The prefixes to prefer: the layers directory of this build, then the usual one. */
  readonly #preferred: readonly (readonly string[])[];

  /** `anchor` is what comes behind the prefix, `[bp, layer]` or `[sbom]`; names are latin1 strings of bytes. */
  constructor(layersDir: string, anchor: readonly string[]) {
    this.#anchor = anchor;
    this.#preferred = [components(layersDir), ["layers"]];
  }

  /** Whether an entry settles the matter; directories that may still be parents of the layer do not. */
  isSettledBy(entry: TarEntry): boolean {
    const path = components(entry.path);
    const mayBeParent =
      this.#lengthIn(path) === undefined ||
      this.#preferred.some((prefix) => isAbove(path, [...prefix, ...this.#anchor]));
    return entry.type !== "directory" || !mayBeParent;
  }

  /** The first preferred prefix that one of these entries fits, else the shortest that one has; undefined without any. */
  choose(entries: readonly TarEntry[]): readonly string[] | undefined {
    const paths = entries.map((entry) => components(entry.path));
    const preferred = this.#preferred.find((prefix) =>
      paths.some((path) => startsWith(path, [...prefix, ...this.#anchor])),
    );
    if (preferred !== undefined) return preferred;
    const others = paths.flatMap((path) => {
      const length = this.#lengthIn(path);
      return length === undefined ? [] : [path.slice(0, length)];
    });
    return others.sort((a, b) => a.length - b.length)[0];
  }

  /** How many components of a path lie before the anchor in it; undefined where it has none. */
  #lengthIn(path: readonly string[]): number | undefined {
    for (let at = 0; at + this.#anchor.length <= path.length; at++) {
      if (this.#anchor.every((part, i) => path[at + i] === part)) return at;
    }
    return undefined;
  }
}

/** The components of a path without empty ones and `.`. Throws a TarError for `..`. */
export function components(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw new TarError(`${show(path)} leads out of the layer`);
  return parts;
}

function startsWith(path: readonly string[], start: readonly string[]): boolean {
  return start.length <= path.length && start.every((part, at) => path[at] === part);
}

/** Whether a path is a true parent of another. */
function isAbove(path: readonly string[], other: readonly string[]): boolean {
  return path.length < other.length && startsWith(other, path);
}
