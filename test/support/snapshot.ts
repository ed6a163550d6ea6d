import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, type Stats } from "node:fs";
import { joinBytes } from "./tree.ts";

interface SnapshotEntry {
  readonly type: "file" | "directory" | "symlink" | "other";
  /** Permission bits with setuid, setgid and sticky, in octal: "0755". */
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of a file; 0 for everything else. */
  readonly size: number;
  readonly sha256?: string;
  /** A symbolic link's target. */
  readonly target?: string;
  /** For a file with several names: the first of them inside the tree. */
  readonly sameFileAs?: string;
}

/** Relative path → entry, parents first, sorted by bytes. The root itself is not in it. */
export type Snapshot = Map<string, SnapshotEntry>;

/**
 * Records a tree without following links. Names and targets that are not UTF-8 show their odd bytes as `\xNN` (and a
 * backslash as `\\`), so that different bytes are different names.
 */
export function snapshot(root: string): Snapshot {
  const result: Snapshot = new Map();
  const firstNames = new Map<string, string>();
  const visit = (path: Buffer, relative: string): void => {
    const names = readdirSync(path, { encoding: "buffer" }).sort(Buffer.compare);
    for (const name of names) {
      const child = joinBytes(path, name);
      const shown = relative === "" ? showBytes(name) : `${relative}/${showBytes(name)}`;
      const stat = lstatSync(child);
      result.set(shown, describeEntry(child, shown, stat, firstNames));
      if (stat.isDirectory()) visit(child, shown);
    }
  };
  visit(Buffer.from(root), "");
  return result;
}

function describeEntry(path: Buffer, shown: string, stat: Stats, firstNames: Map<string, string>): SnapshotEntry {
  const mode = `0${(stat.mode & 0o7777).toString(8)}`.padStart(4, "0");
  const common = { mode: mode.slice(-4), uid: stat.uid, gid: stat.gid };
  if (stat.isDirectory()) return { type: "directory", ...common, size: 0 };
  if (stat.isSymbolicLink()) {
    const target = showBytes(readlinkSync(path, { encoding: "buffer" }));
    return { type: "symlink", ...common, size: 0, target };
  }
  if (!stat.isFile()) return { type: "other", ...common, size: 0 };
  const entry = { type: "file", ...common, size: stat.size, sha256: sha256File(path) } as const;
  if (stat.nlink === 1) return entry;
  const inode = `${stat.dev}:${stat.ino}`;
  const first = firstNames.get(inode) ?? shown;
  firstNames.set(inode, first);
  return { ...entry, sameFileAs: first };
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes as text, in a form that different bytes never share. */
function showBytes(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes).replaceAll("\\", "\\\\");
  } catch {
    const visible = (c: string) => (c === "\\" ? "\\\\" : `\\x${c.charCodeAt(0).toString(16)}`);
    return Buffer.from(bytes)
      .toString("latin1")
      .replace(/[\\\x80-\xff]/g, visible);
  }
}

const chunk = Buffer.allocUnsafe(1024 * 1024);

/** The SHA-256 of a file's contents in hex, read in pieces. */
export function sha256File(path: string | Buffer): string {
  const hasher = new Bun.CryptoHasher("sha256");
  const fd = openSync(path, "r");
  try {
    for (let n = readSync(fd, chunk); n > 0; n = readSync(fd, chunk)) hasher.update(chunk.subarray(0, n));
  } finally {
    closeSync(fd);
  }
  return hasher.digest("hex");
}

/**
 * What differs between two snapshots, one line each and at most `limit` of them; empty when they agree.
 * `ignore` names fields that do not matter, such as owners when the runs are by different users.
 */
export function differences(
  actual: Snapshot,
  expected: Snapshot,
  { ignore = [], limit = 20 }: { ignore?: readonly (keyof SnapshotEntry)[]; limit?: number } = {},
): string[] {
  const show = (entry: SnapshotEntry | undefined): string =>
    entry === undefined
      ? "absent"
      : JSON.stringify(entry, (key, value) => (ignore.some((field) => field === key) ? undefined : value));
  const lines: string[] = [];
  for (const path of new Set([...expected.keys(), ...actual.keys()])) {
    const [is, should] = [show(actual.get(path)), show(expected.get(path))];
    if (is !== should) lines.push(`${path}: is ${is}, should be ${should}`);
  }
  return lines.length > limit ? [...lines.slice(0, limit), `… and ${lines.length - limit} more`] : lines;
}
