import { closeSync, fstatSync } from "node:fs";
import { hasCode, isRefused } from "../errors.ts";
import type { Directory } from "./directory.ts";
import { sync } from "./sync.ts";
import { copyAll } from "./write.ts";

/** Whether a file system refused to rename something that may be renamed elsewhere; EMFILE is gcsfuse's "too many in it". */
export function refusesRename(error: unknown): boolean {
  return isRefused(error) || hasCode(error, "EXDEV", "EMFILE");
}

/** As `refusesRename`, for a directory: some object stores answer with what is else a broken disk, which shows soon enough. */
export function refusesDirectoryRename(error: unknown): boolean {
  return refusesRename(error) || hasCode(error, "EIO");
}

/**
 * Moves a file to another directory, over a file that stands there: by rename, else by a hard link, else by a copy. Throws
 * the system's errors, EISDIR where a directory stands there.
 */
export function moveFile(from: Directory, name: string, to: Directory, newName: string): void {
  try {
    from.move(name, to, newName);
    return;
  } catch (error) {
    if (!refusesRename(error)) throw error;
  }
  const standing = to.stat(newName);
  if (standing?.isDirectory() === true) throw Object.assign(new Error("EISDIR: is a directory"), { code: "EISDIR" });
  if (standing !== undefined) to.unlink(newName);
  try {
    from.linkTo(name, to, newName);
  } catch (error) {
    if (!refusesLink(error)) throw error;
    copy(from, name, to, newName);
  }
  from.unlink(name);
}

/** Whether a file system refused a hard link: it has none, or not so many to one file. */
export function refusesLink(error: unknown): boolean {
  return isRefused(error) || hasCode(error, "EMLINK", "EXDEV");
}

function copy(from: Directory, name: string, to: Directory, newName: string): void {
  const source = from.openFile(name);
  try {
    const target = to.createFile(newName, fstatSync(source).mode & 0o777);
    try {
      copyAll(source, target);
      sync(target);
    } catch (error) {
      to.unlink(newName);
      throw error;
    } finally {
      closeSync(target);
    }
  } finally {
    closeSync(source);
  }
}
