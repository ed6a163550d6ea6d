import {
  accessSync,
  chownSync,
  closeSync,
  constants,
  fstatSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  type Stats,
  unlinkSync,
} from "node:fs";
import { join } from "node:path";
import { hasCode } from "../errors.ts";
import { quote } from "../text.ts";
import { type Identity, isSame } from "./identity.ts";
import { changeMode } from "./modes.ts";
import { mountBelow, mountIdOf, mountsIn, writesBehind } from "./mounts.ts";
import { O_PATH, openFile, readEntry } from "./read-file.ts";
import { orAsSecondUser } from "./second-user.ts";

/** The name of an entry; bytes where it need not be UTF-8. */
export type Name = string | Buffer;

/**
 * A directory held open, whose entries are named relative to it (openat): whatever happens to its path meanwhile, and
 * whatever links are planted there, what is done by its methods is done inside. No method follows a link in the last
 * place. All throw the system's errors.
 */
export class Directory {
  /** For messages only. */
  readonly path: string;
  readonly #fd: number;
  #mountId: string | undefined;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /** Opens a directory by its path. Throws ENOTDIR for anything else, links included unless `follow` is given. */
  static open(path: string | Buffer, display = path.toString(), follow = false): Directory {
    const nofollow = follow ? 0 : constants.O_NOFOLLOW;
    const flags = O_PATH | constants.O_DIRECTORY | nofollow;
    return new Directory(
      display,
      orAsSecondUser(() => openSync(path, flags)),
    );
  }

  /** Opens a directory below this one; links are not followed. */
  open(name: Name): Directory {
    // Not joined: deep down that would take longer than all the rest.
    return Directory.open(this.at(name), `${this.path}/${name}`);
  }

  /** As `open`; undefined where no directory of this name stands, but nothing, a link or a file. */
  openIfThere(name: Name): Directory | undefined {
    return unlessAbsent(() => this.open(name));
  }

  /** Another handle on the same directory. */
  reopen(): Directory {
    return Directory.open(this.at("."), this.path);
  }

  /** The directory that this one lies in now. */
  openParent(path = `${this.path}/..`): Directory {
    return Directory.open(this.at(".."), path);
  }

  /** As `openOrTell`, of a directory that is made first where there is none. */
  openOrMake(name: Name, mode: number): Directory {
    try {
      this.make(name, mode);
    } catch (error) {
      if (!hasCode(error, "EEXIST")) throw error;
    }
    return this.openOrTell(name);
  }

  /** Opens a directory below this one. Throws an ENOTDIR that says what stands there instead. */
  openOrTell(name: Name): Directory {
    const kind = this.#kindOf(name);
    if (kind === undefined) return this.open(name);
    const message = `${quote(`${this.path}/${name}`)} is ${kind}, not a directory`;
    throw Object.assign(new Error(message), { code: "ENOTDIR" });
  }

  /** A path to an entry, for system calls that do not follow a link in the last place. */
  at(name: string): string;
  at(name: Name): string | Buffer;
  at(name: Name): string | Buffer {
    const parent = `/proc/self/fd/${this.#fd}/`;
    return typeof name === "string" ? parent + name : inBytes(parent, name);
  }

  /** Names and types of the entries. */
  list(): { name: string; isDirectory: boolean }[] {
    const entries: { name: string; isDirectory: boolean }[] = [];
    for (const entry of orAsSecondUser(() => readdirSync(this.at("."), { withFileTypes: true }))) {
      entries.push({ name: entry.name, isDirectory: entry.isDirectory() });
    }
    return entries;
  }

  /** Names of the entries, as bytes. */
  names(): Buffer[] {
    return orAsSecondUser(() => readdirSync(this.at("."), { encoding: "buffer" }));
  }

  /** What stands under a name; undefined for nothing. */
  stat(name: Name): Stats | undefined {
    return orAsSecondUser(() => lstatSync(this.at(name), { throwIfNoEntry: false }));
  }

