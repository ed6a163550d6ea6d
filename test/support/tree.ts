import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** What a directory holds: text, bytes, a directory, a link, or an entry with a mode of its own. */
export interface Tree {
  readonly [name: string]: string | Uint8Array | Tree | Entry;
}
type Entry = ReturnType<typeof file> | ReturnType<typeof directory> | ReturnType<typeof link>;
const entryKind = Symbol("entry");

/** A regular file with a mode. */
export function file(content: string | Uint8Array, mode = 0o644) {
  return { [entryKind]: "file", content, mode } as const;
}

/** A directory with a mode, set after its contents are written. */
export function directory(tree: Tree, mode = 0o755) {
  return { [entryKind]: "directory", tree, mode } as const;
}

/** A symbolic link. */
export function link(target: string) {
  return { [entryKind]: "link", target } as const;
}

/** Writes a tree into an existing directory: files 0644 and directories 0755 unless they say otherwise. */
export function writeTree(root: string, tree: Tree): void {
  for (const [name, value] of Object.entries(tree)) {
    const path = join(root, name);
    mkdirSync(dirname(path), { recursive: true });
    const entry = toEntry(value);
    switch (entry[entryKind]) {
      case "file":
        writeFileSync(path, entry.content);
        chmodSync(path, entry.mode);
        break;
      case "link":
        symlinkSync(entry.target, path);
        break;
      case "directory":
        mkdirSync(path, { recursive: true });
        writeTree(path, entry.tree);
        chmodSync(path, entry.mode);
    }
  }
}

function toEntry(value: Tree[string]): Entry {
  if (typeof value === "string" || value instanceof Uint8Array) return file(value);
  return isEntry(value) ? value : directory(value);
}

function isEntry(value: Tree | Entry): value is Entry {
  return entryKind in value;
}

/** A directory that removes itself at the end of the block: `using dir = tempDir("cache", { "a/b": "text" })`. */
export interface TempDir extends Disposable {
  readonly path: string;
  /** A path below the directory. */
  join(...parts: string[]): string;
  toString(): string;
}

/** Makes a temporary directory that any user may enter, filled with a tree. */
export function tempDir(name = "test", tree: Tree = {}): TempDir {
  const path = mkdtempSync(join(tmpdir(), `restorer-${name}-`));
  chmodSync(path, 0o755);
  writeTree(path, tree);
  return {
    path,
    join: (...parts) => join(path, ...parts),
    toString: () => path,
    [Symbol.dispose]: () => removeTree(path),
  };
}

/** Removes a file or a tree, also with read-only or closed directories in it. Links are removed, never followed. */
export function removeTree(path: string | Buffer): void {
  const bytes = Buffer.from(path);
  const stat = lstatSync(bytes, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isDirectory()) {
    unlinkSync(bytes);
    return;
  }
  if ((stat.mode & 0o700) !== 0o700) chmodSync(bytes, 0o700);
  for (const name of readdirSync(bytes, { encoding: "buffer" })) removeTree(joinBytes(bytes, name));
  rmdirSync(bytes);
}

/** Joins a path and a name, both as bytes: names need not be UTF-8. */
export function joinBytes(parent: Buffer, name: Uint8Array): Buffer {
  return Buffer.concat([parent, Buffer.from("/"), name]);
}
