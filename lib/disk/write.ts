import { readSync, writeSync } from "node:fs";

/** Writes all bytes to a descriptor, from its present position on, or from one given. Throws the system's errors. */
export function writeAll(fd: number, bytes: Uint8Array, position?: number): void {
  for (let done = 0; done < bytes.length; ) {
    const at = position === undefined ? null : position + done;
    done += writeSync(fd, bytes, done, bytes.length - done, at);
  }
}

/** Writes all that an open file holds to another. Throws the system's errors. */
export function copyAll(from: number, to: number): void {
  const buffer = Buffer.allocUnsafe(1 << 18);
  for (let at = 0; ; ) {
    const length = readSync(from, buffer, 0, buffer.length, at);
    if (length === 0) return;
    writeAll(to, buffer.subarray(0, length));
    at += length;
  }
}
