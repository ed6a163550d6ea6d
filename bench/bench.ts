/**
 * Measures the executable beside what does the same work by other means, on the same blobs in the same run:
 *
 *     bun bench/bench.ts [row…]        rows: volume, one-small, one-large, noop, metadata, volume-2gb, image, all
 *
 * Environment: RUNS (5), RESTORER (dist/restorer), REFERENCE (another restorer to compare with), BENCH_DIR (keeps the
 * caches between runs), BENCH_LAYERS (where layers are restored), BENCH_BYTES and BENCH_FILES (size of the caches).
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { have, removeTree, restorerPath } from "../test/harness.ts";
import { type Registry, startRegistry } from "./image.ts";
import { load, machine, room } from "./machine.ts";
import type { BenchCache, CacheKind } from "./make-cache.ts";
import { type Command, type Cost, measure, medianCost } from "./measure.ts";
import { defaultRows, type Row, rowGroups, rows } from "./rows.ts";
import { cells, formatTable, ratio } from "./table.ts";

/** Someone who can do a row's work, or part of it. */
interface Contender {
  readonly name: string;
  /** Commands that tell the versions. */
  readonly versions: readonly (readonly string[])[];
  /** Undefined where the row has nothing for this contender. */
  commands(row: Row): Command[] | undefined;
  /** Where the layers are when it is done. */
  readonly result: string;
}

const runs = Number(process.env.RUNS ?? 5);
const cacheDir = resolve(process.env.BENCH_DIR ?? join(tmpdir(), "restorer-bench"));
const workDir = resolve(process.env.BENCH_LAYERS ?? join(memoryDir(2e9), "restorer-bench"));
const layersDir = join(workDir, "layers");
const tarDir = join(workDir, "tar");

/** A memory file system with room to spare, so that no disk is measured; else the temporary directory. */
function memoryDir(bytes: number): string {
  return existsSync("/dev/shm") && room("/dev/shm") > 2 * bytes ? "/dev/shm" : tmpdir();
}

function restorer(name: string, path: string): Contender {
  const env = { CNB_PLATFORM_API: "0.13", HOME: workDir };
  return {
    name,
    versions: [[path, "-version"]],
    result: layersDir,
    commands: ({ args }) => [{ argv: [path, "-layers", layersDir, ...args], env }],
  };
}

const tarAndHash: Contender = {
  name: "tar x ∥ openssl",
  versions: [
    ["tar", "--version"],
    ["openssl", "version"],
  ],
  // tar strips the leading slash.
  result: join(tarDir, layersDir),
  commands: ({ blobs }) =>
    blobs.length === 0
      ? undefined
      : blobs.flatMap((blob) => [
          { argv: ["tar", "-x", "-p", "-C", tarDir, "-f", blob] },
          { argv: ["openssl", "dgst", "-sha256", blob] },
        ]),
};

function contenders(): Contender[] {
  const list = [restorer("restorer", restorerPath())];
  if (have("tar") && have("openssl")) list.push(tarAndHash);
  if (process.env.REFERENCE) list.push(restorer("reference", resolve(process.env.REFERENCE)));
  return list;
}

/** Everything a run starts from: nothing but the inputs, and nothing left to write back. */
async function reset(row: Row): Promise<void> {
  for (const path of [layersDir, tarDir]) {
    removeTree(path);
    mkdirSync(path, { recursive: true });
  }
  writeFileSync(join(layersDir, "group.toml"), row.groupToml);
  writeFileSync(join(layersDir, "analyzed.toml"), row.analyzedToml);
  Bun.spawnSync(["sync", "-f", workDir], { stderr: "ignore" });
  await Bun.sleep(100);
}

interface Outcome {
  readonly costs: Cost[];
  failure?: string;
}

