/** What tells a file from all others of this machine. */
export interface Identity {
  readonly dev: number;
  readonly ino: number;
}

/** Whether both are one and the same file. */
export function isSame(one: Identity, other: Identity): boolean {
  return one.dev === other.dev && one.ino === other.ino;
}

/** The same for each handle on one file, to find it among many. */
export function keyOf({ dev, ino }: Identity): string {
  return `${dev}:${ino}`;
}
