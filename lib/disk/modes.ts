import { chmodSync, statSync } from "node:fs";

/**
 * Gives what stands at a path other permission bits, links followed. A file system that refuses is forgiven where they are
 * right already. Throws the system's errors.
 */
export function changeMode(path: string | Buffer, mode: number): void {
  try {
    chmodSync(path, mode);
  } catch (error) {
    if ((statSync(path).mode & 0o7777) !== mode) throw error;
  }
}
