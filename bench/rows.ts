import { cpSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type AppBuildpack, analyzedToml, groupToml } from "../test/support/cache-fixture.ts";
import { certificates } from "../test/support/certificates.ts";
import { startExporter, startFarServer } from "./helpers.ts";
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
  /** Variables for the contenders. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether no other restorer can do this. */
  readonly isOwn?: boolean;
  /** Whether there is nothing to do: with a warm page cache it is run more often. */
  readonly isStart?: boolean;
  /** What was aimed for; none where a row is there for comparison only. */
  readonly targets?: Targets;
  /** Every start finds an empty page cache, as the first one after boot does. */
  readonly cold?: boolean;
}

/** How we want to compare: wall times as parts of the other's, and peak memory. */
export interface Targets {
  readonly reference?: number;
  readonly stretch?: number;
  /** The row that the reference is taken from, where it cannot do the same. */
  readonly referenceRow?: string;
  readonly tar?: number;
  readonly rssMiB?: number;
}

/** What rows are made with: caches are only made, and a registry only started, for a row that is run. */
interface Workshop {
  readonly cacheDir: string;
  makeCache(kind: CacheKind, sizes: { bytes: number; files: number }): BenchCache;
  registry(): Promise<Registry>;
  /** Has a helper end when all rows are done. */
  use<T extends Disposable>(helper: T): T;
}

type MakeRow = (name: string, workshop: Workshop) => Row | Promise<Row>;

/** As large as a cache that people complain about: node_modules, a JDK and a Go module cache. */
const twoGigabytes = { bytes: 2e9, files: 62_000 };
const imageTargets: Record<Compression, Targets> = {
  gzip: { reference: 0.46, stretch: 0.4, rssMiB: 160 },
  zstd: { reference: 0.5, rssMiB: 160 },
};
/** How the name of a row of this size ends. */
const large = "-2gb";

/** Every row by name. To add one, add a function that makes its {@link Row}. */
export const rows: ReadonlyMap<string, MakeRow> = new Map<string, MakeRow>([
  ["volume", volumeRow("volume", defaultSizes.volume, { reference: 0.65, stretch: 0.5, tar: 0.85, rssMiB: 128 })],
  ["volume-2gb", volumeRow("volume", twoGigabytes, { reference: 0.65, stretch: 0.5, tar: 0.85, rssMiB: 128 })],
  ["one-small", volumeRow("one-small", defaultSizes["one-small"], { reference: 0.7, tar: 1, rssMiB: 128 })],
  ["one-large", volumeRow("one-large", defaultSizes["one-large"], { reference: 0.7, rssMiB: 128 })],
  ["many-layers", volumeRow("many-layers", defaultSizes["many-layers"], { reference: 0.8, stretch: 0.5, rssMiB: 128 })],
  ...compressions.flatMap((compression) => [
    [`image-${compression}`, imageRow(compression, defaultSizes.volume)] as const,
    [`image-${compression}${large}`, imageRow(compression, twoGigabytes)] as const,
  ]),
  ["image-gzip-far", farRow(false)],
  ["image-gzip-s3", farRow(true)],
  ["cache-from", cacheFromRow],
  ["volume-moving", movingRow],
  ["noop", noopRow],
  ["metadata", metadataRow],
  ["cold-version", coldVersionRow],
  ["cold-noop", (name) => ({ ...noopRow(name), cold: true, targets: { reference: 2 } })],
]);

/** What runs when no row is named. */
export const defaultRows: readonly string[] = ["volume", "one-small", "one-large", "noop", "metadata"];

/** Names for several rows at once. `all` is the table that the targets were set for. */
export const rowGroups: Readonly<Record<string, readonly string[]>> = {
  image: compressions.map((compression) => `image-${compression}`),
  cold: ["cold-version", "cold-noop"],
  far: ["image-gzip-far", "image-gzip-s3"],
  all: [
    `volume${large}`,
    "one-small",
    "one-large",
    ...compressions.map((compression) => `image-${compression}${large}`),
    "image-gzip-far",
    "image-gzip-s3",
    "cache-from",
    "volume-moving",
    "many-layers",
    "noop",
    "metadata",
    "cold-version",
    "cold-noop",
  ],
};