/** Runs the contenders in turn, once to warm up and check the result, then `runs` times. */
async function compete(row: Row, list: readonly Contender[]): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  for (let turn = 0; turn <= runs; turn++) {
    for (const { name, result, commands } of list) {
      const outcome = outcomes.get(name) ?? { costs: [] };
      outcomes.set(name, outcome);
      const work = commands(row);
      if (work === undefined || outcome.failure !== undefined) continue;
      await reset(row);
      try {
        const cost = await measure(work);
        if (turn === 0) row.verify(result);
        else outcome.costs.push(cost);
      } catch (error) {
        outcome.failure = error instanceof Error ? error.message : String(error);
      }
    }
  }
  return outcomes;
}

function lineOf(row: Row, outcomes: ReadonlyMap<string, Outcome>): string[] {
  const medians = [...outcomes.values()].map(({ costs }) => (costs.length === 0 ? undefined : medianCost(costs)));
  const [own, ...others] = medians;
  return [
    row.name,
    ...[...outcomes.values()].flatMap(({ costs, failure }) => cells(costs, failure)),
    ...others.map((other) => ratio(own, other)),
  ];
}

/** In a process of its own: the memory that packing takes would blur the peaks measured here. */
function makeCache(kind: CacheKind, { bytes, files }: { bytes: number; files: number }): BenchCache {
  const program = join(import.meta.dir, "make-cache.ts");
  const args = [cacheDir, layersDir, kind, String(bytes), String(files)];
  const { stdout, exitCode } = Bun.spawnSync([process.execPath, program, ...args], { stderr: "inherit" });
  if (exitCode !== 0) throw new Error(`no cache could be made (exit ${exitCode})`);
  return JSON.parse(stdout.toString()) as BenchCache;
}

/** Two benchmarks at once would share directories and spoil each other's figures. */
function claimWorkDir(): void {
  mkdirSync(workDir, { recursive: true });
  const owner = join(workDir, "pid");
  if (existsSync(owner) && existsSync(`/proc/${readFileSync(owner, "utf8")}`)) {
    throw new Error(`another benchmark uses ${workDir}`);
  }
  writeFileSync(owner, String(process.pid));
}

function chosenRows(): string[] {
  const words = [...process.argv.slice(2), ...(process.env.BENCH ?? "").split(/[\s,]+/)].filter((word) => word !== "");
  const names = words.length === 0 ? defaultRows : words.flatMap((word) => rowGroups[word] ?? [word]);
  const unknown = names.filter((name) => !rows.has(name));
  if (unknown.length > 0)
    throw new Error(`no such row: ${unknown.join(", ")} (there are ${[...rows.keys()].join(", ")})`);
  return [...new Set(names)];
}

async function main(): Promise<void> {
  const names = chosenRows();
  const list = contenders();
  claimWorkDir();
  let registry: Registry | undefined;
  const workshop = {
    cacheDir,
    makeCache,
    registry: async () => (registry ??= await startRegistry(join(cacheDir, "registry"))),
  };
  const started = load();
  const table: string[][] = [];
  const notes: string[] = [];
  try {
    for (const name of names) {
      const row = await rows.get(name)?.(name, workshop);
      if (row === undefined) continue;
      console.error(`${name}: ${row.about}, ${runs} runs`);
      const outcomes = await compete(row, list);
      table.push(lineOf(row, outcomes));
      notes.push(`${name}: ${row.about}`);
      for (const [who, { failure }] of outcomes)
        if (failure !== undefined) notes.push(`${name}, ${who} failed: ${failure}`);
    }
  } finally {
    registry?.[Symbol.dispose]();
    removeTree(workDir);
  }
  console.log(
    `\n${formatTable(
      list.map(({ name }) => name),
      table,
    )}\n`,
  );
  for (const note of notes) console.log(note);
  console.log(
    `\nMedians of ${runs} runs, contenders in turn; the 1-minute load was ${started} before and ${load()} after.`,
  );
  const versions = list.flatMap((contender) => contender.versions);
  for (const line of machine({ layers: workDir, caches: cacheDir }, versions)) console.log(line);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
