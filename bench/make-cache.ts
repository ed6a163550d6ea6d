/**
 * Makes a volume cache of real content to measure with: several layers of files that are on this machine anyway,
 * repeated under numbered directories, each copy a little different. The same machine gives the same bytes.
 *
 *     bun bench/make-cache.ts <directory> <layers directory> [kind] [bytes] [files]
 *
 * prints a {@link BenchCache} as JSON. What an earlier run made is used again.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheMetadata, metadataName } from "../test/support/cache-fixture.ts";
import { BlobWriter } from "../test/support/pack.ts";
import { headerOf, paddingOf, type TarEntry, tarTrailer } from "../test/support/tar-writer.ts";
import { collect, readPart, roots, type Source } from "./sources.ts";

export const cacheKinds = ["volume", "one-small", "one-large", "many-layers"] as const;
export type CacheKind = (typeof cacheKinds)[number];

export interface CacheSpec {
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
const generation = 2;
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
  const committed = join(partial, "committed");
  mkdirSync(committed, { recursive: true });
  try {
    const layers = packAll(committed, spec).map((layer) => ({
      ...layer,
      blob: join(path, "committed", `${layer.diffId}.tar`),
    }));
    writeFileSync(join(committed, metadataName), metadataOf(layers));
    const cache: BenchCache = { path, layers };
    writeFileSync(join(partial, "bench.json"), JSON.stringify(cache, null, 1));
    rmSync(path, { recursive: true, force: true });
    renameSync(partial, path);
    return cache;
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

function packAll(committed: string, { kind, layersDir, bytes, files }: CacheSpec): Omit<BenchLayer, "blob">[] {
  const pack = (buildpack: string, name: string, plan: Plan, dirMode = 0o755): Omit<BenchLayer, "blob"> =>
    packPlan(committed, { buildpack, name, layersDir, plan, dirMode });
  switch (kind) {
    case "one-small":
      return [pack("bench/node", "node_modules", manySmall(files))];
    case "one-large":
      return [pack("bench/java", "jdk", fewLarge(bytes, files))];
    case "many-layers":
      return inLayersOfThree(manySmall(files, tinyFile)).map((plan, index) =>
        pack(`bench/many-${index % 3}`, `layer-${index}`, plan),
      );
    case "volume": {
      const node = pack("bench/node", "node_modules", manySmall(Math.round(files * 0.6)));
      const go = pack("bench/go", "mod", readOnly(Math.round(files * 0.39)), 0o555);
      const rest = Math.max(bytes - node.size - go.size, bytes / 4);
      return [node, pack("bench/java", "jdk", fewLarge(rest, Math.round(files * 0.01))), go];
    }
  }
}

function metadataOf(layers: readonly BenchLayer[]): string {
  const buildpacks = [...Map.groupBy(layers, ({ buildpack }) => buildpack)].map(([id, own]) => ({
    id,
    layers: own.map(({ name }) => ({ name, build: true, data: { made: "for measuring" } })),
  }));
  const shas = new Map(layers.map(({ buildpack, name, diffId }) => [`${buildpack}:${name}`, diffId]));
  return cacheMetadata(buildpacks, (id, name) => shas.get(`${id}:${name}`) ?? "");
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

interface LayerPlan {
  readonly buildpack: string;
  readonly name: string;
  readonly layersDir: string;
  readonly plan: Plan;
  readonly dirMode: number;
}

/** Writes the planned layer in the exporter's format and order. */
function packPlan(
  committed: string,
  { buildpack, name, layersDir, plan, dirMode }: LayerPlan,
): Omit<BenchLayer, "blob"> {
  const unnamed = join(committed, ".packing");
  const blob = new BlobWriter(unnamed);
  const root = `${layersDir}/${buildpack.replaceAll("/", "_")}/${name}`;
  for (const parent of ancestors(root)) blob.write(headerOf({ name: parent, type: "directory" }, 0));
  const paths = inWalkOrder(plan);
  for (const path of paths) {
    const planned = plan.get(path);
    const entry = { name: path === "" ? root : `${root}/${path}` };
    if (planned === undefined) blob.write(headerOf({ ...entry, type: "directory", mode: dirMode }, 0));
    else writePlanned(blob, entry, path, planned);
  }
  blob.write(tarTrailer);
  const { diffId, size } = blob.close();
  renameSync(unnamed, join(committed, `${diffId}.tar`));
  const files = [...plan.values()].filter(({ type }) => type === "file").length;
  return { buildpack, name, diffId, size, entries: paths.length, files };
}

function writePlanned(blob: BlobWriter, entry: TarEntry, path: string, planned: Planned): void {
  const { type, mode, target } = planned;
  if (target !== undefined) {
    blob.write(headerOf({ ...entry, type, mode, linkname: target }, 0));
    return;
  }
  const contents = contentsOf(path, planned);
  blob.write(headerOf({ ...entry, mode }, contents.length));
  blob.write(contents);
  blob.write(paddingOf(contents.length));
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

function ancestors(path: string): string[] {
  const parts = path.split("/").slice(1, -1);
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("/")}`);
}

/** Every path and its directories (the root is ""), depth first, siblings in the order of bytes. */
function inWalkOrder(plan: Plan): string[] {
  const paths = new Set([""]);
  for (const path of plan.keys()) {
    for (let slash = path.indexOf("/"); slash !== -1; slash = path.indexOf("/", slash + 1)) {
      paths.add(path.slice(0, slash));
    }
    paths.add(path);
  }
  const key = (path: string): string => path.replaceAll("/", "\0");
  return [...paths]
    .map((path) => [key(path), path] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, path]) => path);
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
