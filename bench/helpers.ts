import { join } from "node:path";
import type { BenchCache } from "./make-cache.ts";

/**
 * What a program of this directory that makes a cache prints. In a process of its own: the memory that packing takes would blur
 * the peaks measured here.
 */
export function runMaker(program: string, args: readonly string[]): BenchCache {
  const argv = [process.execPath, join(import.meta.dir, program), ...args];
  const { stdout, exitCode } = Bun.spawnSync(argv, { stderr: "inherit" });
  if (exitCode !== 0) throw new Error(`no cache could be made (exit ${exitCode})`);
  return JSON.parse(stdout.toString()) as BenchCache;
}

/** A process that does its part while a row is measured. */
interface Helper extends Disposable {
  /** The first line that it printed. */
  readonly says: string;
}

async function start(program: string, args: readonly string[]): Promise<Helper> {
  const child = Bun.spawn([process.execPath, program, ...args], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  const reader = child.stdout.getReader();
  let says = "";
  while (!says.includes("\n")) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`${program} ended before it was ready`);
    says += Buffer.from(value).toString();
  }
  return { says: says.trim(), [Symbol.dispose]: () => child.kill() };
}

interface Distance {
  readonly roundTripMs: number;
  /** Of each connection. */
  readonly bytesPerSecond: number;
  /** Whether blobs come from a second host, by signed addresses. */
  readonly isSigned: boolean;
}

/** Serves a cache as a gzip image from far away; `says` is its reference. */
export function startFarServer({ path }: BenchCache, { roundTripMs, bytesPerSecond, isSigned }: Distance) {
  const numbers = [roundTripMs, bytesPerSecond].map(String);
  const args = [join(path, "bench.json"), "gzip", ...numbers, ...(isSigned ? ["signed"] : [])];
  return start(join(import.meta.dir, "far-server.ts"), args);
}

/** Commits two generations of a cache all the time, in turn. */
export function startExporter(cache: string, generations: readonly string[]): Promise<Helper> {
  return start(join(import.meta.dir, "../test/support/busy-exporter.ts"), [cache, ...generations]);
}
