import { closeSync, fstatSync } from "node:fs";
import { isRefused } from "../errors.ts";
import type { Directory } from "./directory.ts";
import { currentUser } from "./user.ts";

/** Makes a directory, opens it, and sees that it is the one that was made. Throws the system's errors. */
export function makeFresh(parent: Directory, name: string, mode: number): Directory {
  parent.make(name, mode);
  const directory = parent.open(name);
  closeToOthers(directory, mode);
  refuseOthers(directory);
  return directory;
}

/** A default ACL may have opened it wider, and it may be another of our own that somebody put in its place. */
function closeToOthers(directory: Directory, mode: number): void {
  const given = directory.ownStat().mode;
  if ((given & 0o077 & ~mode) !== 0 && isOwn(directory)) directory.setMode((given & 0o7000) | mode);
}

/**
 * As `makeFresh`, so that nobody else may enter it. Where `chmod` changes nothing it gets the mode that most directories have
 * in the end, with which nobody else can write to it either. An inherited setgid stays (D22): `chmod` would take it.
 */
export function makePrivate(parent: Directory, name: string): Directory {
  const directory = makeFresh(parent, name, 0o700);
  if (directory.groupForContents !== undefined || changesMode(directory)) return directory;
  directory.close();
  parent.removeEmpty(name);
  return makeFresh(parent, name, 0o755);
}

function changesMode(directory: Directory): boolean {
  try {
    directory.setMode(0o755);
    const isChanged = (directory.ownStat().mode & 0o777) === 0o755;
    directory.setMode(0o700);
    return isChanged;
  } catch (error) {
    if (isRefused(error)) return false;
    throw error;
  }
}

/** Another process that may write beside it can put a directory of its own in the place of what was made. */
function refuseOthers(directory: Directory): void {
  if (isOwn(directory) && directory.names().length === 0) return;
  directory.close();
  throw new Error("somebody else's directory took the place of our own");
}

/** File servers may give all that a user makes to another one (root_squash): then files have the directory's owner, too. */
function isOwn(directory: Directory): boolean {
  const { uid } = directory.ownStat();
  if (uid === currentUser().uid) return true;
  return probe(directory, 0o600, (fd) => fstatSync(fd).uid === uid);
}

/** What a look at a file tells that is made in a directory of our own, and removed again. */
export function probe<T>(directory: Directory, mode: number, look: (fd: number) => T): T {
  const fd = directory.createFile("probe", mode);
  try {
    return look(fd);
  } finally {
    closeSync(fd);
    directory.unlink("probe");
  }
}
