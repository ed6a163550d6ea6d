import { type BigIntStats, chmodSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { isRoot, joinBytes, sha256File } from "../support/harness.ts";

/** An entry of a tree that was found on disk. */
export interface Found {
  readonly location: Buffer;
  readonly type: "file" | "dir" | "symlink" | "other";
  /** "0755"; of a link nothing. */
  readonly mode: string | undefined;
  readonly owner: string;
  readonly target: string | undefined;
  readonly size: bigint;
  /** In nanoseconds. */
  readonly modified: bigint;
  readonly device: bigint;
  readonly inode: bigint;
}

/**
 * Every entry below a directory by its path, parents first, except directories of the names in `skip` right below it. No link
 * is followed but the root itself. Empty when the root is no directory.
 */
export function walk(root: string, skip: readonly string[] = []): Map<string, Found> {
  const entries = new Map<string, Found>();
  const visit = (directory: Buffer, prefix: string): void => {
    for (const name of withAccess(directory, 0o700, () => readdirSync(directory, { encoding: "buffer" }))) {
      const location = joinBytes(directory, name);
      const path = `${prefix}${pathText(name)}`;
      const found = withAccess(directory, 0o700, () => look(location));
      if (found.type === "dir" && skip.includes(path)) continue;
      entries.set(path, found);
      if (found.type === "dir") visit(location, `${path}/`);
    }
  };
  if (statSync(root, { throwIfNoEntry: false })?.isDirectory()) visit(Buffer.from(root), "");
  return entries;
}

function look(location: Buffer): Found {
  const stat = lstatSync(location, { bigint: true });
  const type = typeOf(stat);
  return {
    location,
    type,
    mode: type === "file" || type === "dir" ? (stat.mode & 0o7777n).toString(8).padStart(4, "0") : undefined,
    owner: `${stat.uid}:${stat.gid}`,
    target: type === "symlink" ? pathText(readlinkSync(location, { encoding: "buffer" })) : undefined,
    size: type === "dir" ? 0n : stat.size,
    modified: stat.mtimeNs,
    device: stat.dev,
    inode: stat.ino,
  };
}

function typeOf(stat: BigIntStats): Found["type"] {
  if (stat.isSymbolicLink()) return "symlink";
  if (stat.isDirectory()) return "dir";
  return stat.isFile() ? "file" : "other";
}

/** The bytes of a file, even if its own mode forbids it. */
export function bytesOf({ location }: Found): Buffer {
  return withAccess(location, 0o400, () => readFileSync(location));
}

/** The SHA-256 of a file in hex, even if its own mode forbids to read it. */
export function sha256Of({ location }: Found): string {
  return withAccess(location, 0o400, () => sha256File(location));
}

/** Does something that the mode of one's own file or directory forbids; root may do everything anyway. */
function withAccess<T>(path: Buffer, needed: number, action: () => T): T {
  if (isRoot) return action();
  const { mode } = statSync(path);
  if ((mode & needed) === needed) return action();
  chmodSync(path, needed);
  try {
    return action();
  } finally {
    chmodSync(path, mode & 0o7777);
  }
}

/** What must stay the same in a directory, itself included unless something is skipped: an entry's path and a line of all it is. */
export type Recording = ReadonlyMap<string, string>;

/** Records a directory, to be compared later. */
export function record(root: string, skip: readonly string[] = []): Recording {
  const entries = walk(root, skip);
  const isThere = lstatSync(root, { throwIfNoEntry: false }) !== undefined;
  if (skip.length === 0 && isThere) entries.set(".", look(Buffer.from(root)));
  return new Map([...entries].map(([path, found]) => [path, describe(found)]));
}

function describe(found: Found): string {
  const { type, mode, owner, target, size, modified } = found;
  const content = type === "file" ? sha256Of(found) : (target ?? "");
  return [type, mode ?? "", owner, size, modified, content].join(" ").trimEnd();
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * A name as text. A byte that is no UTF-8 becomes a lone surrogate, 0xE9 for one `\udce9`, so that different names are different
 * texts, and can be written in JSON.
 */
export function pathText(bytes: Uint8Array): string {
  const whole = decode(bytes);
  if (whole !== undefined) return whole;
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const length = [1, 2, 3, 4].find((size) => decode(bytes.subarray(at, at + size)) !== undefined);
    text += decode(bytes.subarray(at, at + (length ?? 0))) ?? "";
    if (length === undefined) text += String.fromCharCode(0xdc00 + (bytes[at] ?? 0));
    at += length ?? 1;
  }
  return text;
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}
