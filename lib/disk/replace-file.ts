import { closeSync, constants, fchownSync, fstatSync, openSync, readlinkSync, type Stats } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { hasCode, isRefused } from "../errors.ts";
import { Directory, unlessAbsent } from "./directory.ts";
import { changeMode } from "./modes.ts";
import { refusesRename } from "./move.ts";
import { privateName } from "./private-names.ts";
import { O_PATH } from "./read-file.ts";
import { sync } from "./sync.ts";
import { writeAll } from "./write.ts";
import { writeInPlace } from "./write-in-place.ts";

export interface ReplaceOptions {
  /** The umask of the process as it was started, for a file that is not there yet. */
  readonly umask: number;
  /** What a path by way of this directory leads to must lie below it, or it is not followed. */
  readonly layersDir: string;
  /** What becomes of a link that is not followed: it gives way to the file, or an Error is thrown. */
  readonly otherLinks: "replace" | "refuse";
}

/**
 * Gives a file new content, whole or not at all: a temporary file beside it, synced and renamed, with the mode and owner of
 * the old one. A link, a mount point, a device, a file in a directory that may not be written, and one on a file system that
 * does not rename or does not keep modes, is written in place. What is checked is always the handle that is written
 * through. Nothing that stands there makes it wait. Throws the system's errors.
 */
export function replaceFile(path: string, content: Uint8Array, options: ReplaceOptions): void {
  const directory = Directory.open(dirname(path), dirname(path), true);
  try {
    const bounds = new Bounds(options.layersDir);
    bounds.check(path, directory);
    const name = basename(path);
    const old = directory.stat(name);
    if (old?.isSymbolicLink() === true) {
      if (writeThroughLink(directory, name, content, bounds)) return;
      if (options.otherLinks === "refuse") throw new Error("it is a link that leads out of the layers directory");
      replace(directory, name, content, undefined, options.umask);
    } else if (old === undefined || old.isFile()) {
      replace(directory, name, content, old, options.umask);
    } else {
      overwrite(directory, name, content);
    }
  } finally {
    directory.close();
  }
}

function replace(directory: Directory, name: string, content: Uint8Array, old: Stats | undefined, umask: number): void {
  const temporary = privateName();
  try {
    makeFile(directory, temporary, content, old, umask);
    directory.move(temporary, directory, name);
  } catch (error) {
    removeQuietly(directory, temporary);
    if (!refusesRename(error) && !hasCode(error, "EACCES", "EROFS", "EBUSY")) throw error;
    if (old !== undefined) {
      overwrite(directory, name, content);
      return;
    }
    removeQuietly(directory, name);
    makeFile(directory, name, content, undefined, umask);
  }
}

function makeFile(
  directory: Directory,
  name: string,
  content: Uint8Array,
  old: Stats | undefined,
  umask: number,
): void {
  const fd = directory.createFile(name, old === undefined ? 0o666 & ~umask : 0o600);
  try {
    writeAll(fd, content);
    if (old !== undefined) keepOwnerAndMode(fd, old);
    sync(fd);
  } finally {
    closeSync(fd);
  }
}

function keepOwnerAndMode(fd: number, old: Stats): void {
  try {
    fchownSync(fd, old.uid, old.gid);
  } catch (error) {
    // Only root may give a file away; then it belongs to the user this runs as.
    if (!isRefused(error)) throw error;
  }
  const mode = old.mode & 0o777;
  changeMode(`/proc/self/fd/${fd}`, mode);
  if ((fstatSync(fd).mode & 0o777) !== mode) throw new ModesNotKept();
}

/** On some file systems `chmod` succeeds, and changes nothing. */
class ModesNotKept extends Error {
  readonly code = "EPERM";
}

function removeQuietly(directory: Directory, name: string): void {
  try {
    directory.unlink(name);
  } catch {
    // It was never made, or the next run sweeps it.
  }
}

/** Writes to what stands under a name, which is not a link. */
function overwrite(directory: Directory, name: string, content: Uint8Array): void {
  const handle = openSync(directory.at(name), O_PATH | constants.O_NOFOLLOW);
  try {
    writeInPlace(handle, content);
  } finally {
    closeSync(handle);
  }
}

/** Writes to what a link leads to; false where the link may not be followed. */
function writeThroughLink(directory: Directory, name: string, content: Uint8Array, bounds: Bounds): boolean {
  let handle: number;
  try {
    handle = openSync(directory.at(name), O_PATH);
  } catch (error) {
    // It leads nowhere, or in a circle.
    if (hasCode(error, "ENOENT", "ELOOP", "ENOTDIR")) return false;
    throw error;
  }
  try {
    if (bounds.isOnTheWay(directory, name) && !bounds.isAllowed(handle)) return false;
    writeInPlace(handle, content);
    return true;
  } finally {
    closeSync(handle);
  }
}

/** More links than the kernel follows. */
const mostLinks = 40;

/** The layers directory, as a bound: what is reached by way of it must lie in it, for a buildpack may have put links there. */
class Bounds {
  readonly #given: string;
  readonly #real: string;

  constructor(layersDir: string) {
    this.#given = resolve(layersDir);
    using layers = unlessAbsent(() => Directory.open(layersDir, layersDir, true));
    this.#real = layers?.realPath ?? this.#given;
  }

  /** Whether a path leads through the layers directory, or a link that an earlier link leads to lies there. */
  isOnTheWay(directory: Directory, name: string): boolean {
    let path = join(directory.realPath, name);
    for (let links = 0; links < mostLinks; links++) {
      if (this.names(path)) return true;
      const target = linkAt(path);
      if (target === undefined) return false;
      path = resolve(dirname(path), target);
    }
    return true;
  }

  /** Whether a path begins with the layers directory, by either of its names. */
  names(path: string): boolean {
    return isBelow(path, this.#given) || isBelow(path, this.#real);
  }

  /** Whether a path that led through the layers directory may be written: its end, by handle, lies there under one name. */
  isAllowed(handle: number): boolean {
    const { nlink } = fstatSync(handle);
    return isBelow(readlinkSync(`/proc/self/fd/${handle}`), this.#real) && nlink === 1;
  }

  /** Throws where the directory of a path below the layers directory lies elsewhere: a link in the path led there. */
  check(path: string, directory: Directory): void {
    if (!this.names(resolve(path)) || isBelow(`${directory.realPath}/`, this.#real)) return;
    throw new Error("a link in its path leads out of the layers directory");
  }
}

function isBelow(path: string, directory: string): boolean {
  return path.startsWith(`${directory}/`);
}

function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
