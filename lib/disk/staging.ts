import { chmodSync, lstatSync, mkdirSync, readFileSync, readlinkSync, renameSync, utimesSync } from "node:fs";
import { describe, errorCode } from "../errors.ts";
import type { Log } from "../log.ts";
import { type Directory, removeTree, writesBehind } from "./directory.ts";

const pattern = /^\.restorer-([0-9a-f]{12})-([0-9]+)-([0-9]+)-[0-9a-f]{12}$/;
/** How long a staging directory of an unknown process must have been silent before it counts as dead. */
const silence = 10_000;
const heartbeat = 1_000;

/**
 * A private directory inside `parent` where layers are made before they are moved into place by rename. Its name says
 * whose it is, so that what a killed run leaves behind can be told from what another one is working on.
 */
export class Staging {
  readonly directory: Directory;
  /** Whether its file system may report only after a write, when synced, that it could not write. */
  readonly writesBehind: boolean;
  readonly #parent: Directory;
  readonly #name: string;
  readonly #timer: NodeJS.Timeout;
  #slots = 0;

  constructor(parent: Directory) {
    this.#parent = parent;
    this.#name = privateName();
    mkdirSync(parent.at(this.#name), 0o700);
    // A parent with setgid hands it down; content must not inherit it.
    chmodSync(parent.at(this.#name), 0o700);
    this.directory = parent.open(this.#name);
    this.writesBehind = writesBehind(this.directory);
    this.#timer = setInterval(() => this.#beat(), heartbeat);
    this.#timer.unref();
  }

  /** A path in here that nothing has yet. No name ends like one that a buildpack or the exporter would look at. */
  slot(): string {
    this.#slots += 1;
    return this.directory.at(`s${this.#slots}`);
  }

  /** Moves something aside, so that it is gone from its place at once; `dispose` removes it. */
  discard(path: string): void {
    try {
      renameSync(path, this.slot());
    } catch (error) {
      // Directories of an overlay's lower layer cannot be renamed.
      if (errorCode(error) !== "EXDEV") throw error;
      removeTree(path, true);
    }
  }

  /** Removes it with all that is still inside. */
  dispose(): void {
    clearInterval(this.#timer);
    this.directory.close();
    removeTree(this.#parent.at(this.#name));
  }

  #beat(): void {
    const now = Date.now() / 1000;
    try {
      utimesSync(this.directory.at("."), now, now);
    } catch {}
  }
}

/** A name that nothing has yet, which tells whose it is, so that `sweepStaging` removes what a killed run leaves under it. */
export function privateName(): string {
  const { pid, started } = self();
  return `.restorer-${host()}-${pid}-${started}-${random()}`;
}

/** Whether some run, this one or another, is at work in a directory, or has been killed there. */
export function hasStaging(parent: Directory): boolean {
  return parent.list().some(({ name }) => pattern.test(name));
}

/** Removes staging directories (and files under private names) whose run is dead. What cannot be removed is told, and left. */
export function sweepStaging(parent: Directory, log: Log): void {
  for (const { name } of parent.list()) {
    const match = pattern.exec(name);
    if (match === null) continue;
    const [, theirHost = "", pid = "", started = ""] = match;
    if (!isDead(parent.at(name), theirHost, Number(pid), started)) continue;
    try {
      log.debug(`Removing ${parent.path}/${name}, left behind by a run that was killed`);
      removeTree(parent.at(name));
    } catch (error) {
      log.warn(`cannot remove ${parent.path}/${name}, left behind by a run that was killed: ${describe(error)}`);
    }
  }
}

function isDead(path: string, theirHost: string, pid: number, started: string): boolean {
  if (theirHost === host()) return startTime(pid) !== started;
  const touched = lstatSync(path, { throwIfNoEntry: false })?.mtimeMs;
  // A time far in the future is a clock that jumped, not a beating heart.
  return touched !== undefined && Math.abs(Date.now() - touched) > silence;
}

/** Identifies this boot of this machine and the PID namespace: where equal, a process id means the same process. */
function host(): string {
  known ??= identify();
  return known;
}

let known: string | undefined;

function identify(): string {
  const parts = [
    read(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8")),
    read(() => readlinkSync("/proc/self/ns/pid")),
  ];
  // Where one of them is hidden, a process id proves nothing: then this is nobody's host.
  if (parts.includes("")) return random();
  return new Bun.CryptoHasher("sha256").update(parts.join("\0")).digest("hex").slice(0, 12);
}

function self(): { pid: number; started: string } {
  return { pid: process.pid, started: startTime(process.pid) ?? "0" };
}

/** When a process started, in clock ticks since boot; undefined when there is none, or only a zombie. */
function startTime(pid: number): string | undefined {
  const stat = read(() => readFileSync(`/proc/${pid}/stat`, "latin1"));
  // The command's name, in parentheses, may hold anything; the start time is the 20th field behind it, the state the first.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19] || undefined;
}

/** 48 random bits in hexadecimal. (node:crypto takes longer to load than a small restore.) */
function random(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString("hex");
}

function read(get: () => string): string {
  try {
    return get();
  } catch {
    return "";
  }
}