  /** Of the directory itself. */
  ownStat(): Stats {
    return fstatSync(this.#fd);
  }

  /** When an entry of it was made, removed or renamed last, in nanoseconds. */
  get changed(): bigint {
    return fstatSync(this.#fd, { bigint: true }).mtimeNs;
  }

  /** A handle on whatever stands under a name, links included, for `fstat` and `giveHandle`; undefined for nothing. */
  handle(name: Name): number | undefined {
    return unlessAbsent(() => orAsSecondUser(() => openSync(this.at(name), O_PATH | constants.O_NOFOLLOW)));
  }

  /** Whether this process may list it and reach what is in it. */
  get isOpenToUs(): boolean {
    try {
      accessSync(this.at("."), constants.R_OK | constants.X_OK);
      return true;
    } catch {
      return false;
    }
  }

  /** Makes a directory. */
  make(name: Name, mode: number): void {
    mkdirSync(this.at(name), mode);
  }

  /** Makes a file, which must not exist, and opens it for writing. The caller closes it. */
  createFile(name: Name, mode: number): number {
    return openSync(this.at(name), constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode);
  }

  /** Opens a regular file for reading; throws a NotAFile for anything else. The caller closes it. */
  openFile(name: Name): number {
    return openFile(this.at(name), { follow: false });
  }

  /** Reads a regular file of at most `limit` bytes. Throws as `readEntry` does. */
  read(name: Name, limit: number): Buffer {
    return readEntry(this.at(name), limit);
  }

  /** Removes a name that is not a directory's. */
  unlink(name: Name): void {
    unlinkSync(this.at(name));
  }

  /** Removes a directory that is empty. */
  removeEmpty(name: Name): void {
    rmdirSync(this.at(name));
  }

  /** Gives an entry another place and name; a file that stands there is replaced. */
  move(name: Name, to: Directory, newName: Name): void {
    renameSync(this.at(name), to.at(newName));
  }

  /** Gives a file a further name. */
  linkTo(name: Name, to: Directory, newName: Name): void {
    linkSync(this.at(name), to.at(newName));
  }

  /** Gives the directory itself other permission bits, as `changeMode`. */
  setMode(mode: number): void {
    changeMode(this.#self, mode);
  }

  /** As `setMode`, unless it has them: to set setgid again, where a directory inherited it, is not for everybody. */
  ensureMode(mode: number): void {
    if ((this.ownStat().mode & 0o7777) !== mode) this.setMode(mode);
  }

  /** Gives the directory itself to a user. */
  give(uid: number, gid: number): void {
    chownSync(this.#self, uid, gid);
  }

  /** The group that everything made in it gets, where it has setgid; undefined for that of the process. */
  get groupForContents(): number | undefined {
    const { mode, gid } = this.ownStat();
    return (mode & 0o2000) === 0 ? undefined : gid;
  }

  /** The mount that the directory lies on. */
  get mountId(): string {
    this.#mountId ??= mountIdOf(this.#fd);
    return this.#mountId;
  }

  /** Where something is mounted, at an entry or below it, also by another mount of the same; undefined where nothing is. */
  mountAt(name: string): string | undefined {
    return mountBelow(join(this.realPath, name), this.mountId);
  }

  /** The names of entries that are mount points. */
  mountedNames(): string[] {
    return mountsIn(this.realPath, this.mountId);
  }

  /** Where it really is now, links resolved. */
  get realPath(): string {
    return readlinkSync(this.#self);
  }

  /** Whether its file system may report only after a write, when synced, that it could not write. */
  get writesBehind(): boolean {
    return writesBehind(this.at("."));
  }

  /** Whether this and another handle are on one directory, reached in one way. */
  isSame(other: Identity): boolean {
    return isSame(this.identity, other);
  }

  get identity(): Identity {
    const { dev, ino } = this.ownStat();
    return { dev, ino };
  }

  close(): void {
    closeSync(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** What stands under a name, in words; undefined for a directory and for nothing. */
  #kindOf(name: Name): string | undefined {
    const stat = this.stat(name);
    if (stat === undefined || stat.isDirectory()) return undefined;
    if (stat.isSymbolicLink()) return "a symbolic link, which is not followed";
    if (stat.isFile()) return "a file";
    return stat.isFIFO() ? "a fifo" : stat.isSocket() ? "a socket" : "a device";
  }

  get #self(): string {
    return `/proc/self/fd/${this.#fd}`;
  }
}

/** Gives what a handle is on to a user. */
export function giveHandle(fd: number, uid: number, gid: number): void {
  chownSync(`/proc/self/fd/${fd}`, uid, gid);
}

/** What `open` gives; undefined where nothing stands there, or a link, or a file in the place of a directory. */
export function unlessAbsent<T>(open: () => T): T | undefined {
  try {
    return open();
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}

/** Apart from `at`, since whatever names Buffer has it made, which takes a tenth of a millisecond. */
function inBytes(parent: string, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(parent), name]);
}
