import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

/** A regular file, open, of which parts are read when they are needed: also after privileges were dropped. */
export class FileBytes {
  readonly size: number;
  readonly #fd: number;
  #buffer = Buffer.alloc(0);

  /** Opens a file of at most `limit` bytes. Throws the system's error, or an Error that says what is wrong. */
  constructor(path: string, limit: number) {
    // A fifo would block.
    this.#fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stat = fstatSync(this.#fd);
      if (!stat.isFile()) throw new Error("is not a regular file");
      if (stat.size > limit) throw new Error(`has ${stat.size} bytes, more than ${limit}, the limit`);
      this.size = stat.size;
    } catch (error) {
      this.close();
      throw error;
    }
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
