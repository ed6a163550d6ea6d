import { closeSync, readSync } from "node:fs";
import { openUnlessForeign } from "./read-file.ts";

/** A regular file, open, of which parts are read when they are needed: also after privileges were dropped. */
export class FileBytes {
  readonly size: number;
  /** Whether nothing of it may be told, see `isSecret`. */
  readonly isSecret: boolean;
  readonly #fd: number;
  #buffer = Buffer.alloc(0);

  /**
   * Opens a file of at most `limit` bytes by the rule of `openUnlessForeign`. Throws the system's error, or an Error that says
   * what is wrong.
   */
  constructor(path: string, limit: number, makers: readonly number[] = []) {
    const { fd, stat, isSecret } = openUnlessForeign(path, makers);
    this.#fd = fd;
    this.isSecret = isSecret;
    this.size = stat.size;
    if (stat.size <= limit) return;
    this.close();
    throw new Error(`is larger than ${limit} bytes, the limit`);
  }

  /** The bytes from `start` up to `end`; they count until the next call. */
  read(start: number, end: number): Uint8Array {
    const length = end - start;
    if (this.#buffer.length < length) this.#buffer = Buffer.allocUnsafe(length);
    for (let got = 0; got < length; ) {
      const count = readSync(this.#fd, this.#buffer, got, length - got, start + got);
      if (count === 0) throw new Error("became shorter while it was read");
      got += count;
    }
    return this.#buffer.subarray(0, length);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
