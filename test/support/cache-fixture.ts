import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify, type TomlTable } from "smol-toml";
import { packTree } from "./pack-tree.ts";

interface LayerContents {
  /** A directory to pack as make-cache does. */
  readonly tree?: string;
  /** A finished tar, such as `tarOf` of raw-tar makes. */
  readonly tar?: Uint8Array;
  /** What the metadata says and the blob is called, true or not. Default: the contents' diffID. */
  readonly sha?: string;
}

/** A layer of the cache; one without contents is in the metadata but has no blob. */
export interface CachedLayer extends LayerContents {
  readonly name: string;
  readonly build?: boolean;
  readonly launch?: boolean;
  /** Default: true. */
  readonly cache?: boolean;
  /** The buildpack's metadata. */
  readonly data?: unknown;
}

export interface CachedBuildpack {
  readonly id: string;
  /** Default: 1.0.0. */
  readonly version?: string;
  readonly layers: readonly CachedLayer[];
}

export interface CacheOptions {
  /** The layers directory that the tars were made in. Default: /layers. */
  readonly prefix?: string;
  /** The SBOM layer: the tree of a `sbom/cache` directory, or a finished tar. */
  readonly sbom?: LayerContents;
  /** Written in place of the metadata. */
  readonly metadata?: string;
  /** Default: committed. */
  readonly directory?: "committed" | "committed-backup";
}

export interface CacheFixture {
  /** For `-cache-dir`. */
  readonly path: string;
  /** The directory with the metadata and the blobs. */
  readonly committed: string;
  readonly metadataPath: string;
  /** The SBOM layer's diffID. */
  readonly sbomSha: string | undefined;
  /** The diffID that the metadata gives for a layer. */
  sha(buildpack: string, layer: string): string;
  /** Where the blob of a layer is, or would be. */
  blob(buildpack: string, layer: string): string;
}

export const metadataName = "io.buildpacks.lifecycle.cache.metadata";

/** Makes a volume cache at `path`, as an exporter leaves it. */
export function makeCache(
  path: string,
  buildpacks: readonly CachedBuildpack[],
  { prefix = "/layers", sbom, metadata, directory = "committed" }: CacheOptions = {},
): CacheFixture {
  const committed = join(path, directory);
  mkdirSync(committed, { recursive: true });
  const shas = new Map<string, string>();
  for (const { id, layers } of buildpacks) {
    for (const layer of layers) {
      const name = `${prefix}/${id.replaceAll("/", "_")}/${layer.name}`;
      shas.set(`${id}:${layer.name}`, storeLayer(committed, name, layer));
    }
  }
  const sbomSha = sbom && storeLayer(committed, `${prefix}/sbom/cache`, sbom);
  const sha = (buildpack: string, layer: string): string => {
    const found = shas.get(`${buildpack}:${layer}`);
    if (found === undefined) throw new Error(`the cache has no layer ${buildpack}:${layer}`);
    return found;
  };
  const metadataPath = join(committed, metadataName);
  writeFileSync(metadataPath, metadata ?? cacheMetadata(buildpacks, sha, sbomSha));
  const blob = (buildpack: string, layer: string): string => blobPath(committed, sha(buildpack, layer));
  return { path, committed, metadataPath, sbomSha, sha, blob };
}

function storeLayer(committed: string, name: string, { tree, tar, sha }: LayerContents): string {
  if (tar !== undefined) {
    const named = sha ?? diffId(tar);
    writeFileSync(blobPath(committed, named), tar);
    return named;
  }
  if (tree === undefined) return sha ?? diffId("");
  const packed = packTree(committed, tree, name);
  if (sha !== undefined) renameSync(packed.path, blobPath(committed, sha));
  return sha ?? packed.diffId;
}

function blobPath(committed: string, sha: string): string {
  return join(committed, `${sha}.tar`);
}

/** `sha256:<hex>` of an uncompressed layer. */
export function diffId(tar: string | Uint8Array): string {
  return `sha256:${new Bun.CryptoHasher("sha256").update(tar).digest("hex")}`;
}

/** The cache metadata (JSON), keys in the exporter's order. */
export function cacheMetadata(
  buildpacks: readonly CachedBuildpack[],
  shaOf: (buildpack: string, layer: string) => string,
  sbomSha = "",
): string {
  const json = {
    sbom: { sha: sbomSha },
    buildpacks: buildpacks.map(({ id, version = "1.0.0", layers }) => ({
      key: id,
      version,
      // fromEntries, for it also makes an own property of a layer called __proto__.
      layers: Object.fromEntries(
        layers.map(({ name, build = false, launch = false, cache = true, data = null }) => [
          name,
          { sha: shaOf(id, name), data, build, launch, cache },
        ]),
      ),
    })),
  };
  return `${JSON.stringify(json)}\n`;
}

interface GroupElement {
  readonly id: string;
  /** Default: 1.0.0. */
  readonly version?: string;
  /** Default: 0.10; null leaves it out. */
  readonly api?: string | null;
  readonly homepage?: string;
  readonly optional?: boolean;
  readonly execEnv?: readonly string[];
}

/** A group.toml. */
export function groupToml(group: readonly GroupElement[], extensions: readonly GroupElement[] = []): string {
  const element = ({ id, version = "1.0.0", api = "0.10", homepage, optional, execEnv }: GroupElement): TomlTable =>
    defined({ id, version, api: api ?? undefined, homepage, optional, "exec-env": execEnv });
  return stringify({
    group: group.map(element),
    ...(extensions.length > 0 && { "group-extensions": extensions.map(element) }),
  });
}

/** A layer in the app image's metadata. */
interface AppLayer {
  readonly name: string;
  readonly sha?: string;
  readonly build?: boolean;
  /** Default: true, or the app image would not know the layer. */
  readonly launch?: boolean;
  readonly cache?: boolean;
  readonly metadata?: TomlTable;
}

export interface AppBuildpack {
  readonly id: string;
  readonly version?: string;
  readonly layers?: readonly AppLayer[];
  /** `[metadata]` of its store.toml. */
  readonly store?: TomlTable;
}

export interface Analyzed {
  /** `[image] reference`. */
  readonly image?: string;
  /** `[run-image]`. */
  readonly runImage?: TomlTable;
  readonly buildpacks?: readonly AppBuildpack[];
  /** Any other table of the file. */
  readonly extra?: TomlTable;
}

/** An analyzed.toml. */
export function analyzedToml({ image, runImage, buildpacks = [], extra = {} }: Analyzed = {}): string {
  const layer = ({ sha, build = false, launch = true, cache = false, metadata }: AppLayer): TomlTable =>
    defined({ sha: sha ?? diffId(""), build, launch, cache, metadata });
  const buildpack = ({ id, version = "1.0.0", layers = [], store }: AppBuildpack): TomlTable =>
    defined({
      key: id,
      version,
      layers: Object.fromEntries(layers.map((each) => [each.name, layer(each)])),
      store: store && { metadata: store },
    });
  return stringify(
    defined({
      image: image === undefined ? undefined : { reference: image },
      "run-image": runImage,
      metadata: buildpacks.length === 0 ? undefined : { buildpacks: buildpacks.map(buildpack) },
      ...extra,
    }),
  );
}

function defined(table: Readonly<Record<string, unknown>>): TomlTable {
  return Object.fromEntries(Object.entries(table).filter(([, value]) => value !== undefined)) as TomlTable;
}
