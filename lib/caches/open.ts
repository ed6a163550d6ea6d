import { cacheTrouble } from "../failures.ts";
import type { Log } from "../log.ts";
import { isLayoutReference } from "../oci/reference.ts";
import type { Registry } from "../registry/registry.ts";
import type { Session } from "../session.ts";
import { type ImageMetadata, noMetadata } from "../toml/metadata.ts";
import { type Cache, CacheError } from "./cache.ts";
import { VolumeCache } from "./volume.ts";

/** The cache that the inputs name, unread: the image if there are both. Undefined, with a warning, when there is none. */
export async function openCache(
  { inputs, log, signal }: Session,
  registry: Registry | undefined,
): Promise<Cache | undefined> {
  const { cacheDir, cacheImage } = inputs;
  if (cacheImage !== undefined) {
    if (cacheDir !== undefined) log.warn("Both a cache image and a cache directory are given, using the image.");
    return openImage(cacheImage, registry, log);
  }
  if (cacheDir !== undefined) return new VolumeCache(cacheDir, signal);
  log.warn("No cached data will be used, no cache specified.");
  return undefined;
}

/** Loaded only where an image is used. */
async function openImage(reference: string, registry: Registry | undefined, log: Log): Promise<Cache | undefined> {
  const { ImageCache } = await import("./image.ts");
  if (isLayoutReference(reference)) {
    const { LayoutImage } = await import("./layout-image.ts");
    return new ImageCache(new LayoutImage(reference), log);
  }
  if (registry === undefined) return undefined;
  const { RegistryImage } = await import("./registry-image.ts");
  return new ImageCache(new RegistryImage(reference, registry, log), log);
}

/**
 * What a cache holds; undefined when it is not used. Trouble with it is told, and costs the cache, not the run (D5), unless
 * the run is strict.
 */
export async function readCache(
  cache: Cache | undefined,
  { inputs, log }: Session,
  onTrouble: (message: string) => void,
): Promise<ImageMetadata | undefined> {
  if (cache === undefined || inputs.skipLayers) return undefined;
  try {
    const metadata = await cache.metadata();
    if (metadata === undefined) log.info(`Layer cache not found: ${cache.name} holds none yet`);
    return metadata ?? noMetadata;
  } catch (error) {
    if (!(error instanceof CacheError)) throw error;
    if (!error.isFirstBuild) {
      if (inputs.strict) throw cacheTrouble(error.message);
      onTrouble(error.message);
    }
    log.warn(`Not using the cache: ${error.message}`);
    return undefined;
  }
}
