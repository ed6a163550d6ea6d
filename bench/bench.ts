/**
 * Measures the executable beside what does the same work by other means, on the same blobs in the same run:
 *
 *     bun bench/bench.ts [row…]        rows: see rows.ts; `image`, `cold` and `all` stand for several
 *     bun bench/bench.ts growth        how cost grows with size, entries, layers and distance
 *     bun bench/bench.ts storm         200 restores at once against a registry that limits its clients
 *
 * Environment: RUNS (5), RESTORER (dist/restorer), REFERENCE (another restorer to compare with), BENCH_DIR (keeps the
 * caches between runs), BENCH_LAYERS (where layers are restored), BENCH_BYTES and BENCH_FILES (size of the caches).
 */
import { join, resolve } from "node:path";
import { have, restorerPath } from "../test/support/harness.ts";
import { growth } from "./growth.ts";
import { runMaker } from "./helpers.ts";
import { type Registry, serveCacheImage, startRegistry } from "./image.ts";
import { load, machine } from "./machine.ts";
import { type BenchCache, type CacheKind, defaultSizes } from "./make-cache.ts";
import { type Command, type Cost, measure, medianCost } from "./measure.ts";
import {
  cacheDir,
  claimWorkDir,
  dropPageCache,
  layersDir,
  mayDropPageCache,
  resetWorkDir,
  tarDir,
  workDir,
} from "./place.ts";
import { defaultRows, type Row, rowGroups, rows } from "./rows.ts";
import { storm } from "./storm.ts";
import { cells, formatColumns, formatTable, ratio } from "./table.ts";
import { type Measurement, targetHeadings, targetLines } from "./targets.ts";

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
const [ownName, tarName, referenceName] = ["restorer", "tar x ∥ openssl", "reference"];

function restorer(name: string, path: string): Contender {
  const env = { CNB_PLATFORM_API: "0.13", HOME: workDir };
  return {
    name,
    versions: [[path, "-version"]],
    result: layersDir,
    commands: (row) =>
      row.isOwn === true && name !== ownName
        ? undefined
        : [{ argv: [path, "-layers", layersDir, ...row.args], env: { ...env, ...row.env } }],
  };
}

const tarAndHash: Contender = {
  name: tarName,
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
  const list = [restorer(ownName, restorerPath())];
  if (have("tar") && have("openssl")) list.push(tarAndHash);
  if (process.env.REFERENCE) list.push(restorer(referenceName, resolve(process.env.REFERENCE)));
  return list;
}

interface Outcome {
  readonly costs: Cost[];
  failure?: string;
}

/** Starts take milliseconds, and differ by a fifth from one to the next: the median of a few would be chance. */
const startsPerRun = 40;

function runsOf({ isStart, cold }: Row): number {
  return isStart && !cold ? runs * startsPerRun : runs;
}

/** Runs the contenders in turn, once to warm up and check the result, then as often as they count. */
async function compete(row: Row, list: readonly Contender[]): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  for (let turn = 0; turn <= runsOf(row); turn++) {
    for (const contender of list) {
      const outcome = outcomes.get(contender.name) ?? { costs: [] };
      outcomes.set(contender.name, outcome);
      if (outcome.failure === undefined) await runOnce(row, contender, outcome, turn === 0);
    }
  }
  return outcomes;
}

