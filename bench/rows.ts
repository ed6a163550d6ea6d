import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type AppBuildpack, analyzedToml, groupToml } from "../test/cache-fixture.ts";
import { type Compression, compressions, pushCacheImage, type Registry } from "./image.ts";
import { type BenchCache, type CacheKind, defaultSizes } from "./make-cache.ts";

/** What a row needs to be run again and again. */
export interface Row {
  readonly name: string;
  readonly about: string;
  /** Arguments beside `-layers`. */
  readonly args: readonly string[];
  readonly groupToml: string;
  readonly analyzedToml: string;
  /** What `tar x` and `openssl dgst` read; empty where they have nothing to compare with. */
  readonly blobs: readonly string[];
  /** Throws unless the layers directory holds all that this row restores. */
  verify(layersDir: string): void;
}

/** What rows are made with: caches are only made, and a registry only started, for a row that is run. */
export interface Workshop {
  readonly cacheDir: string;
  makeCache(kind: CacheKind, sizes: { bytes: number; files: number }): BenchCache;
  registry(): Promise<Registry>;
}

type MakeRow = (name: string, workshop: Workshop) => Row | Promise<Row>;

/** Every row by name. To add one, add a function that makes its {@link Row}. */
export const rows: ReadonlyMap<string, MakeRow> = new Map<string, MakeRow>([
  ["volume", volumeRow("volume", defaultSizes.volume)],
  ["one-small", volumeRow("one-small", defaultSizes["one-small"])],
  ["one-large", volumeRow("one-large", defaultSizes["one-large"])],
  ["noop", noopRow],
  ["metadata", metadataRow],
  ["volume-2gb", volumeRow("volume", { bytes: 2e9, files: 62_000 })],
  ...compressions.map((compression) => [`image-${compression}`, imageRow(compression)] as const),
]);

/** What runs when no row is named. */
export const defaultRows: readonly string[] = ["volume", "one-small", "one-large", "noop", "metadata"];

/** Names for several rows at once. */
export const rowGroups: Readonly<Record<string, readonly string[]>> = {
  image: compressions.map((compression) => `image-${compression}`),
  all: [...rows.keys()],
};

function volumeRow(kind: CacheKind, { bytes, files }: { bytes: number; files: number }): MakeRow {
  return (name, workshop) => {
    const sizes = { bytes: Number(process.env.BENCH_BYTES ?? bytes), files: Number(process.env.BENCH_FILES ?? files) };
    const cache = workshop.makeCache(kind, sizes);
    return {
      ...cacheRow(name, cache),
      about: describeCache(cache),
      args: ["-cache-dir", cache.path],
      blobs: cache.layers.map(({ blob }) => blob),
    };
  };
}

function imageRow(compression: Compression): MakeRow {
  return async (name, workshop) => {
    const cache = workshop.makeCache("volume", defaultSizes.volume);
    const reference = await pushCacheImage(await workshop.registry(), cache, compression);
    return {
      ...cacheRow(name, cache),
      about: `${describeCache(cache)} as a ${compression} cache image in a registry on the loopback device`,
      args: ["-cache-image", reference],
      blobs: [],
    };
  };
}

function cacheRow(name: string, cache: BenchCache): Pick<Row, "name" | "groupToml" | "analyzedToml" | "verify"> {
  return {
    name,
    groupToml: groupToml(cache.layers.map(({ buildpack }) => ({ id: buildpack }))),
    analyzedToml: analyzedToml(),
    verify: (layersDir) => {
      for (const layer of cache.layers) {
        const path = join(layersDir, layer.buildpack.replaceAll("/", "_"), layer.name);
        const found = countEntries(path);
        if (found !== layer.entries) throw new Error(`${path} holds ${found} entries instead of ${layer.entries}`);
      }
    },
  };
}

/** The entries of a tree with its root. (A recursive readdir of Bun's follows links to directories.) */
export function countEntries(path: string): number {
  const below = readdirSync(path, { withFileTypes: true });
  return below.reduce((sum, entry) => sum + (entry.isDirectory() ? countEntries(join(path, entry.name)) : 1), 1);
}

function describeCache({ layers }: BenchCache): string {
  const sum = (pick: (layer: BenchCache["layers"][number]) => number): number =>
    layers.reduce((total, layer) => total + pick(layer), 0);
  const megabytes = (sum(({ size }) => size) / 1e6).toFixed(0);
  return `${layers.length} layer${layers.length === 1 ? "" : "s"}, ${megabytes} MB, ${sum(({ entries }) => entries)} entries`;
}

function noopRow(name: string): Row {
  return {
    name,
    about: "3 buildpacks, no cache",
    args: [],
    groupToml: groupToml(["bench/a", "bench/b", "bench/c"].map((id) => ({ id }))),
    analyzedToml: analyzedToml(),
    blobs: [],
    verify: () => {},
  };
}

const [metadataBuildpacks, metadataLayers] = [300, 10] as const;

function metadataRow(name: string): Row {
  const buildpacks = Array.from(
    { length: metadataBuildpacks },
    (_, index): AppBuildpack => ({
      id: `bench/buildpack-${index}`,
      layers: Array.from({ length: metadataLayers }, (_, layer) => ({
        name: `layer-${layer}`,
        metadata: {
          version: `${index}.${layer}.0`,
          checksum: "0123456789abcdef",
          nested: { list: ["a", "b"], on: true },
        },
      })),
    }),
  );
  return {
    name,
    about: `${metadataBuildpacks} buildpacks × ${metadataLayers} launch layers, metadata only`,
    args: [],
    groupToml: groupToml(buildpacks.map(({ id }) => ({ id }))),
    analyzedToml: analyzedToml({ buildpacks }),
    blobs: [],
    verify: (layersDir) => {
      const found = readdirSync(layersDir, { recursive: true }).filter((path) => /layer-\d+\.toml$/.test(String(path)));
      const expected = metadataBuildpacks * metadataLayers;
      if (found.length !== expected) throw new Error(`${found.length} <layer>.toml files instead of ${expected}`);
    },
  };
}
