import * as v from "valibot";
import { optionalText, optionalTexts } from "../lenient.ts";
import { digestSchema, ManifestError, parseDocument } from "./document.ts";
import type { Layer, Manifest } from "./manifest.ts";

/** A diffID of another kind keeps its position: no layer is looked for by it. */
const diffIds = v.array(v.fallback(digestSchema, ""));

const configSchema = v.object({
  os: optionalText,
  architecture: optionalText,
  variant: optionalText,
  created: optionalText,
  config: v.fallback(v.object({ Labels: v.fallback(optionalTexts, []) }), { Labels: [] }),
  rootfs: v.fallback(v.object({ diff_ids: v.nullish(diffIds, []) }), { diff_ids: [] }),
});

/** What an image's config says that we need. */
export interface ImageConfig {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string;
  /** When the image was made, by its own word; empty where it has none. */
  readonly created: string;
  readonly labels: ReadonlyMap<string, string>;
  /** Digests of the uncompressed layers, in the order of the manifest's; empty for one that is not a sha256 digest. */
  readonly diffIds: readonly string[];
}

/** Reads the config of an image, Docker's or OCI's; what we do not need may hold anything. Throws a ManifestError. */
export function parseConfig(bytes: Uint8Array): ImageConfig {
  const { config, rootfs, ...rest } = parseDocument(configSchema, bytes, "config");
  return { ...rest, labels: new Map(config.Labels), diffIds: rootfs.diff_ids };
}

/**
 * Which blob holds the layer of which diffID; of several the first that can be had. Throws a ManifestError where manifest and
 * config have different numbers of layers.
 */
export function layersByDiffId(manifest: Manifest, config: ImageConfig): Map<string, Layer> {
  if (manifest.layers.length !== config.diffIds.length) {
    throw new ManifestError(
      `the manifest has ${manifest.layers.length} layers, the config ${config.diffIds.length} diffIDs`,
    );
  }
  const result = new Map<string, Layer>();
  for (const [position, layer] of manifest.layers.entries()) {
    const diffId = config.diffIds[position];
    if (diffId && (!result.has(diffId) || result.get(diffId)?.unusable !== undefined)) result.set(diffId, layer);
  }
  return result;
}
