import type { Directory, Name } from "./directory.ts";
import { type Identity, isSame } from "./identity.ts";

/** What is done on a walk through a tree; names are relative to the directory given beside them. */
export interface Visitor {
  /** For each entry: returns the directory to go down into, opened, or undefined where there is none. */
  entry(parent: Directory, name: Buffer): Directory | undefined;
  /** All that lies in a directory has been visited; `name` is its own in `parent`. */
  leave(parent: Directory, name: Name, directory: Directory): void;
  /** Something else is mounted at a directory, which is not entered. */
  mounted(parent: Directory, name: Name): void;
}

/** Up to this depth directories stay open, so that a walk back up costs nothing. */
const openLevels = 16;

interface Level {
  readonly name: Buffer;
  readonly path: string;
  readonly identity: Identity;
  /** Entries still to visit, the next one last. */
  readonly names: Buffer[];
  /** Undefined below `openLevels`, while the walk is further down. */
  directory: Directory | undefined;
}

/**
 * Visits a tree depth first, links never followed and mounts never entered. Neither descriptors nor the call stack grow with
 * its depth: deep down the way back is `..`, believed only where it leads to the directory that was come from. Throws what
 * the visitor throws, and an Error when the tree is moved about meanwhile.
 */
export function walkTree(root: Directory, visitor: Visitor): void {
  const levels: Level[] = [];
  let here = root;
  let names = root.names();
  const goDown = (child: Directory, name: Buffer) => {
    const isNear = levels.length < openLevels;
    levels.push({ name, names, path: here.path, identity: here.identity, directory: isNear ? here : undefined });
    if (!isNear) here.close();
    here = child;
    names = child.names();
  };
  const visit = (name: Buffer) => {
    const child = visitor.entry(here, name);
    if (child === undefined) return;
    if (isOnMountOf(root, child)) {
      goDown(child, name);
      return;
    }
    child.close();
    visitor.mounted(here, name);
  };
  try {
    for (;;) {
      const name = names.pop();
      if (name !== undefined) {
        visit(name);
        continue;
      }
      const level = levels.pop();
      if (level === undefined) return;
      const left = here;
      here = goUp(left, level);
      names = level.names;
      try {
        visitor.leave(here, level.name, left);
      } finally {
        left.close();
      }
    }
  } finally {
    for (const directory of [here, ...levels.map((level) => level.directory)]) {
      if (directory !== root) directory?.close();
    }
  }
}

/** Closes the child where it cannot be told. */
function isOnMountOf(root: Directory, child: Directory): boolean {
  try {
    return child.mountId === root.mountId;
  } catch (error) {
    child.close();
    throw error;
  }
}

function goUp(from: Directory, { directory, path, identity }: Level): Directory {
  if (directory !== undefined) return directory;
  const parent = from.openParent(path);
  if (isSame(parent.identity, identity)) return parent;
  parent.close();
  throw new Error(`${from.path} was moved meanwhile`);
}
