import { test } from "bun:test";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  rmdirSync,
  type Stats,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

/** Whether the tests run as root, and so may drop privileges, chown and mount. */
export const isRoot = process.getuid?.() === 0;

/** Whether a program is on PATH. */
export function have(tool: string): boolean {
  return Bun.which(tool) !== null;
}

type TestFunction = (name: string, run: () => void | Promise<void>, timeoutMs?: number) => void;

/** `test` where the condition holds; elsewhere a skip that names the test and what it lacks on stderr. */
export function skipUnless(condition: boolean, missing: string): TestFunction {
  if (condition) return (name, run, timeoutMs) => test(name, run, timeoutMs);
  return (name, run) => {
    console.error(`SKIPPED, needs ${missing}: ${name}`);
    test.skip(name, run);
  };
}

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

export interface RunOptions {
  /** Added to the scrubbed environment; `undefined` unsets. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly stdin?: string | Uint8Array;
  /** Runs the executable as another user (as root, with `setpriv`); supplementary groups are cleared. */
  readonly uid?: number;
  readonly gid?: number;
  readonly umask?: number;
  /** SIGKILL after this long (default 60 s). */
  readonly timeoutMs?: number;
  /** What runs instead of the executable, with the same arguments. */
  readonly command?: readonly string[];
}

export interface RunResult {
  readonly exitCode: number | null;
  /** What it died of: "SIGTERM". */
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Whether an HTTP server answers, and with success. */
export function answers(url: string, init?: BunFetchRequestInit): Promise<boolean> {
  return fetch(url, init).then(
    ({ ok }) => ok,
    () => false,
  );
}

/** A restorer that runs: for tests that send it signals or look at it meanwhile. */
export interface RunningRestorer {
  readonly pid: number;
  kill(signal: NodeJS.Signals): void;
  readonly result: Promise<RunResult>;
}

/** The compiled executable: $RESTORER, or dist/restorer. */
export function restorerPath(): string {
  const path = resolve(process.env.RESTORER ?? join(import.meta.dir, "..", "dist", "restorer"));
  if (!existsSync(path)) throw new Error(`${path} is missing: run "make build" first, or set RESTORER`);
  return path;
}

/** Whether root may run the executable as another user: it may lie where only root gets. */
export function canRunAs(uid: number): boolean {
  const command = commandLine(["-version"], { uid });
  return have("setpriv") && Bun.spawnSync(command, { stderr: "ignore" }).exitCode === 0;
}

/** Runs the compiled executable to its end, in an environment that holds nothing of the caller's but PATH. */
export function runRestorer(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return startRestorer(args, options).result;
}

/** Starts the compiled executable; see {@link runRestorer}. */
export function startRestorer(args: readonly string[], options: RunOptions = {}): RunningRestorer {
  const scratch = tempDir("run", { home: {}, kaniko: {} });
  if (isRoot && options.uid !== undefined) {
    for (const name of ["home", "kaniko"]) chownSync(scratch.join(name), options.uid, options.gid ?? options.uid);
  }
  const child = Bun.spawn(commandLine(args, options), {
    cwd: options.cwd ?? scratch.path,
    env: environment(scratch, options.env ?? {}),
    stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs ?? 60_000);
  const outcome = async (): Promise<RunResult> => {
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    clearTimeout(timer);
    scratch[Symbol.dispose]();
    const signal = child.signalCode === null ? null : String(child.signalCode);
    return { exitCode: signal === null ? child.exitCode : null, signal, stdout, stderr };
  };
  return { pid: child.pid, kill: (signal) => child.kill(signal), result: outcome() };
}

function environment(scratch: TempDir, extra: NonNullable<RunOptions["env"]>): Record<string, string | undefined> {
  return {
    PATH: process.env.PATH,
    HOME: scratch.join("home"),
    CNB_PLATFORM_API: "0.15",
    CNB_KANIKO_DIR: scratch.join("kaniko"),
    ...extra,
  };
}

/** The wrappers only `exec`: the process id stays the executable's. */
function commandLine(args: readonly string[], options: RunOptions): string[] {
  const { uid, gid = uid, umask } = options;
  const command = [...(options.command ?? [restorerPath()]), ...args];
  if (uid !== undefined || gid !== undefined) {
    const ids = [uid === undefined ? [] : [`--reuid=${uid}`], gid === undefined ? [] : [`--regid=${gid}`]].flat();
    command.unshift("setpriv", ...ids, "--clear-groups", "--");
  }
  if (umask !== undefined) command.unshift("sh", "-c", `umask ${umask.toString(8)} && exec "$@"`, "sh");
  return command;
}

export interface SnapshotEntry {
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
export function showBytes(bytes: Uint8Array): string {
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
