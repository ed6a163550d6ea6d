import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { O_PATH } from "./read-file.ts";
import { orAsSecondUser } from "./second-user.ts";

/** A directory held open, for who only reads: what is in it can be opened though its name leads elsewhere by now. */
export class ReadOnlyDirectory {
  /** For messages. */
  readonly path: string;
  readonly #fd: number;

  /** Links are followed. Throws the system's errors. */
  constructor(path: string) {
    this.path = path;
    this.#fd = orAsSecondUser(() => openSync(path, O_PATH | constants.O_DIRECTORY));
  }

  /** A path to an entry, for system calls. */
  at(name: string): string {
    return `/proc/self/fd/${this.#fd}/${name}`;
  }

  isSame(other: ReadOnlyDirectory): boolean {
    const [own, others] = [fstatSync(this.#fd), fstatSync(other.#fd)];
    return own.dev === others.dev && own.ino === others.ino;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
