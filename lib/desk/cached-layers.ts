import type { Cache, CacheBlob, Leftover } from "../caches/cache.ts";
import { buildpackNameProblem, escapeId, layerNameProblem } from "../layers/names.ts";
import type { OutcomeCode } from "../layers/outcomes.ts";
import { compareLayers } from "../layers/report.ts";
import { isDigest } from "../oci/digest.ts";
import { DataError, type LayerData } from "../toml/layer-data.ts";
import { formatMetadata } from "../toml/layer-toml.ts";
import type { BuildpackMetadata, ImageMetadata, LayerMetadata } from "../toml/metadata.ts";
import type { TomlValue } from "../toml/values.ts";

/** A layer that the metadata of a cache names. */
export interface CachedLayer {
  readonly buildpack: string;
  readonly version: string | undefined;
  readonly layer: string;
  readonly metadata: LayerMetadata;
  /** Of what its blob's entries have for a prefix. */
  readonly anchor: readonly string[];
}

/** All layers that a cache names, by buildpack and name. */
export function cachedLayers(metadata: ImageMetadata): CachedLayer[] {
  return metadata.buildpacks.flatMap(layersOf).sort(compareLayers);
}

/** Those of one buildpack, as they are recorded. */
export function layersOf({ id, version, layers }: BuildpackMetadata): CachedLayer[] {
  return [...layers].map(([layer, metadata]) => ({
    buildpack: id,
    version,
    layer,
    metadata,
    anchor: [escapeId(id), layer],
  }));
}

/** What a cache holds beside what its metadata names, and what it lacks of that. */
export interface Stock {
  /** What is stored as the blob of a digest; undefined where there is nothing. */
  blob(sha: string | undefined): CacheBlob | undefined;
  /** Blobs that nothing names. */
  readonly orphans: readonly CacheBlob[];
  readonly leftovers: readonly Leftover[];
}

/** Compares what is in a cache with what its metadata names. */
export function takeStock(cache: Cache, metadata: ImageMetadata | undefined): Stock {
  const { blobs, leftovers } = cache.contents();
  const held = new Map(blobs.map((blob) => [blob.diffId, blob]));
  const layers = metadata === undefined ? [] : cachedLayers(metadata);
  const named = new Set([metadata?.sbom, ...layers.map((layer) => layer.metadata.sha)]);
  return {
    blob: (sha) => (sha === undefined ? undefined : held.get(sha)),
    orphans: blobs.filter(({ diffId }) => !named.has(diffId)),
    leftovers,
  };
}

/** What is recorded as a digest, where it is one. */
export function recordedDigest({ metadata: { sha } }: CachedLayer): string | undefined {
  return sha !== undefined && isDigest(sha) ? sha : undefined;
}

/** What is wrong with what is recorded as a digest, where it is not one. */
export function digestProblem(sha: string | undefined): string {
  return sha === undefined ? "no digest is recorded for it" : "what is recorded as its digest is not a sha256 digest";
}

/** What is wrong with a layer, with the code that `verify` has for it. */
export interface Problem {
  readonly code: Extract<
    OutcomeCode,
    "no-digest" | "bad-digest" | "blob-unavailable" | "blob-unusable" | "bad-metadata" | "reserved-name" | "unsafe-name"
  >;
  readonly text: string;
}

/** What is wrong with a layer, as far as that can be seen without reading its blob. */
export function problemsOf(layer: CachedLayer, blob: CacheBlob | undefined): Problem[] {
  const { sha, cache } = layer.metadata;
  const ofBlob = blobProblem(sha, blob, cache);
  return [...(ofBlob === undefined ? [] : [ofBlob]), ...recordedProblems(layer)];
}

/** What is wrong with a layer's name and metadata. */
export function recordedProblems(layer: CachedLayer): Problem[] {
  const ofName = nameProblem(layer);
  const text = metadataProblem(layer);
  return [
    ...(ofName === undefined ? [] : [ofName]),
    ...(text === undefined ? [] : [{ code: "bad-metadata", text } as const]),
  ];
}

/** Why no restore brings back a layer of that name, or of a buildpack of that id (D11). */
export function nameProblem({ buildpack, layer, metadata: { cache } }: CachedLayer): Problem | undefined {
  // Nobody asks for the contents of others.
  if (!cache) return undefined;
  const problem = buildpackNameProblem(escapeId(buildpack)) ?? layerNameProblem(layer);
  return problem && { code: problem.code, text: problem.reason };
}

/** What is wrong with what a digest names; one that is not promised may be missing. */
export function blobProblem(
  sha: string | undefined,
  blob: CacheBlob | undefined,
  isPromised: boolean,
): Problem | undefined {
  if (sha === undefined) return isPromised ? { code: "no-digest", text: digestProblem(sha) } : undefined;
  if (!isDigest(sha)) return { code: "bad-digest", text: digestProblem(sha) };
  if (blob !== undefined) return blob.problem;
  return isPromised ? { code: "blob-unavailable", text: "its blob is missing" } : undefined;
}

/** What a restore would refuse a layer's metadata for (`bad-metadata`); undefined where it can be written. */
export function metadataProblem({ metadata: { problem, data } }: CachedLayer): string | undefined {
  const found = problem ?? readData(data).problem;
  return found === undefined ? undefined : `its metadata cannot be used: ${found}`;
}

/** A layer's own metadata, as a value and as TOML; or why a restore cannot write it. */
export function readData(data: LayerData): {
  readonly value: TomlValue | undefined;
  readonly toml: string;
  readonly problem?: string;
} {
  let value: TomlValue | undefined;
  try {
    value = data.read();
    return { value, toml: formatMetadata(value) };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return { value, toml: "", problem: error.message };
  }
}
