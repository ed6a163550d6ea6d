import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  realpathSync,
  type Stats,
  statSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { prefixesOf } from "./prefixes.ts";
import { asSecondUser, orAsSecondUser, type UserIds } from "./second-user.ts";
import { isRoot } from "./user.ts";

/** open(2)'s O_PATH: a handle on whatever stands there that opens nothing, and needs no permission to read it. */
export const O_PATH = 0o10000000;

/** What was to be read as a file is something else. */
export class NotAFile extends Error {
  override readonly name = "NotAFile";
  readonly isDirectory: boolean;

  constructor(isDirectory: boolean) {
    super("is not a regular file");
    this.isDirectory = isDirectory;
  }
}

/** What a file holds. */
export interface FileContent {
  readonly bytes: Buffer;
  /** Whether nothing of it may be told, see `isSecret`. */
  readonly isSecret: boolean;
  /** Whether the user who we become may read it all the same. */
  readonly isUsers: boolean;
}

/**
 * Opens a regular file for reading. Nothing else is ever opened, for a fifo would make us wait, and a device can do things
 * when it is opened. Throws a NotAFile, or the system's error. The caller closes it.
 */
export function openFile(path: string | Buffer, { follow = true } = {}): number {
  return orAsSecondUser(() => openRegular(path, follow));
}

function openRegular(path: string | Buffer, follow: boolean): number {
  const handle = openSync(path, O_PATH | (follow ? 0 : constants.O_NOFOLLOW));
  try {
    const stat = fstatSync(handle);
    if (!stat.isFile()) throw new NotAFile(stat.isDirectory());
    // The handle again, now for reading.
    return openSync(`/proc/self/fd/${handle}`, constants.O_RDONLY | constants.O_NONBLOCK);
  } finally {
    closeSync(handle);
  }
}

/**
 * Whether we can read a file only because we are root: it may be a secret that a link of somebody else's led to. Nothing of
 * such a file is told: neither a value, nor where something is wrong, nor its digest or size.
 */
export function isSecret(stat: Pick<Stats, "mode">, path?: string | Buffer): boolean {
  if (!isRoot()) return false;
  if ((stat.mode & 0o004) === 0) return true;
  return path !== undefined && orAsSecondUser(() => isLink(path) && !isReachable(path));
}

/**
 * Whether the second user may read an open file as well, to whom it can be told then: by the bits of the file and of every
 * directory above the place where it really lies, and by opening it as he. In doubt, as with further names of it, he may not.
 */
function isSecondUsers(fd: number, stat: Stats): boolean {
  if (stat.nlink !== 1) return false;
  try {
    const place = readlinkSync(`/proc/self/fd/${fd}`);
    const opened = asSecondUser(() => openRegular(place, false));
    if (opened === undefined) return false;
    const { dev, ino } = fstatSync(opened.value);
    closeSync(opened.value);
    const above = prefixesOf(dirname(place)).map((path) => orAsSecondUser(() => statSync(path)));
    return (
      opened.user.uid !== 0 &&
      dev === stat.dev &&
      ino === stat.ino &&
      isAllowed(opened.user, stat, 0o4) &&
      above.every((directory) => isAllowed(opened.user, directory, 0o1))
    );
  } catch {
    return false;
  }
}

/** Whether the bits of a file let a user do something: 4 to read, 1 to enter. The first class that he is in counts. */
function isAllowed({ uid, gid }: UserIds, stat: Stats, bit: number): boolean {
  const shift = stat.uid === uid ? 6 : stat.gid === gid ? 3 : 0;
  return ((stat.mode >> shift) & bit) !== 0;
}

function isLink(path: string | Buffer): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
}

/** Whether everybody may enter the directories in which a file really lies. */
function isReachable(path: string | Buffer): boolean {
  for (let at = dirname(realpathSync(path).toString()); ; at = dirname(at)) {
    if ((statSync(at).mode & 0o001) === 0) return false;
    if (dirname(at) === at) return true;
  }
}

/**
 * Whether a path leads by way of a link that somebody else than root, and than the `owner` of what it leads to, may have put
 * there. What not everybody may read must not be used then: what is made of it others can read.
 */
export function leadsByForeignLink(path: string, owner = 0): boolean {
  if (!isRoot()) return false;
  const isForeign = (uid: number) => uid !== 0 && uid !== owner;
  return orAsSecondUser(() => prefixesOf(resolve(path)).some((prefix) => isForeignLink(prefix, isForeign)));
}

function isForeignLink(path: string, isForeign: (uid: number) => boolean): boolean {
  const link = lstatSync(path, { throwIfNoEntry: false });
  if (link?.isSymbolicLink() !== true) return false;
  const place = statSync(dirname(path));
  const isOthers = isForeign(place.uid) || (place.mode & 0o022) !== 0;
  return isForeign(link.uid) || (isOthers && (place.mode & 0o1000) === 0);
}

/** Why what a foreign link leads to is not used. */
export const byForeignLink = "a link that is not root's leads to what not everybody may read";

/** Reads a regular file of at most `limit` bytes whole. Throws a NotAFile, the system's error, or an Error that says what is wrong. */
export function readWhole(path: string, limit: number): Buffer {
  return readFile(path, limit).bytes;
}

/** As `readWhole`, and tells whether it may be quoted; with `follow: false` a link is not followed. */
export function readFile(path: string | Buffer, limit: number, options?: { readonly follow: boolean }): FileContent {
  const fd = openFile(path, options);
  try {
    const stat = fstatSync(fd);
    if (stat.size > limit) throw new Error(`is larger than ${limit} bytes`);
    const bytes = Buffer.alloc(stat.size);
    const length = readInto(bytes, fd);
    const secret = isSecret(stat, path);
    if (length === bytes.length) return { bytes, isSecret: secret, isUsers: secret && isSecondUsers(fd, stat) };
    const counts = secret ? "" : `: ${length} of ${bytes.length} bytes`;
    throw new Error(`became shorter while it was read${counts}`);
  } finally {
    closeSync(fd);
  }
}

/** Reads until a buffer is full or the file ends; returns how many bytes there were. */
function readInto(bytes: Buffer, fd: number): number {
  let length = 0;
  while (length < bytes.length) {
    const count = readSync(fd, bytes, length, bytes.length - length, length);
    if (count === 0) break;
    length += count;
  }
  return length;
}
