/**
 * Commits volume caches all the time, in turn, as the exporter does: `bun busy-exporter.ts CACHE FIRST SECOND`. Each of the two
 * is a directory of metadata and blobs. Ends when it is killed.
 */
import { linkSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

const [cache = "", ...generations] = process.argv.slice(2);
const [staging, committed, backup] = ["staging", "committed", "committed-backup"].map((name) => join(cache, name));

function commit(generation: string, to: string, current: string, old: string): void {
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to);
  for (const name of readdirSync(generation)) linkSync(join(generation, name), join(to, name));
  renameSync(current, old);
  renameSync(to, current);
  rmSync(old, { recursive: true });
}

if (staging === undefined || committed === undefined || backup === undefined) throw new Error("no cache is named");
process.stdout.write("begun\n");
for (let pauseMs = 0; ; pauseMs = (pauseMs + 1) % 5) {
  for (const generation of generations) {
    commit(generation, staging, committed, backup);
    Bun.sleepSync(pauseMs);
  }
}
