import { join } from "node:path";
import type { BenchCache } from "./make-cache.ts";

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
