import { readFileSync, readlinkSync } from "node:fs";
import type { Directory } from "./directory.ts";

const prefix = ".restorer-";
const pattern = /^\.restorer-([0-9a-f]{12})-([0-9]+)-([0-9]+)-[0-9a-f]{12}$/;
/** How long what an unknown process has made must have been silent before it counts as left behind. */
const silenceMs = 10_000;

/** A name that nothing has yet, which tells whose it is: `.restorer-<host>-<pid>-<start time>-<random>`. */
export function privateName(): string {
  const started = startTime(process.pid);
  // A /proc that does not know us is of other processes: nobody can tell by it whether we live.
  const place = started === undefined ? random() : host();
  return `${prefix}${place}-${process.pid}-${started ?? "0"}-${random()}`;
}

/** Whether a name is one that `privateName` gives. */
export function isPrivateName(name: string): boolean {
  return pattern.test(name);
}

/** Whether an entry under a private name was left behind by a run that was killed. */
export function isLeftBehind(parent: Directory, name: string): boolean {
  const match = name.startsWith(prefix) ? pattern.exec(name) : null;
  if (match === null) return false;
  const [, theirHost = "", pid = "", started = ""] = match;
  if (theirHost === host()) return startTime(Number(pid)) !== started;
  const touched = parent.stat(name)?.mtimeMs;
  // A time far in the future is a clock that jumped, not a beating heart.
  return touched !== undefined && Math.abs(Date.now() - touched) > silenceMs;
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
