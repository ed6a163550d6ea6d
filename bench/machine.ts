import { readFileSync, statfsSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

/** What the figures were measured on, a line each. */
export function machine(places: Readonly<Record<string, string>>, programs: readonly (readonly string[])[]): string[] {
  const [first] = cpus();
  const memory = (totalmem() / 2 ** 30).toFixed(0);
  return [
    `${first?.model.trim() ?? "unknown processor"}, ${cpus().length} cores, ${memory} GiB, Linux ${release()}`,
    ...Object.entries(places).map(([name, path]) => `${name}: ${path} (${fileSystem(path)})`),
    ...programs.map(versionOf),
  ];
}

/** The type of the file system that a path is on. */
function fileSystem(path: string): string {
  const mounts = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .filter(
      ([, mountPoint = ""]) => path === mountPoint || path.startsWith(mountPoint === "/" ? "/" : `${mountPoint}/`),
    );
  const longest = mounts.reduce<string[]>(
    (best, each) => ((each[1] ?? "").length >= (best[1] ?? "").length ? each : best),
    [],
  );
  return longest[2] ?? "unknown";
}

/** Bytes that may be written below a path: for a memory file system, no more than the memory that is free. */
export function room(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  const free = bavail * bsize;
  if (fileSystem(path) !== "tmpfs") return free;
  const available = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync("/proc/meminfo", "latin1"))?.[1];
  return Math.min(free, Number(available ?? 0) * 1024);
}

/** The 1-minute load average. */
export function load(): number {
  return Number(readFileSync("/proc/loadavg", "latin1").split(" ")[0]);
}

function versionOf(command: readonly string[]): string {
  const [program = ""] = command;
  try {
    const { stdout, stderr } = Bun.spawnSync([...command], {
      env: { PATH: process.env.PATH, CNB_PLATFORM_API: "0.13" },
    });
    const [line = ""] = (stdout.toString() || stderr.toString()).trim().split("\n");
    return `${program}: ${line}`;
  } catch {
    return `${program}: cannot be run`;
  }
}
