import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What a run cost: one process, or several that ran at the same time. */
export interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
  /** Peak resident set, summed over the processes. */
  readonly rssBytes: number;
}

export interface Command {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs commands side by side. Throws with their output when one of them fails. */
export async function measure(commands: readonly Command[]): Promise<Cost> {
  const start = Bun.nanoseconds();
  const runs = await Promise.all(commands.map(run));
  const wallMs = (Bun.nanoseconds() - start) / 1e6;
  const sum = (pick: (cost: Usage) => number): number => runs.reduce((total, cost) => total + pick(cost), 0);
  return { wallMs, cpuMs: sum(({ cpuMs }) => cpuMs), rssBytes: sum(({ rssBytes }) => rssBytes) };
}

type Usage = Omit<Cost, "wallMs">;

async function run({ argv, env }: Command): Promise<Usage> {
  using output = temporaryFile();
  const child = Bun.spawn([...argv], {
    env: { PATH: process.env.PATH, ...env },
    stdin: "ignore",
    stdout: output.fd,
    stderr: output.fd,
  });
  const peak = watchPeak(child.pid);
  const exitCode = await child.exited;
  const sampled = peak.stop();
  if (exitCode !== 0) throw new Error(`${argv[0]} ended with ${exitCode}: ${output.text().trim().slice(-500)}`);
  const usage = child.resourceUsage();
  if (usage === undefined) throw new Error("no resource usage was recorded");
  const floor = process.resourceUsage().maxRSS * 1024;
  // The kernel counts what the child was before exec, a copy of us: below our own peak only the samples tell.
  const rssBytes = usage.maxRSS > floor || sampled === 0 ? usage.maxRSS : sampled;
  return { cpuMs: Number(usage.cpuTime.total) / 1000, rssBytes };
}

/** A file without a name. What "pipe" gives a child is a socket, which no platform does. */
function temporaryFile(): { readonly fd: number; text(): string } & Disposable {
  const directory = mkdtempSync(join(tmpdir(), "restorer-bench-"));
  const fd = openSync(join(directory, "output"), "w+");
  rmSync(directory, { recursive: true });
  return {
    fd,
    text: () => readFileSync(`/proc/self/fd/${fd}`, "utf8"),
    [Symbol.dispose]: () => closeSync(fd),
  };
}

/** Reads a process's high-water mark while it lives: often at first, so that short runs are seen too. */
function watchPeak(pid: number): { stop(): number } {
  let peak = 0;
  let stopped = false;
  const watch = async (): Promise<void> => {
    for (let samples = 0; !stopped; samples++) {
      peak = Math.max(peak, highWaterMark(pid));
      await Bun.sleep(samples < 50 ? 2 : 20);
    }
  };
  void watch();
  return {
    stop: () => {
      stopped = true;
      return peak;
    },
  };
}

function highWaterMark(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** The middle of the costs, each figure on its own. */
export function medianCost(costs: readonly Cost[]): Cost {
  return {
    wallMs: median(costs.map(({ wallMs }) => wallMs)),
    cpuMs: median(costs.map(({ cpuMs }) => cpuMs)),
    rssBytes: median(costs.map(({ rssBytes }) => rssBytes)),
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? 0;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? upper;
  return (lower + upper) / 2;
}
