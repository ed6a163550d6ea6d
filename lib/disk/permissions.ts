import type { Stats } from "node:fs";

/** A user by id, with the id of a group. */
export interface User {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Whether the mode of a file lets a user do something: 4 to read, 2 to write, 1 to enter, or several of these at once. As for
 * the kernel, the first class that the user is in counts. That root needs no permission is for the caller to know.
 */
export function permits(stat: Pick<Stats, "mode" | "uid" | "gid">, { uid, gid }: User, bits: number): boolean {
  const shift = stat.uid === uid ? 6 : stat.gid === gid ? 3 : 0;
  return ((stat.mode >> shift) & bits) === bits;
}
