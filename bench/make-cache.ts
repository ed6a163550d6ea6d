/**
 * Makes a volume cache of real content to measure with: several layers of files that are on this machine anyway,
 * repeated under numbered directories, each copy a little different. The same machine gives the same bytes.
 *
 *     bun bench/make-cache.ts <directory> <layers directory> [kind] [bytes] [files]
 *
 * prints a {@link BenchCache} as JSON. What an earlier run made is used again.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import * as v from "valibot";
import { groupToml } from "../test/support/cache-fixture.ts";
import { removeTree, restorerPath } from "../test/support/harness.ts";
import { collect, readPart, roots, type Source } from "./sources.ts";

const cacheKinds = ["volume", "one-small", "one-large", "many-layers"] as const;
export type CacheKind = (typeof cacheKinds)[number];

interface CacheSpec {
  readonly kind: CacheKind;
  /** The layers directory whose path the tars carry (some restorers extract to the path in the tar). */
  readonly layersDir: string;
  readonly bytes: number;
  readonly files: number;
}

export interface BenchLayer {
  readonly buildpack: string;
  readonly name: string;
  readonly diffId: string;
  readonly blob: string;
  readonly size: number;
  /** Entries below `<layers>/<bp>/<layer>`, itself included. */
  readonly entries: number;
  readonly files: number;
}

export interface BenchCache {
  /** For `-cache-dir`. */
  readonly path: string;
  readonly layers: readonly BenchLayer[];
}

/** Sizes when nothing else is asked for. */
export const defaultSizes: Record<CacheKind, { bytes: number; files: number }> = {
  volume: { bytes: 600e6, files: 24_000 },
  "one-small": { bytes: 0, files: 26_000 },
  "one-large": { bytes: 600e6, files: 400 },
  "many-layers": { bytes: 0, files: 9000 },
};

/** Raised whenever the same parameters give other bytes. */
const generation = 3;
const tinyFile = 4 * 1024;
const smallFile = 256 * 1024;
const largeFile = 512 * 1024;

/** One entry of a layer to be: its contents are a piece of a source, with a line of its own at the end. */
interface Planned {
  readonly type: "file" | "symlink";
  readonly source: string;
  readonly offset: number;
  readonly size: number;
  readonly mode: number;
  readonly target?: string;
}
type Plan = Map<string, Planned>;

/** Makes the cache below `directory`, or finds it there. */
export function makeBenchCache(directory: string, spec: CacheSpec): BenchCache {
  const key = new Bun.CryptoHasher("sha256")
    .update(JSON.stringify([generation, spec]))
    .digest("hex")
    .slice(0, 12);
  const path = join(directory, `${spec.kind}-${key}`);
  const summary = join(path, "bench.json");
  if (existsSync(summary)) return JSON.parse(readFileSync(summary, "utf8")) as BenchCache;

  const partial = `${path}.${process.pid}`;
  try {
    const layers = pack(partial, spec.layersDir, planAll(spec)).map(({ blob, ...layer }) => ({
      ...layer,
      blob: join(path, "committed", blob),
    }));
    const cache: BenchCache = { path, layers };
    writeFileSync(join(partial, "bench.json"), JSON.stringify(cache, null, 1));
    rmSync(path, { recursive: true, force: true });
    renameSync(partial, path);
    return cache;
  } finally {
    removeTree(partial);
    removeTree(spec.layersDir);
  }
}

/** A layer to be made. */
interface LayerPlan {
  readonly buildpack: string;
  readonly name: string;
  readonly plan: Plan;
  readonly dirMode: number;
}

