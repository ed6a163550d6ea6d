import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { areForeign, byForeignLink, hasMoved, makersOfLinks, makersOfNames, realPathOf } from "./foreign-links.ts";
import { isSame } from "./identity.ts";
import { permits } from "./permissions.ts";
import { prefixesOf } from "./prefixes.ts";
import { asSecondUser, orAsSecondUser } from "./second-user.ts";
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
interface FileContent {
  /** Not a Buffer, which a start with nothing to do gets by without: making the first one takes a tenth of a millisecond. */
  readonly bytes: Uint8Array;
  /** Whether nothing of it may be told, see `isSecret`. */
  readonly isSecret: boolean;
  /** Whether the user who we become may read it all the same. */
  readonly isUsers: boolean;
  /** Whether it is a secret, and a link or hard link led to it that may be somebody else's than root's. */
  readonly isForeign: boolean;
}

/**
 * Opens a regular file for reading. Nothing else is ever opened, for a fifo would make us wait, and a device can do things
 * when it is opened. Throws a NotAFile, or the system's error. The caller closes it.
 */
export function openFile(path: string | Buffer, { follow = true } = {}): number {
  return orAsSecondUser(() => openRegular(path, follow));
}

/** A regular file that is open, with what is known of who may read it. */
interface OpenedFile {
  readonly fd: number;
  readonly stat: Stats;
  /** Whether nothing of it may be told, see `isSecret`. */
  readonly isSecret: boolean;
  /**
   * Who may have put the links and hard links there that led to it, where it is a secret; undefined where that cannot be told
   * any more.
   */
  readonly makers: readonly number[] | undefined;
}

/** Opens and judges a file; `makers` are those of the links that led to the handle which `path` leads through. */
function openJudged(path: string, makers: readonly number[]): OpenedFile {
  const fd = openFile(path);
  try {
    const stat = fstatSync(fd);
    return { fd, stat, ...judge(fd, stat, path, makers) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Whether a file that was opened by a path, links followed, is a secret, and whose links led there. */
function judge(
  fd: number,
  stat: Stats,
  path: string,
  makersBefore: readonly number[],
): Pick<OpenedFile, "isSecret" | "makers"> {
  if (!isRoot()) return { isSecret: false, makers: [] };
  const real = realPathOf(fd);
  const named = withoutHandle(path);
  const isDirect = named === real && makersBefore.length === 0;
  const isHidden = isSecret(stat) || (!isDirect && !isReachable(dirname(real)));
  if (!isHidden) return { isSecret: false, makers: [] };
  const makers = makersOfLinks(named, real);
  return { isSecret: true, makers: makers && [...makersBefore, ...makers, ...makersOfNames(stat, real)] };
}

/** A path in which a directory is named by a handle on it, with that directory's own. */
function withoutHandle(path: string): string {
  if (!path.startsWith("/proc/self/fd/")) return path;
  const [, handle, name] = /^\/proc\/self\/fd\/(\d+)\/([^/]+)$/.exec(path) ?? [];
  return handle === undefined || name === undefined ? path : join(realPathOf(Number(handle)), name);
}

/**
 * As `openFile`, of a file where others may write, as in caches and layouts: not one that not everybody may read where a link
 * leads to it that is neither root's nor its owner's. `makers` as those of a ReadOnlyDirectory whose handle `path` leads through.
 */
export function openUnlessForeign(path: string, makers: readonly number[] = []): Omit<OpenedFile, "makers"> {
  const { makers: all, ...opened } = openJudged(path, makers);
  if (all !== undefined && !areForeign(all, opened.stat.uid)) return opened;
  closeSync(opened.fd);
  throw all === undefined ? hasMoved() : new Error(byForeignLink);
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
 * such a file is told: neither a value, nor where something is wrong, nor its digest or size. A file that a link leads to is
 * one, too, where not everybody may enter the directories in which it lies.
 */
export function isSecret(stat: Pick<Stats, "mode">): boolean {
  return isRoot() && (stat.mode & 0o004) === 0;
}

/**
 * Whether the second user may read an open file as well, who can be told of it then: by the bits of the file and of every
 * directory above the place where it really lies, and by opening it as that user. In doubt, as with further names, not.
 */
function isSecondUsers(fd: number, stat: Stats): boolean {
  if (stat.nlink !== 1) return false;
  try {
    const place = realPathOf(fd);
    const opened = asSecondUser(() => openRegular(place, false));
    if (opened === undefined) return false;
    const isSameFile = isSame(fstatSync(opened.value), stat);
    closeSync(opened.value);
    const above = prefixesOf(dirname(place)).map((path) => orAsSecondUser(() => statSync(path)));
    return (
      opened.user.uid !== 0 &&
      isSameFile &&
      permits(stat, opened.user, 0o4) &&
      above.every((directory) => permits(directory, opened.user, 0o1))
    );
  } catch {
    return false;
  }
}

/** Whether everybody may enter a directory and those above it. */
function isReachable(directory: string): boolean {
  const isOpen = (path: string) => ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o001) !== 0;
  return orAsSecondUser(() => prefixesOf(directory).every(isOpen));
}

/** What is said in place of the digest of a file that not everybody may read. */
export const hiddenDigest = "another digest, which is not told, for not everybody may read it";

/**
 * Reads a regular file of at most `limit` bytes whole. Throws a NotAFile, the system's error, or an Error that says what is
 * wrong.
 */
export function readWhole(path: string, limit: number): Buffer {
  return asBuffer(readFile(path, limit).bytes);
}

/** As `readWhole`, and tells who may read it. */
export function readFile(path: string, limit: number): FileContent {
  const opened = openJudged(path, []);
  try {
    const { fd, stat, isSecret, makers } = opened;
    const bytes = readOpened(opened, limit);
    const isForeign = makers === undefined || areForeign(makers);
    return { bytes, isSecret, isUsers: isSecret && isSecondUsers(fd, stat), isForeign };
  } finally {
    closeSync(opened.fd);
  }
}

/** As `readWhole`, of a name that is relative to a handle; a link is not followed. */
export function readEntry(path: string | Buffer, limit: number): Buffer {
  const fd = openFile(path, { follow: false });
  try {
    const stat = fstatSync(fd);
    return asBuffer(readOpened({ fd, stat, isSecret: isSecret(stat) }, limit));
  } finally {
    closeSync(fd);
  }
}

/** As `readFile`, by the rule of `openUnlessForeign`. */
export function readUnlessForeign(path: string, limit: number): Pick<FileContent, "bytes" | "isSecret"> {
  const opened = openUnlessForeign(path);
  try {
    return { bytes: readOpened(opened, limit), isSecret: opened.isSecret };
  } finally {
    closeSync(opened.fd);
  }
}

/** Reads a file to the size that its handle told. */
function readOpened({ fd, stat, isSecret }: Omit<OpenedFile, "makers">, limit: number): Uint8Array {
  if (stat.size > limit) throw new Error(`is larger than ${limit} bytes`);
  const bytes = new Uint8Array(stat.size);
  const length = readInto(bytes, fd);
  if (length === bytes.length) return bytes;
  const counts = isSecret ? "" : `: ${length} of ${bytes.length} bytes`;
  throw new Error(`became shorter while it was read${counts}`);
}

/** Reads until a buffer is full or the file ends; returns how many bytes there were. */
function readInto(bytes: Uint8Array, fd: number): number {
  let length = 0;
  while (length < bytes.length) {
    const count = readSync(fd, bytes, length, bytes.length - length, length);
    if (count === 0) break;
    length += count;
  }
  return length;
}

function asBuffer({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}
