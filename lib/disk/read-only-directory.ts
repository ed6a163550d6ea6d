import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { hasMoved, makersOfLinks, realPathOf } from "./foreign-links.ts";
import { isSame } from "./identity.ts";
import { O_PATH } from "./read-file.ts";
import { orAsSecondUser } from "./second-user.ts";
import { isRoot } from "./user.ts";

/** A directory held open, only to be read: what is in it can be opened though its name leads elsewhere by now. */
export class ReadOnlyDirectory {
  /** For messages. */
  readonly path: string;
  /** Who may have put the links there that led to it, for `openUnlessForeign`. */
  readonly makers: readonly number[];
  readonly #fd: number;

  /** Links are followed. Throws the system's errors, also where it is moved meanwhile. */
  constructor(path: string) {
    this.path = path;
    this.#fd = orAsSecondUser(() => openSync(path, O_PATH | constants.O_DIRECTORY));
    const makers = isRoot() ? makersOfLinks(path, realPathOf(this.#fd)) : [];
    this.makers = makers ?? [];
    if (makers !== undefined) return;
    this.close();
    throw hasMoved();
  }

  /** A path to an entry, for system calls. */
  at(name: string): string {
    return `/proc/self/fd/${this.#fd}/${name}`;
  }

  isSame(other: ReadOnlyDirectory): boolean {
    return isSame(fstatSync(this.#fd), fstatSync(other.#fd));
  }

  close(): void {
    closeSync(this.#fd);
  }
}