/** Makes the layers' directories where the restores will have them, and a cache of them with the executable. */
function pack(cacheDir: string, layersDir: string, plans: readonly LayerPlan[]): BenchLayer[] {
  // What an earlier row has restored.
  removeTree(layersDir);
  const planted = plans.map((plan) => ({ ...plan, entries: plant(layersDir, plan) }));
  const buildpacks = [...new Set(plans.map(({ buildpack }) => buildpack))];
  writeFileSync(join(layersDir, "group.toml"), groupToml(buildpacks.map((id) => ({ id }))));
  const args = ["make-cache", "-layers", layersDir, "-cache-dir", cacheDir, "-output", "json"];
  const { stdout, stderr, exitCode } = Bun.spawnSync([restorerPath(), ...args]);
  if (exitCode !== 0) throw new Error(`no cache could be made: ${stderr}`);
  const made = v.parse(madeSchema, JSON.parse(stdout.toString())).layers;
  const byName = new Map(made.map((layer) => [`${layer.buildpack}:${layer.layer}`, layer]));
  return planted.map(({ buildpack, name, entries }) => {
    const layer = byName.get(`${buildpack}:${name}`);
    if (layer === undefined) throw new Error(`the cache that was made lacks ${buildpack}:${name}`);
    const { sha: diffId, size, files } = layer;
    return { buildpack, name, diffId, blob: `${diffId}.tar`, size, entries, files };
  });
}

const madeSchema = v.object({
  layers: v.array(
    v.object({ buildpack: v.string(), layer: v.string(), sha: v.string(), size: v.number(), files: v.number() }),
  ),
});

function planAll({ kind, bytes, files }: CacheSpec): LayerPlan[] {
  const layer = (buildpack: string, name: string, plan: Plan, dirMode = 0o755): LayerPlan => ({
    buildpack,
    name,
    plan,
    dirMode,
  });
  switch (kind) {
    case "one-small":
      return [layer("bench/node", "node_modules", manySmall(files))];
    case "one-large":
      return [layer("bench/java", "jdk", fewLarge(bytes, files))];
    case "many-layers":
      return inLayersOfThree(manySmall(files, tinyFile)).map((plan, index) =>
        layer(`bench/many-${index % 3}`, `layer-${index}`, plan),
      );
    case "volume": {
      const node = layer("bench/node", "node_modules", manySmall(Math.round(files * 0.6)));
      const go = layer("bench/go", "mod", readOnly(Math.round(files * 0.39)), 0o555);
      const rest = Math.max(bytes - bytesOf(node) - bytesOf(go), bytes / 4);
      return [node, layer("bench/java", "jdk", fewLarge(rest, Math.round(files * 0.01))), go];
    }
  }
}

/** Of the files in a layer, about. */
function bytesOf({ plan }: LayerPlan): number {
  return [...plan.values()].reduce((sum, { size }) => sum + size, 0);
}

/** Layers of three files each. */
function inLayersOfThree(plan: Plan): Plan[] {
  const all = [...plan];
  return Array.from({ length: Math.floor(all.length / 3) }, (_, index) => new Map(all.slice(3 * index, 3 * index + 3)));
}

/** Like node_modules: thousands of small files, here and there an executable with a link to it in `.bin`. */
function manySmall(files: number, max = smallFile): Plan {
  const sources = collect([roots.nodeModules, roots.share, roots.go, roots.lib], {
    min: 0,
    max,
    limit: files,
  });
  return repeat(sources, files, (plan, path, source, index) => {
    const executable = index % 50 === 0;
    plan.set(path, { ...wholeFile(source), mode: executable || source.executable ? 0o755 : 0o644 });
    if (executable && source.target === undefined) {
      plan.set(`.bin/tool-${index}`, { ...wholeFile(source), type: "symlink", mode: 0o777, target: `../${path}` });
    }
  });
}

/** Like a Go module cache: files 0444 in directories 0555. */
function readOnly(files: number): Plan {
  const sources = collect([roots.go, roots.nodeModules, roots.share], { min: 1, max: smallFile, limit: files });
  return repeat(sources, files, (plan, path, source) => plan.set(path, { ...wholeFile(source), mode: 0o444 }));
}

