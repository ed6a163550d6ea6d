/**
 * System calls that a run makes for its work, and that may fail on a real machine. Left out are those that only the runtime
 * makes for itself, and cannot go on without: memory (mmap, mprotect, madvise, brk), threads and their waiting (clone3, futex,
 * epoll, eventfd), signals, time. What becomes of threads that are refused is tested by limits instead.
 */
export const calls = [
  ...["openat", "close", "read", "pread64", "write", "pwrite64", "ftruncate", "fsync", "fdatasync", "copy_file_range"],
  ...["statx", "newfstatat", "fstat", "lstat", "statfs", "getdents64", "readlink", "readlinkat"],
  ...["mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2"],
  ...["link", "linkat", "symlink", "symlinkat", "utimensat"],
  ...["chmod", "fchmod", "fchmodat", "chown", "lchown", "fchown", "fchownat"],
  ...["setuid", "setgid", "setgroups", "setresuid", "setresgid", "ioctl"],
];

/** What each of them answers in turn, or what it ends the run with. */
export const faults = ["EIO", "ENOSPC", "EPERM", "EMFILE", "EINTR", "SIGKILL"] as const;
export type Fault = (typeof faults)[number];

/** One fault: the `nth` call of a kind, in each thread that makes so many. */
export interface Injection {
  readonly call: string;
  readonly nth: number;
  readonly fault: Fault;
}

export function describeInjection({ call, nth, fault }: Injection): string {
  return `${call} ${nth} ${fault}`;
}

/** As strace wants it. */
export function straceOption({ call, nth, fault }: Injection): string {
  const what = fault === "SIGKILL" ? "signal=KILL" : `error=${fault}`;
  return `inject=${call}:${what}:when=${nth}`;
}

/** What the runtime reads for itself, and wakes threads with. */
const ofRuntime =
  /eventfd|eventpoll|signalfd|timerfd|\/proc\/self\/statm|\/proc\/self\/maps|"\/sys\/|\/sys\/fs\/cgroup/;

/**
 * The calls of a trace (`strace -f -yy`) that can be made to fail, each with its number in its thread: those of our code, from
 * the first line on that has `begin` in it, as far as the start of the runtime does not make as many.
 */
export function callsOf(trace: string, begin: string): { call: string; nth: number }[] {
  const main = /^\d+/.exec(trace)?.[0];
  const counts = new Map<string, number>();
  const atStart = new Map<string, number>();
  const found = new Map<string, { call: string; nth: number }>();
  let begun = false;
  for (const line of trace.split("\n")) {
    const [, thread, call = ""] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (thread === undefined) continue;
    const nth = (counts.get(`${thread} ${call}`) ?? 0) + 1;
    counts.set(`${thread} ${call}`, nth);
    begun ||= line.includes(begin);
    if (!begun && thread === main) atStart.set(call, nth);
    if (!begun || ofRuntime.test(line) || nth <= (atStart.get(call) ?? 0)) continue;
    found.set(`${call} ${nth}`, { call, nth });
  }
  return [...found.values()];
}

/** Those of `calls` that this machine's architecture has. */
export async function knownCalls(): Promise<string[]> {
  const known = await Promise.all(
    calls.map(async (call) => {
      const child = Bun.spawn(["strace", "-qq", "-o", "/dev/null", "-e", `trace=${call}`, "true"], {
        stderr: "ignore",
      });
      return (await child.exited) === 0 ? [call] : [];
    }),
  );
  return known.flat();
}
