import { hasCode } from "../errors.ts";
import { quote } from "../text.ts";
import { isKept } from "./cache-places.ts";
import type { Directory, Name } from "./directory.ts";
import { type Visitor, walkTree } from "./walk.ts";

/** Something is mounted, or the cache lies, where something was to be removed or moved, which leaves it as it is. */
export class MountError extends Error {
  override readonly name = "MountError";
}

/**
 * Throws a MountError where an entry is a mount point or holds one, or holds the cache: what is to be removed or moved stays
 * whole then.
 */
export function refuseMounts(parent: Directory, name: string): void {
  const stat = parent.stat(name);
  if (stat === undefined) return;
  const path = quote(`${parent.path}/${name}`);
  if (isKept(stat)) {
    const isLink = stat.isSymbolicLink();
    throw new MountError(isLink ? `the cache is reached by the link ${path}` : `the cache lies at ${path}, or in it`);
  }
  const mount = parent.mountAt(name);
  if (mount !== undefined) throw new MountError(`something is mounted at ${quote(mount)}`);
}

/**
 * Removes a file, link or directory tree below a directory: by handles only, so that no link is followed, whatever other
 * processes do meanwhile, and no mount is entered. Directories are made writable first, for a 0555 one keeps its content
 * even from its owner. What does not exist, or is removed by somebody else meanwhile, is fine. Throws MountErrors and the
 * system's errors; what is left then can be removed by a later call.
 */
export function removeTree(parent: Directory, name: Name): void {
  const root = removeUnlessDirectory(parent, name);
  if (root === undefined) return;
  try {
    if (root.mountId !== parent.mountId) visitor.mounted(parent, name);
    walkTree(root, visitor);
  } finally {
    root.close();
  }
  visitor.leave(parent, name, root);
}

/** As `removeTree`, for all that lies in a directory. */
export function emptyDirectory(directory: Directory): void {
  walkTree(directory, visitor);
}

const visitor: Visitor = {
  entry: removeUnlessDirectory,
  leave(parent, name) {
    unlessGone(() => parent.removeEmpty(name));
  },
  mounted(parent, name) {
    throw new MountError(`something is mounted at ${quote(`${parent.path}/${name}`)}`);
  },
};

/** Removes what is not a directory; returns a directory, opened and made writable. */
function removeUnlessDirectory(parent: Directory, name: Name): Directory | undefined {
  try {
    unlessGone(() => parent.unlink(name));
    return undefined;
  } catch (error) {
    // EPERM is POSIX's answer for a directory, EISDIR Linux's.
    if (!hasCode(error, "EISDIR", "EPERM")) throw error;
    const directory = parent.openIfThere(name);
    if (directory === undefined) throw error;
    makeWritable(directory, parent);
    return directory;
  }
}

/** Not a mount's: that belongs to somebody else. */
function makeWritable(directory: Directory, parent: Directory): void {
  try {
    const isWritable = (directory.ownStat().mode & 0o700) === 0o700;
    if (!isWritable && directory.mountId === parent.mountId) directory.setMode(0o700);
  } catch (error) {
    directory.close();
    throw error;
  }
}

function unlessGone(remove: () => void): void {
  try {
    remove();
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
  }
}
