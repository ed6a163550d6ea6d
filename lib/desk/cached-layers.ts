import type { Cache } from "../caches/cache.ts";
import { escapeId } from "../layers/names.ts";
import { compareLayers } from "../layers/report.ts";
import { isDigest } from "../oci/digest.ts";
import { DataError } from "../toml/layer-data.ts";
import { formatMetadata } from "../toml/layer-toml.ts";
import type { ImageMetadata, LayerMetadata } from "../toml/metadata.ts";

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
  const all = metadata.buildpacks.flatMap(({ id, version, layers }) =>
    [...layers].map(([layer, metadata]) => ({
      buildpack: id,
      version,
      layer,
      metadata,
      anchor: [escapeId(id), layer],
    })),
  );
  return all.sort(compareLayers);
}

/** What a cache holds beside what its metadata names, and what it lacks of that. */
export interface Stock {
  /** Bytes of the blob of a digest as stored; undefined where there is none. */
  size(sha: string | undefined): number | undefined;
  /** Blobs that nothing names. */
  readonly orphans: readonly { readonly diffId: string; readonly size: number }[];
  readonly leftovers: readonly { readonly path: string; readonly bytes: number }[];
}

/** Compares what is in a cache with what its metadata names. */
export function takeStock(cache: Cache, metadata: ImageMetadata | undefined): Stock {
  const { blobs, leftovers } = cache.contents();
  const sizes = new Map(blobs.map(({ diffId, size }) => [diffId, size]));
  const layers = metadata === undefined ? [] : cachedLayers(metadata);
  const named = new Set([metadata?.sbom, ...layers.map((layer) => layer.metadata.sha)]);
  return {
    size: (sha) => (sha === undefined ? undefined : sizes.get(sha)),
    orphans: blobs.filter(({ diffId }) => !named.has(diffId)),
    leftovers,
  };
}

/** What is recorded as a digest, where it is one. */
export function recordedDigest({ metadata: { sha } }: CachedLayer): string | undefined {
  return sha !== undefined && isDigest(sha) ? sha : undefined;
}

/** What a restore would refuse a layer's metadata for (`bad-metadata`); undefined where it can be written. */
export function metadataProblem({ metadata: { problem, data } }: CachedLayer): string | undefined {
  if (problem !== undefined) return `its metadata cannot be used: ${problem}`;
  try {
    formatMetadata(data.read());
    return undefined;
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return `its metadata cannot be used: ${error.message}`;
  }
}
