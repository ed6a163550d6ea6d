/** Runs that must stay within the memory that D24 allows, whatever they are given to read. */
import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type RunOptions, type RunResult, restorerPath, runRestorer, type TempDir, tempDir } from "./harness.ts";

const allowedBytes = 256 * 1024 * 1024;

/** Runs the executable, and expects that it took no more memory than allowed. */
export async function runWithinBounds(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  using dir = tempDir("peak");
  const command = [process.execPath, join(import.meta.dir, "peak-rss.ts"), dir.join("bytes"), restorerPath()];
  const result = await runRestorer(args, { ...options, command });
  const bytes = Number(readFileSync(dir.join("bytes"), "utf8"));
  expect(bytes).toBeGreaterThan(1024 * 1024);
  expect(bytes).toBeLessThan(allowedBytes);
  return result;
}

/** What a run came to that got a signal when it first read a file. */
interface Signalled extends RunResult {
  /** How often it read the file, all in all. */
  readonly reads: number;
}

/** Runs the executable with strace, which sends it a signal in the moment of its first read of a file. */
export async function runSignalledAt(
  file: string,
  signal: "SIGTERM" | "SIGINT",
  args: readonly string[],
): Promise<Signalled> {
  using dir: TempDir = tempDir("signalled");
  const trace = dir.join("trace");
  const inject = `inject=read,pread64:signal=${signal}:when=1`;
  const strace = ["strace", "-f", "-qq", "-o", trace, "-P", file, "-e", "trace=read,pread64", "-e", inject];
  const result = await runRestorer(args, { command: [...strace, restorerPath()] });
  const reads = readFileSync(trace, "utf8").match(/ p?read(64)?\(/g)?.length ?? 0;
  return { ...result, reads };
}

/** JSON or TOML of an array's members: so many times the same. */
export function many(piece: string, count: number): string {
  return `${`${piece},`.repeat(count - 1)}${piece}`;
}

/** Members of an object, or of a table, of which each has a key of its own. */
export function manyKeys(count: number, member: (at: number) => string, separator = ","): string {
  return Array.from({ length: count }, (_, at) => member(at)).join(separator);
}
