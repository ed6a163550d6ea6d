import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  unlinkSync,
} from "node:fs";
import { join } from "node:path";
import { cannotWrite, errorCode } from "./errors.ts";

/** open(2)'s O_PATH: a handle on a directory that needs no permission to read it. */
const O_PATH = 0o10000000;
const slash = Buffer.from("/");
const hasProc = existsSync("/proc/self/fd");

/**
 * A directory held open, whose entries are named relative to it (openat): whatever happens to its path meanwhile, and
 * whatever links are planted there, `at` stays inside. Without /proc it falls back to plain paths.
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

  /** A path to an entry, for system calls that do not follow a link in the last place. */
  at(name: string): string {
    return hasProc ? `/proc/self/fd/${this.#fd}/${name}` : join(this.path, name);
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

let mountPoints: ReadonlySet<string> | undefined;

/** Whether something is mounted at a directory: renames into it fail then, even from the same device. */
export function isMountPoint(directory: Directory): boolean {
  mountPoints ??= readMountPoints();
  return mountPoints.has(realpathSync(directory.path));
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
 * Removes a file, link or directory tree that nobody else can reach, links never followed. Directories are made writable
 * first, for a 0555 one keeps its content even from its owner. What does not exist is fine. Throws the system's errors.
 */
export function removeTree(path: string | Buffer): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isDirectory()) {
    unlinkSync(path);
    return;
  }
  if ((stat.mode & 0o700) !== 0o700) chmodSync(path, 0o700);
  if (path.length < longPath) {
    removeEntries(Buffer.from(path));
  } else {
    const directory = Directory.open(path);
    try {
      removeEntries(Buffer.from(directory.at(".")));
    } finally {
      directory.close();
    }
  }
  rmdirSync(path);
}

/** From here on `removeTree` goes by handles: deep inside, a path may be too long for the system (PATH_MAX). */
const longPath = 2048;

function removeEntries(path: Buffer): void {
  for (const name of readdirSync(path, { encoding: "buffer" })) {
    const child = Buffer.concat([path, slash, name]);
    try {
      unlinkSync(child);
    } catch (error) {
      if (errorCode(error) !== "EISDIR") throw error;
      removeTree(child);
    }
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
    mkdirSync(path, mode);
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
