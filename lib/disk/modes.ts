import { chmodSync, statSync } from "node:fs";

/**
 * Gives what stands at a path permission bits, links followed, unless it has them: to set setgid again, where a directory
 * inherited it, is only for members of its group. Throws the system's errors.
 */
export function ensureMode(path: string | Buffer, mode: number): void {
  if ((statSync(path).mode & 0o7777) !== mode) chmodSync(path, mode);
}

/**
 * As `ensureMode`, without a look before: it costs as much as the change. A file system that refuses is forgiven where the
 * bits are right already. Throws the system's errors.
 */
export function changeMode(path: string | Buffer, mode: number): void {
  try {
    chmodSync(path, mode);
  } catch (error) {
    if ((statSync(path).mode & 0o7777) !== mode) throw error;
  }
}
