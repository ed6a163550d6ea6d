import * as v from "valibot";
import { digestSchema, ManifestError, parseDocument } from "./document.ts";
import type { Descriptor, Manifest } from "./manifest.ts";

/** Bytes a config may have: with long histories and labels they reach a few hundred KiB. */
export const configBytes = 16 * 1024 * 1024;

const labels = v.pipe(
  v.custom<Record<string, unknown>>((value) => typeof value === "object" && value !== null && !Array.isArray(value)),
  // Not v.record: it drops names such as `__proto__`.
  v.transform((table) => new Map(Object.entries(table))),
  v.map(v.string(), v.string()),
);

const configSchema = v.object({
  os: v.nullish(v.string(), ""),
  architecture: v.nullish(v.string(), ""),
  variant: v.nullish(v.string(), ""),
  config: v.nullish(v.object({ Labels: v.nullish(labels) })),
  rootfs: v.nullish(v.object({ diff_ids: v.nullish(v.array(digestSchema), []) }), { diff_ids: [] }),
});

/** What an image's config says that we need. */
export interface ImageConfig {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string;
  readonly labels: ReadonlyMap<string, string>;
  /** Digests of the uncompressed layers, in the order of the manifest's. */
  readonly diffIds: readonly string[];
}

/** Reads the config of an image, Docker's or OCI's. Throws a ManifestError. */
export function parseConfig(bytes: Uint8Array): ImageConfig {
  const { os, architecture, variant, config, rootfs } = parseDocument(configSchema, bytes, "config");
  return { os, architecture, variant, labels: config?.Labels ?? new Map(), diffIds: rootfs.diff_ids };
}

/** Which blob holds the layer of which diffID. Throws a ManifestError when manifest and config count differently. */
export function layersByDiffId(manifest: Manifest, config: ImageConfig): Map<string, Descriptor> {
  if (manifest.layers.length !== config.diffIds.length) {
    throw new ManifestError(
      `the manifest has ${manifest.layers.length} layers, the config ${config.diffIds.length} diffIDs`,
    );
  }
  const result = new Map<string, Descriptor>();
  for (const [position, layer] of manifest.layers.entries()) {
    const diffId = config.diffIds[position];
    if (diffId !== undefined && !result.has(diffId)) result.set(diffId, layer);
  }
  return result;
}