function repeat(
  sources: readonly Source[],
  files: number,
  add: (plan: Plan, path: string, source: Source, index: number) => void,
): Plan {
  const plan: Plan = new Map();
  for (let index = 0; index < files; index++) {
    const source = sources[index % sources.length];
    if (source === undefined) throw new Error("no file to make a cache of was found on this machine");
    const copy = String(Math.floor(index / sources.length)).padStart(3, "0");
    add(plan, `copy-${copy}/${source.relative}`, source, index);
  }
  return plan;
}

function wholeFile({ path, size, target }: Source): Planned {
  const type = target === undefined ? "file" : "symlink";
  return { type, source: path, offset: 0, size, mode: 0o777, ...(target !== undefined && { target }) };
}

/** Like a JDK: a quarter of the bytes in one file, the rest in files from a fifth to twice the average. */
function fewLarge(bytes: number, files: number): Plan {
  const pool = collect([roots.nodeModules, roots.goTools, roots.lib], { min: largeFile, max: Infinity, limit: 2000 });
  const weights = [0.2, 0.4, 0.6, 1, 1.2, 1.6, 2];
  const average = (bytes * 0.75) / Math.max(files - 1, 1);
  const plan: Plan = new Map();
  let next = 0;
  for (let index = 0; index < files; index++) {
    const wanted = Math.round(index === 0 ? bytes / 4 : average * (weights[index % weights.length] ?? 1));
    const name = index === 0 ? "lib/modules" : `lib/part-${String(index % 10)}/lib${String(index).padStart(4, "0")}.so`;
    // A piece larger than its source repeats it; see contentsOf.
    const source = pool[next++ % pool.length];
    if (source === undefined) throw new Error("no large file was found on this machine");
    const spare = Math.max(source.size - wanted, 0);
    const mode = index % 7 === 0 ? 0o755 : 0o644;
    plan.set(name, {
      type: "file",
      source: source.path,
      offset: spare === 0 ? 0 : (index * 4099) % spare,
      size: wanted,
      mode,
    });
  }
  return plan;
}

/** Makes a layer's directory and its toml; returns how many entries it has, itself included. */
function plant(layersDir: string, { buildpack, name, plan, dirMode }: LayerPlan): number {
  const root = join(layersDir, buildpack.replaceAll("/", "_"), name);
  const directories = new Set([root]);
  for (const [path, planned] of plan) {
    const at = join(root, path);
    for (let above = dirname(at); !directories.has(above); above = dirname(above)) directories.add(above);
    mkdirSync(dirname(at), { recursive: true });
    if (planned.target === undefined) writeFileSync(at, contentsOf(path, planned), { mode: planned.mode });
    else symlinkSync(planned.target, at);
  }
  for (const directory of directories) chmodSync(directory, dirMode);
  writeFileSync(`${root}.toml`, '[types]\ncache = true\nbuild = true\n\n[metadata]\nmade = "for measuring"\n');
  return plan.size + directories.size;
}

/** A piece of the source, repeated up to the size asked for, with the path at its end so that no two files are equal. */
function contentsOf(path: string, { source, offset, size }: Planned): Buffer {
  const edit = `\n# ${path}\n`;
  const contents = Buffer.allocUnsafe(size + edit.length);
  for (let done = 0; done < size; ) {
    const n = readPart(source, offset, contents.subarray(done, size));
    if (n === 0) throw new Error(`${source} shrank while a cache was made of it`);
    done += n;
  }
  contents.write(edit, size, "latin1");
  return contents;
}

if (import.meta.main) {
  const [directory, layersDir, kind = "volume", bytes, files] = process.argv.slice(2);
  const known = cacheKinds.find((each) => each === kind);
  if (directory === undefined || layersDir === undefined || known === undefined) {
    console.error(
      `usage: bun bench/make-cache.ts <directory> <layers directory> [${cacheKinds.join("|")}] [bytes] [files]`,
    );
    process.exit(3);
  }
  const sizes = defaultSizes[known];
  const spec = { kind: known, layersDir, bytes: Number(bytes ?? sizes.bytes), files: Number(files ?? sizes.files) };
  console.log(JSON.stringify(makeBenchCache(directory, spec)));
}
