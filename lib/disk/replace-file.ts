import { closeSync, constants, fchownSync, fstatSync, openSync, type Stats } from "node:fs";
import { basename, dirname } from "node:path";
import { hasCode, isRefused } from "../errors.ts";
import { Bounds, type SharedPlaces } from "./bounds.ts";
import { inCache, isLinkedTo } from "./cache-places.ts";
import { Directory } from "./directory.ts";
import { changeMode } from "./modes.ts";
import { refusesRename } from "./move.ts";
import { privateName } from "./private-names.ts";
import { O_PATH } from "./read-file.ts";
import { sync } from "./sync.ts";
import { writeAll } from "./write.ts";
import { writeInPlace } from "./write-in-place.ts";

/** How a file is replaced that may be a link, or absent. */
interface ReplaceOptions {
  /** The umask of the process as it was started, for a file that is not there yet. */
  readonly umask: number;
  /** What a path by way of one of these leads to must lie below it, or it is not followed. */
  readonly shared: SharedPlaces;
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
    const bounds = new Bounds(options.shared);
    bounds.check(path, directory);
    const name = basename(path);
    if (isLinkedTo(directory, name)) throw new Error(inCache);
    const old = directory.stat(name);
    if (old?.isSymbolicLink() === true) {
      const refusal = writeThroughLink(directory, name, content, bounds);
      if (refusal === undefined) return;
      if (options.otherLinks === "refuse") throw new Error(`it is a link that ${refusal}`);
      replace(name, { directory, content, old: undefined, umask: options.umask });
    } else if (old === undefined || old.isFile()) {
      replace(name, { directory, content, old, umask: options.umask });
    } else {
      overwrite(directory, name, content);
    }
  } finally {
    directory.close();
  }
}

/** A file that takes the place of another, or of none. */
interface Replacement {
  readonly directory: Directory;
  readonly content: Uint8Array;
  readonly old: Stats | undefined;
  readonly umask: number;
}

function replace(name: string, replacement: Replacement): void {
  const { directory, content, old } = replacement;
  const temporary = privateName();
  try {
    makeFile(temporary, replacement);
    directory.move(temporary, directory, name);
  } catch (error) {
    removeQuietly(directory, temporary);
    if (!refusesRename(error) && !hasCode(error, "EACCES", "EROFS", "EBUSY")) throw error;
    if (old !== undefined) {
      overwrite(directory, name, content);
      return;
    }
    removeQuietly(directory, name);
    makeFile(name, replacement);
  }
}

function makeFile(name: string, { directory, content, old, umask }: Replacement): void {
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

/** Writes to what a link leads to; where it may not be followed, says why: "leads nowhere". */
function writeThroughLink(directory: Directory, name: string, content: Uint8Array, bounds: Bounds): string | undefined {
  let handle: number;
  try {
    handle = openSync(directory.at(name), O_PATH);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ELOOP", "ENOTDIR")) return "leads nowhere";
    throw error;
  }
  try {
    const left = bounds.refusal(directory, name, handle);
    if (left !== undefined) return `leads out of ${left}`;
    writeInPlace(handle, content);
    return undefined;
  } finally {
    closeSync(handle);
  }
}
