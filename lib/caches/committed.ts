import { statSync } from "node:fs";
import { basename, join } from "node:path";
import { ReadOnlyDirectory } from "../disk/read-only-directory.ts";
import { hasCode } from "../errors.ts";
import { quote } from "../text.ts";

/** How an exporter that commits has only the backup for a moment, and then only the new directory. */
export const committedPlaces = ["committed", "committed-backup", "committed"];

/**
 * One look at where a volume cache's contents are (contract §4), held open. An exporter that commits puts another directory
 * in its place by two renames, and then empties the old one: what is read by way of this is of one and the same cache, or gone.
 */
export class Committed {
  /** For messages, and to look again. */
  readonly path: string;
  readonly #dir: string;
  /** Undefined where no build has been exported yet. */
  readonly #directory: ReadOnlyDirectory | undefined;

  /** Finds them in a cache directory. Throws the system's error, or an Error that says what is wrong. */
  constructor(dir: string) {
    if (!statSync(dir).isDirectory()) throw new Error("it is not a directory");
    this.#dir = dir;
    this.#directory = committedPlaces.map((name) => openIfThere(join(dir, name))).find((found) => found !== undefined);
    this.path = this.#directory?.path ?? join(dir, "committed");
  }

  /** A path to a file in it, for system calls. */
  at(name: string): string {
    return this.#directory?.at(name) ?? join(this.path, name);
  }

  /** Who may have put the links there that lead to it, for `openUnlessForeign`. */
  get makers(): readonly number[] {
    return this.#directory?.makers ?? [];
  }

  /** Whether another directory is in its place by now. */
  get isReplaced(): boolean {
    let now: Committed | undefined;
    try {
      now = new Committed(this.#dir);
      if (this.#directory === undefined || now.#directory === undefined) return this.#directory !== now.#directory;
      return !now.#directory.isSame(this.#directory);
    } catch {
      return false;
    } finally {
      now?.close();
    }
  }

  close(): void {
    this.#directory?.close();
  }
}

function openIfThere(path: string): ReadOnlyDirectory | undefined {
  try {
    return new ReadOnlyDirectory(path);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw hasCode(error, "ENOTDIR") ? new Error(`its ${quote(basename(path))} is not a directory`) : error;
  }
}