/** Has a contender do a row's work: its cost counts unless this is to warm up, then the result is checked. */
async function runOnce(row: Row, { result, commands }: Contender, outcome: Outcome, isWarmUp: boolean): Promise<void> {
  const work = commands(row);
  if (work === undefined) return;
  await resetWorkDir(row);
  if (row.cold) dropPageCache();
  try {
    const cost = await measure(work);
    if (isWarmUp) row.verify(result);
    else outcome.costs.push(cost);
  } catch (error) {
    outcome.failure = error instanceof Error ? error.message : String(error);
  }
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

function makeCache(kind: CacheKind, { bytes, files }: { bytes: number; files: number }): BenchCache {
  return runMaker("make-cache.ts", [cacheDir, layersDir, kind, String(bytes), String(files)]);
}

function chosenWords(): string[] {
  const words = [...process.argv.slice(2), ...(process.env.BENCH ?? "").split(/[\s,]+/)].filter((word) => word !== "");
  const names = words.length === 0 ? defaultRows : words.flatMap((word) => rowGroups[word] ?? [word]);
  const unknown = names.filter((name) => !rows.has(name) && !programs.has(name));
  if (unknown.length > 0) {
    const known = [...rows.keys(), ...Object.keys(rowGroups), ...programs.keys()];
    throw new Error(`no such row: ${unknown.join(", ")} (there are ${known.join(", ")})`);
  }
  return [...new Set(names)];
}

/** What is not a row of the table: it prints tables of its own. */
const programs: ReadonlyMap<string, () => Promise<void>> = new Map([
  ["growth", growth],
  ["storm", storm],
]);

/** Runs the rows in turn, and prints one table of them and one of the targets they have. */
async function compareRows(names: readonly string[], list: readonly Contender[]): Promise<void> {
  let registry: Registry | undefined;
  using helpers = new DisposableStack();
  const workshop = {
    cacheDir,
    makeCache,
    use: <T extends Disposable>(helper: T) => helpers.use(helper),
    registry: async () => (registry ??= await startRegistry(join(cacheDir, "registry"))),
  };
  const table: string[][] = [];
  const notes: string[] = [];
  const measured: Measurement[] = [];
  try {
    for (const name of names) {
      const row = await rows.get(name)?.(name, workshop);
      if (row === undefined) continue;
      if (row.cold && !mayDropPageCache()) {
        notes.push(`${name}: SKIPPED, only root of the machine itself can empty the page cache`);
        console.error(notes.at(-1));
        continue;
      }
      console.error(`${name}: ${row.about}, ${runsOf(row)} runs`);
      const outcomes = await compete(row, list);
      table.push(lineOf(row, outcomes));
      measured.push(measurementOf(row, outcomes));
      notes.push(`${name}: ${row.about}${row.cold ? ", with an empty page cache" : ""}`);
      const failed = [...outcomes].filter(([, { failure }]) => failure !== undefined);
      notes.push(...failed.map(([who, { failure }]) => `${name}, ${who} failed: ${failure}`));
    }
  } finally {
    registry?.[Symbol.dispose]();
  }
  const heads = list.map(({ name }) => name);
  console.log(`\n${formatTable(heads, table)}\n\n${formatColumns(targetHeadings, targetLines(measured))}\n`);
  for (const note of notes) console.log(note);
}

function measurementOf(row: Row, outcomes: ReadonlyMap<string, Outcome>): Measurement {
  const cost = (name: string): Cost | undefined => {
    const { costs = [] } = outcomes.get(name) ?? {};
    return costs.length === 0 ? undefined : medianCost(costs);
  };
  return {
    name: row.name,
    targets: row.targets ?? {},
    own: cost(ownName),
    tar: cost(tarName),
    reference: cost(referenceName),
  };
}

/** Counts what a restore of three layers asks of a registry that wants a token. */
async function countRequests(list: readonly Contender[]): Promise<void> {
  const cache = makeCache("volume", { bytes: 3e6, files: defaultSizes["one-large"].files });
  const row = await rows.get("volume")?.("requests", {
    cacheDir,
    makeCache: () => cache,
    registry: unused,
    use: unused,
  });
  using registry = await serveCacheImage(cache, "gzip", { token: true });
  console.log(`\nRequests for a cache image of ${cache.layers.length} layers in a registry that wants a token:`);
  for (const { name, commands } of list) {
    const image = `${registry.host}/${registry.name}`;
    const work = row && name !== tarName ? commands({ ...row, args: ["-cache-image", image] }) : undefined;
    if (row === undefined || work === undefined) continue;
    await resetWorkDir(row);
    await measure(work);
    const { ok, token, other } = registry.takeCounts();
    const target = name === ownName ? `; target ${cache.layers.length + 2} and 1` : "";
    console.log(`  ${name}: ${ok} successful, ${token} for a token, ${other} refused or of no use${target}`);
  }
}

function unused(): never {
  throw new Error("no registry is needed for this");
}

async function main(): Promise<void> {
  const words = chosenWords();
  const list = contenders();
  using _claim = claimWorkDir();
  const started = load();
  const names = words.filter((name) => rows.has(name));
  if (names.length > 0) await compareRows(names, list);
  if (names.some((name) => name.startsWith("image"))) await countRequests(list);
  for (const word of words) await programs.get(word)?.();
  console.log(
    `\nMedians of ${runs} runs (of warm starts ${runs * startsPerRun}), contenders in turn; the 1-minute load was ${started} before and ${load()} after.`,
  );
  const versions = list.flatMap((contender) => contender.versions);
  for (const line of machine({ layers: workDir, caches: cacheDir }, versions)) console.log(line);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
