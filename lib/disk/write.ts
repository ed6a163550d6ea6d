import { writeSync } from "node:fs";

/** Writes all bytes to a descriptor, from its present position on, or from one given. Throws the system's errors. */
export function writeAll(fd: number, bytes: Uint8Array, position?: number): void {
  for (let done = 0; done < bytes.length; ) {
    const at = position === undefined ? null : position + done;
    done += writeSync(fd, bytes, done, bytes.length - done, at);
  }
}
