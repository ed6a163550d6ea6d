import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { orAsSecondUser } from "./second-user.ts";

/**
 * Reads a file whole, as bytes. Only regular files (a fifo would block) of at most `limit` bytes.
 * Throws the system's error, or an Error that says what is wrong.
 */
export function readWhole(path: string, limit: number): Buffer {
  return readWithMode(path, limit).bytes;
}

/** As `readWhole`, with the mode of the file. */
export function readWithMode(path: string, limit: number): { bytes: Buffer; mode: number } {
  const fd = orAsSecondUser(() => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new Error("is not a regular file");
    if (stat.size > limit) throw new Error(`is larger than ${limit} bytes`);
    const bytes = Buffer.alloc(stat.size);
    let length = 0;
    while (length < bytes.length) {
      const count = readSync(fd, bytes, length, bytes.length - length, length);
      if (count === 0) break;
      length += count;
    }
    return { bytes: bytes.subarray(0, length), mode: stat.mode };
  } finally {
    closeSync(fd);
  }
}
