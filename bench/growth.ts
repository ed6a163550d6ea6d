import { lstatSync, rmSync } from "node:fs";
import { join } from "node:path";
import { analyzedToml, groupToml } from "../test/support/cache-fixture.ts";
import { restorerPath } from "../test/support/harness.ts";
import { startDelayProxy } from "./delay.ts";
import { runMaker } from "./helpers.ts";
import { serveCacheImage } from "./image.ts";
import type { BenchCache } from "./make-cache.ts";
import { type Cost, measure, medianCost } from "./measure.ts";
import { cacheDir, layersDir, resetWorkDir, workDir } from "./place.ts";
import { countEntries } from "./rows.ts";
import type { Shape } from "./synthetic.ts";
import { formatColumns, mebibytes, time } from "./table.ts";

/** One row of a table: a cache of some shape, and how far away its registry is. */
interface Point {
  readonly label: string;
  /** What grows: bytes, entries, layers or milliseconds. */
  readonly amount: number;
  readonly shape: Shape;
  readonly roundTripMs?: number;
}

interface Axis {
  readonly title: string;
  readonly points: readonly Point[];
}

interface MeasuredPoint {
  readonly point: Point;
  /** Undefined where only the distance to a registry differs. */
  readonly volume: Cost | undefined;
  readonly image: Cost;
  /** Successful ones of one run from the image. */
  readonly requests: number;
}

const runs = Number(process.env.RUNS ?? 3);
/** Makes everything smaller, to try the benchmark itself. */
const scale = Number(process.env.BENCH_SCALE ?? 1);

/** Each axis grows alone: the same number of files as bytes grow, the same small files as entries do. */
const axes: readonly Axis[] = [
  {
    title: "Size: one layer of 100 files",
    points: [10e6, 100e6, 1e9, 4e9].map((amount) => ({
      label: amount < 1e9 ? `${amount / 1e6} MB` : `${amount / 1e9} GB`,
      amount,
      shape: { layers: 1, files: 100, fileBytes: scaled(amount / 100) },
    })),
  },
  {
    title: "Entries: one layer of files of 2 KB",
    points: [1_000, 10_000, 50_000, 200_000].map((amount) => ({
      label: amount.toLocaleString("en"),
      amount,
      shape: { layers: 1, files: scaled(amount), fileBytes: 2048 },
    })),
  },
  {
    title: "Layers: of 10 MB in 500 files each",
    points: [1, 10, 100].map((amount) => ({
      label: String(amount),
      amount,
      shape: { layers: amount, files: scaled(500), fileBytes: 20_000 },
    })),
  },
  {
    title: "Round trip to the registry: 10 layers of 10 MB in 500 files each",
    points: [0, 20, 100].map((amount) => ({
      label: `${amount} ms`,
      amount,
      roundTripMs: amount,
      shape: { layers: 10, files: scaled(500), fileBytes: 20_000 },
    })),
  },
];

function scaled(amount: number): number {
  return Math.max(1, Math.round(amount * scale));
}

/** Measures how time, memory and requests grow, and prints a table for each axis. */
export async function growth(): Promise<void> {
  const chosen = process.env.GROWTH ?? "";
  for (const axis of axes.filter(({ title }) => title.toLowerCase().startsWith(chosen))) {
    await printAxis(axis);
  }
  console.log(
    `\nMedians of ${runs} runs. Growth: how many times as much as the row above, for how many times as large an input`,
  );
  console.log(
    "(for the round trip: the delay added, in round trips). The registry and the delay take the same processors.",
  );
}

async function printAxis({ title, points }: Axis): Promise<void> {
  const hasVolume = points.some(({ roundTripMs }) => roundTripMs === undefined);
  const kinds = hasVolume ? (["volume", "image"] as const) : (["image"] as const);
  const lines: string[][] = [];
  let before: MeasuredPoint | undefined;
  for (const point of points) {
    console.error(`${title}: ${point.label}, ${runs} runs`);
    const measured = await measurePoint(point);
    const cells = kinds.flatMap((kind) => cellsOf(measured, before, kind));
    lines.push([point.label, ...cells, String(measured.requests)]);
    before = measured;
  }
  const headings = kinds.flatMap((kind) => [kind === "image" ? "gzip image" : kind, "growth", "peak RSS", "growth"]);
  console.log(`\n${title}\n`);
  console.log(formatColumns(["", ...headings, "requests"], lines));
}

/** Makes the cache, measures it as a volume (where distance matters not) and as an image, and removes it. */
async function measurePoint(point: Point): Promise<MeasuredPoint> {
  const path = join(cacheDir, `growth-${process.pid}`);
  try {
    const cache = makeSynthetic(path, point.shape);
    const volume = point.roundTripMs === undefined ? await measureRuns(cache, ["-cache-dir", cache.path]) : undefined;
    using registry = await serveCacheImage(cache, "gzip");
    // The largest are dear in memory: the blob, its compressed form and what is restored.
    for (const { blob } of cache.layers) rmSync(blob);
    using proxy = point.roundTripMs === undefined ? undefined : await startDelayProxy(registry.host, point.roundTripMs);
    const reference = `${(proxy ?? registry).host}/${registry.name}`;
    const image = await measureRuns(cache, ["-cache-image", reference]);
    return { point, volume, image, requests: registry.takeCounts().ok / (runs + 1) };
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

/** Runs once to warm up and check the result, then `runs` times. */
async function measureRuns(cache: BenchCache, args: readonly string[]): Promise<Cost> {
  const costs: Cost[] = [];
  for (let run = 0; run <= runs; run++) {
    await resetWorkDir({ groupToml: groupToml([{ id: "bench/growth" }]), analyzedToml: analyzedToml() });
    const argv = [restorerPath(), "-layers", layersDir, ...args];
    const cost = await measure([{ argv, env: { CNB_PLATFORM_API: "0.13", HOME: workDir } }]);
    if (run === 0) verify(cache);
    else costs.push(cost);
  }
  return medianCost(costs);
}

function verify({ layers }: BenchCache): void {
  for (const { name, entries } of layers) {
    const path = join(layersDir, "bench_growth", name);
    const found = lstatSync(path, { throwIfNoEntry: false }) === undefined ? 0 : countEntries(path);
    if (found !== entries) throw new Error(`${path} holds ${found} entries instead of ${entries}`);
  }
}

function makeSynthetic(path: string, { layers, files, fileBytes }: Shape): BenchCache {
  return runMaker("synthetic.ts", [path, layersDir, ...[layers, files, fileBytes].map(String)]);
}

/** Time, its growth, memory, its growth. */
function cellsOf(
  { point, ...measured }: MeasuredPoint,
  before: MeasuredPoint | undefined,
  kind: "volume" | "image",
): string[] {
  const cost = measured[kind];
  if (cost === undefined) return ["–", "", "", ""];
  const { wallMs, rssBytes } = cost;
  const earlier = before?.[kind];
  if (before === undefined || earlier === undefined) return [time(wallMs), "", mebibytes(rssBytes), ""];
  const more = point.amount - before.point.amount;
  const growth =
    point.roundTripMs === undefined
      ? `×${(wallMs / earlier.wallMs).toFixed(1)} for ×${point.amount / before.point.amount}`
      : `${((wallMs - earlier.wallMs) / more).toFixed(1)} trips`;
  const grown = (rssBytes - earlier.rssBytes) / 2 ** 20;
  const sign = grown < 0 ? "−" : "+";
  return [time(wallMs), growth, mebibytes(rssBytes), `${sign}${Math.abs(grown).toFixed(0)} MiB`];
}
