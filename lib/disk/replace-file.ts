import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readlinkSync,
  type Stats,
  writeSync,
} from "node:fs";
import { basename, dirname } from "node:path";
import { hasCode } from "../errors.ts";
import { Directory } from "./directory.ts";
import { privateName } from "./private-names.ts";
import { currentUser } from "./user.ts";
import { writeAll } from "./write.ts";

export interface ReplaceOptions {
  /** The umask of the process as it was started, for a file that is not there yet. */
  readonly umask: number;
  /** A link that lies below this directory is followed only where it leads to something below it. */
  readonly layersDir: string;
  /** What becomes of a link that is not followed: it gives way to the file, or an Error is thrown. */
  readonly otherLinks: "replace" | "refuse";
}

/**
 * Gives a file new content, whole or not at all: a temporary file beside it, synced and renamed, with the mode and owner of
 * the old one. A link, a mount point, a device, and a file in a directory that may not be written, is written in place. What
 * is checked is always the handle that is written through. Nothing that stands there makes it wait. Throws the system's
 * errors.
 */
export function replaceFile(path: string, content: Uint8Array, options: ReplaceOptions): void {
  const directory = Directory.open(dirname(path), dirname(path), true);
  try {
    const name = basename(path);
    const old = directory.stat(name);
    if (old?.isSymbolicLink() === true) {
      if (writeThroughLink(directory, name, content, options.layersDir)) return;
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
    if (old === undefined || !hasCode(error, "EACCES", "EPERM", "EROFS", "EBUSY", "EXDEV")) throw error;
    overwrite(directory, name, content);
  }
}

function makeFile(
  directory: Directory,
  name: string,
  content: Uint8Array,
  old: Stats | undefined,
  umask: number,
): void {
  const fd = directory.createFile(name, 0o600);
  try {
    writeAll(fd, content);
    if (old !== undefined) keepOwner(fd, old);
    fchmodSync(fd, old === undefined ? 0o666 & ~umask : old.mode & 0o7777);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function keepOwner(fd: number, old: Stats): void {
  try {
    fchownSync(fd, old.uid, old.gid);
  } catch (error) {
    // Only root may give a file away; then it belongs to the user this runs as.
    if (!hasCode(error, "EPERM")) throw error;
  }
}

function removeQuietly(directory: Directory, name: string): void {
  try {
    directory.unlink(name);
  } catch {
    // It was never made, or the next run sweeps it.
  }
}

const inPlace = constants.O_WRONLY | constants.O_NONBLOCK;

function overwrite(directory: Directory, name: string, content: Uint8Array): void {
  const fd = openSync(directory.at(name), inPlace | constants.O_NOFOLLOW);
  try {
    writeInto(fd, content);
  } finally {
    closeSync(fd);
  }
}

/** Writes to what a link leads to; false where the link may not be followed. */
function writeThroughLink(directory: Directory, name: string, content: Uint8Array, layersDir: string): boolean {
  let fd: number;
  try {
    fd = openSync(directory.at(name), inPlace);
  } catch (error) {
    // It leads nowhere, or in a circle.
    if (hasCode(error, "ENOENT", "ELOOP", "ENOTDIR")) return false;
    throw error;
  }
  try {
    if (!mayFollow(directory, fd, layersDir)) return false;
    writeInto(fd, content);
    return true;
  } finally {
    closeSync(fd);
  }
}

/** A link is followed where the platform put it (outside of the layers directory), or where it stays inside. */
function mayFollow(directory: Directory, target: number, layersDir: string): boolean {
  const layers = Directory.open(layersDir, layersDir, true);
  const root = layers.realPath;
  layers.close();
  const isBelow = (path: string) => `${path}/`.startsWith(`${root}/`);
  return !isBelow(directory.realPath) || isBelow(readlinkSync(`/proc/self/fd/${target}`));
}

/** Shortened last, so that a full disk is met before anything is lost. */
function writeInto(fd: number, content: Uint8Array): void {
  const stat = fstatSync(fd);
  if (!stat.isFile()) {
    writeToReader(fd, content);
    return;
  }
  if (stat.nlink > 1 && stat.uid !== currentUser().uid) {
    throw new Error("it has other names (hard links), and is somebody else's");
  }
  writeAll(fd, content, 0);
  ftruncateSync(fd, content.length);
  fsyncSync(fd);
}

/** How long a pipe or terminal may take nothing before it counts as not read. */
const readerMs = 5_000;

function writeToReader(fd: number, content: Uint8Array): void {
  const until = performance.now() + readerMs;
  for (let done = 0; done < content.length; ) {
    try {
      done += writeSync(fd, content, done);
    } catch (error) {
      if (!hasCode(error, "EAGAIN") || performance.now() > until) throw error;
      Bun.sleepSync(5);
    }
  }
}
