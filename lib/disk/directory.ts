import {
  chmodSync,
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  type Stats,
  statfsSync,
  unlinkSync,
} from "node:fs";
import { join } from "node:path";
import { errorCode, hasCode } from "../errors.ts";
import { cannotWrite } from "../failures.ts";

/** open(2)'s O_PATH: a handle on whatever stands there that opens nothing, and needs no permission to read it. */
export const O_PATH = 0o10000000;
const slash = Buffer.from("/");

/**
 * A directory held open, whose entries are named relative to it (openat): whatever happens to its path meanwhile, and
 * whatever links are planted there, `at` stays inside.
 */
export class Directory {
  /** For messages only. */
  readonly path: string;
  readonly #fd: number;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /** Opens a directory. Throws ENOTDIR for anything else, links included unless `follow` is given. */
  static open(path: string | Buffer, display = path.toString(), follow = false): Directory {
    const nofollow = follow ? 0 : constants.O_NOFOLLOW;
    return new Directory(display, openSync(path, O_PATH | constants.O_DIRECTORY | nofollow));
  }

  /** Opens a directory below this one; links are not followed. */
  open(name: string): Directory {
    return Directory.open(this.at(name), join(this.path, name));
  }

  /** As `open`; undefined where no directory of this name stands, but nothing, a link or a file. */
  openIfThere(name: string): Directory | undefined {
    return unlessAbsent(() => this.open(name));
  }

  /** A path to an entry, for system calls that do not follow a link in the last place. */
  at(name: string): string {
    return `/proc/self/fd/${this.#fd}/${name}`;
  }

  /** As `at`, for a name of any bytes. */
  atBytes(name: Buffer): Buffer {
    return Buffer.concat([Buffer.from(this.at("")), name]);
  }

  /** Names and types of the entries. */
  list(): { name: string; isDirectory: boolean }[] {
    return readdirSync(this.at("."), { withFileTypes: true }).map((entry) => ({
      name: entry.name,
      isDirectory: entry.isDirectory(),
    }));
  }

  close(): void {
    closeSync(this.#fd);
  }
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

/** Types (statfs) of file systems that send what is written to somebody else later: NFS, CIFS, SMB2, FUSE, 9p, Ceph. */
const behind = new Set([0x6969, 0xff534d42, 0xfe534d42, 0x65735546, 0x01021997, 0x00c36400]);

/** Whether a file system may report only after a write, when synced, that it could not write. */
export function writesBehind(directory: Directory): boolean {
  return behind.has(statfsSync(directory.at(".")).type >>> 0);
}

let mountPoints: ReadonlySet<string> | undefined;

/** Whether something is mounted at a directory: renames into it fail then, even from the same device. */
export function isMountPoint(directory: Directory): boolean {
  mountPoints ??= readMountPoints();
  return mountPoints.has(readlinkSync(directory.at("").slice(0, -1)));
}

function readMountPoints(): ReadonlySet<string> {
  try {
    const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    const decode = (path: string) =>
      path.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)));
    return new Set(lines.map((line) => decode(line.split(" ")[4] ?? "")));
  } catch {
    return new Set();
  }
}

/**
 * Removes a file, link or directory tree, links never followed and mounts never entered. Directories are made writable
 * first, for a 0555 one keeps its content even from its owner. What does not exist, or is removed by somebody else
 * meanwhile, is fine. A tree that others can reach (`reachable`) is walked by handles. Throws the system's errors.
 */
export function removeTree(path: string | Buffer, reachable = false): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (stat.isDirectory()) removeDirectory(path, stat, stat.dev, reachable);
  else unlessGone(() => unlinkSync(path));
}

/** From here on paths may be too long for the system deep inside (PATH_MAX), and handles are used. */
const longPath = 2048;

function removeDirectory(path: string | Buffer, { mode, dev }: Stats, device: number, reachable: boolean): void {
  if (dev !== device) throw Object.assign(new Error("something is mounted inside"), { code: "EBUSY" });
  const handle = reachable || path.length >= longPath ? Directory.open(path) : undefined;
  try {
    const base = handle === undefined ? path : handle.at(".");
    if ((mode & 0o700) !== 0o700) chmodSync(base, 0o700);
    for (const name of readdirSync(base, { encoding: "buffer" })) {
      const child = Buffer.concat([Buffer.from(base), slash, name]);
      try {
        unlessGone(() => unlinkSync(child));
      } catch (error) {
        if (errorCode(error) !== "EISDIR") throw error;
        const stat = lstatSync(child, { throwIfNoEntry: false });
        if (stat !== undefined) removeDirectory(child, stat, device, reachable);
      }
    }
  } finally {
    handle?.close();
  }
  unlessGone(() => rmdirSync(path));
}

function unlessGone(remove: () => void): void {
  try {
    remove();
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
}

/** Makes a directory and those above it as needed, with a given mode whatever the umask. Throws the system's errors. */
export function makeDirectories(path: string, mode: number): void {
  try {
    mkdirSync(path, mode);
  } catch (error) {
    const code = errorCode(error);
    if (code === "EEXIST") return;
    if (code !== "ENOENT") throw error;
    makeDirectories(join(path, ".."), mode);
    makeDirectories(path, mode);
  }
}

/** Opens the layers directory, made as needed; it may be a link itself (a mounted volume). Throws a RestorerError (exit 42). */
export function openLayersDirectory(path: string, umask: number): Directory {
  try {
    makeDirectories(path, 0o777 & ~umask);
    return Directory.open(path, path, true);
  } catch (error) {
    throw cannotWrite(path, error);
  }
}
