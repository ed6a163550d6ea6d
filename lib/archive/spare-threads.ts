import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { count } from "../text.ts";

/** No run needs so many: where a limit is above, nobody counts. */
const plenty = 1024;
/** Threads that the runtime starts for itself beside ours, and without which it aborts. */
const ofRuntime = 12;

/**
 * Why so many more threads would be refused to this process, by the limit on its user or on its control group; undefined
 * where nothing says so. What others start at the same time is not foreseen.
 */
export function tooFewThreads(wanted: number): string | undefined {
  const spare = Math.min(spareOfUser(), spareOfGroup());
  const needed = wanted + ofRuntime;
  if (spare >= needed) return undefined;
  return `the system allows ${count(Math.max(0, spare), "more thread")}, and a restore needs ${needed}`;
}

/** The limit on the processes of a user counts threads, and does not bind root. */
function spareOfUser(): number {
  const uid = process.getuid?.();
  const limit = Number(/^Max processes\s+(\d+)/m.exec(read("/proc/self/limits"))?.[1] ?? Number.POSITIVE_INFINITY);
  return uid === 0 || limit > plenty ? Number.POSITIVE_INFINITY : limit - threadsOf(uid);
}

function threadsOf(uid: number | undefined): number {
  const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return processes.reduce((sum, process) => {
    const status = read(join("/proc", process, "status"));
    const isOwn = Number(/^Uid:\s+(\d+)/m.exec(status)?.[1]) === uid;
    return sum + (isOwn ? Number(/^Threads:\s+(\d+)/m.exec(status)?.[1] ?? 0) : 0);
  }, 0);
}

/** Of the control group, as the process sees it: in version 2, and in the hierarchy for processes of version 1. */
function spareOfGroup(): number {
  const groups = read("/proc/self/cgroup");
  const own = /^0::(.*)$/m.exec(groups)?.[1] ?? "";
  const first = /^\d+:(?:[^:]*,)?pids(?:,[^:]*)?:(.*)$/m.exec(groups)?.[1] ?? "";
  // A container may see its own group as the root of the hierarchy, under a name that it has outside.
  const places = [own, join("pids", first), "pids"].map((place) => join("/sys/fs/cgroup", place));
  return Math.min(...places.map(spareOf));
}

function spareOf(group: string): number {
  const limit = /^\d+/.exec(read(join(group, "pids.max")))?.[0];
  if (limit === undefined) return Number.POSITIVE_INFINITY;
  return Number(limit) - Number(read(join(group, "pids.current")));
}

/** The text of a file of the kernel's; nothing where there is none. */
function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