function volumeRow(kind: CacheKind, { bytes, files }: { bytes: number; files: number }, targets: Targets): MakeRow {
  return (name, workshop) => {
    const sizes = { bytes: Number(process.env.BENCH_BYTES ?? bytes), files: Number(process.env.BENCH_FILES ?? files) };
    const cache = workshop.makeCache(kind, sizes);
    return {
      ...cacheRow(name, cache),
      about: describeCache(cache),
      args: ["-cache-dir", cache.path],
      // A process for each of thousands would only measure itself.
      blobs: cache.layers.length > 100 ? [] : cache.layers.map(({ blob }) => blob),
      targets,
    };
  };
}

function imageRow(compression: Compression, sizes: { bytes: number; files: number }): MakeRow {
  return async (name, workshop) => {
    const cache = workshop.makeCache("volume", sizes);
    const reference = await pushCacheImage(await workshop.registry(), cache, compression);
    return {
      ...cacheRow(name, cache),
      about: `${describeCache(cache)} as a ${compression} cache image in a registry on the loopback device`,
      args: ["-cache-image", reference],
      blobs: [],
      // Exporters write gzip: that is what another restorer has to read while ours reads zstd.
      targets: { ...imageTargets[compression], referenceRow: name.replace(compression, "gzip") },
    };
  };
}

/** A cache image of 2 GB behind a network that gives each connection what object stores give. */
function farRow(isSigned: boolean): MakeRow {
  return async (name, workshop) => {
    const cache = workshop.makeCache("volume", twoGigabytes);
    const distance = { roundTripMs: 2, bytesPerSecond: 40e6, isSigned };
    const { says: reference } = workshop.use(await startFarServer(cache, distance));
    return {
      ...cacheRow(name, cache),
      about: `${describeCache(cache)} as a gzip cache image, 2 ms and 40 MB/s a connection away${isSigned ? ", by way of a store" : ""}`,
      args: ["-cache-image", reference],
      env: { SSL_CERT_FILE: certificates.authority },
      blobs: [],
      targets: { reference: 0.45, stretch: 0.33, rssMiB: 160 },
    };
  };
}

/** The cache to fall back on, where there is none at the first place. */
function cacheFromRow(name: string, workshop: Workshop): Row {
  const cache = workshop.makeCache("volume", defaultSizes.volume);
  return {
    ...cacheRow(name, cache),
    about: `${describeCache(cache)}, in the second cache of two`,
    args: ["-cache-dir", join(cache.path, "absent"), "-cache-from", cache.path],
    blobs: [],
    isOwn: true,
    targets: { reference: 0.65, referenceRow: "volume" },
  };
}

/** A cache that an exporter commits to all the time. */
async function movingRow(name: string, workshop: Workshop): Promise<Row> {
  const cache = workshop.makeCache("volume", defaultSizes.volume);
  const path = join(workshop.cacheDir, "moving");
  const generation = join(cache.path, "committed");
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path);
  cpSync(generation, join(path, "committed"), { recursive: true });
  workshop.use(await startExporter(path, [generation]));
  return {
    ...cacheRow(name, cache),
    about: `${describeCache(cache)}, committed anew all the time`,
    args: ["-cache-dir", path],
    blobs: [],
    isOwn: true,
    targets: { reference: 0.65, referenceRow: "volume" },
  };
}

function cacheRow(name: string, cache: BenchCache): Pick<Row, "name" | "groupToml" | "analyzedToml" | "verify"> {
  return {
    name,
    groupToml: groupToml([...new Set(cache.layers.map(({ buildpack }) => buildpack))].map((id) => ({ id }))),
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
    isStart: true,
    targets: { reference: 1.2, stretch: 0.95, rssMiB: 48 },
    groupToml: groupToml(["bench/a", "bench/b", "bench/c"].map((id) => ({ id }))),
    analyzedToml: analyzedToml(),
    blobs: [],
    verify: () => {},
  };
}

function coldVersionRow(name: string): Row {
  return { ...noopRow(name), about: "-version", args: ["-version"], cold: true, targets: { reference: 2 } };
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
    targets: { reference: 1 },
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
