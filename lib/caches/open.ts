import { cacheTrouble } from "../failures.ts";
import type { Log } from "../log.ts";
import { isLayoutReference } from "../oci/reference.ts";
import type { Registry } from "../registry/registry.ts";
import type { Session } from "../session.ts";
import { type ImageMetadata, noMetadata } from "../toml/metadata.ts";
import { Pauses } from "../waiting.ts";
import { type Cache, CacheError } from "./cache.ts";
import { namedPlaces } from "./place.ts";

/**
 * The caches that the inputs name, unread, in the order in which they are tried. With a warning where there are none.
 * `wantsBlobs` where most of what the cache of the run holds will be read.
 */
export async function openCaches(
  { inputs, log, signal }: Session,
  registry: Registry | undefined,
  wantsBlobs = false,
): Promise<readonly Cache[]> {
  if (inputs.cacheImage !== undefined && inputs.cacheDir !== undefined) {
    log.warn("Both a cache image and a cache directory are given, using the image.", "two-caches");
  }
  const caches: Cache[] = [];
  for (const place of namedPlaces(inputs)) {
    if (place.kind === "directory") caches.push(await openVolume(place.path, signal));
    else caches.push(...(await openImage(place.reference, registry, log, wantsBlobs)));
  }
  if (caches.length === 0) log.warn("No cached data will be used, no cache specified.", "no-cache");
  return caches;
}

/** Loaded only where a directory is used. */
async function openVolume(path: string, signal: AbortSignal): Promise<Cache> {
  const { VolumeCache } = await import("./volume.ts");
  return new VolumeCache(path, signal);
}

/** Loaded only where an image is used. */
async function openImage(
  reference: string,
  registry: Registry | undefined,
  log: Log,
  wantsBlobs: boolean,
): Promise<Cache[]> {
  const { ImageCache } = await import("./image.ts");
  if (isLayoutReference(reference)) {
    const { LayoutImage } = await import("./layout-image.ts");
    return [new ImageCache(new LayoutImage(reference), log)];
  }
  if (registry === undefined) return [];
  const { RegistryImage } = await import("./registry-image.ts");
  return [new ImageCache(new RegistryImage(reference, registry, log, wantsBlobs), log)];
}

/** The cache of a run: the first that exists and can be used. */
export interface ChosenCache {
  readonly cache: Cache;
  readonly metadata: ImageMetadata;
  /** Those behind it, unread: a blob that it lacks may come from one of them (D25). */
  readonly fallbacks: readonly Cache[];
}

/**
 * Chooses the cache of a run; undefined when none is used. Trouble with one is told, and costs that cache, not the run (D5),
 * unless the run is strict.
 */
export async function chooseCache(
  caches: readonly Cache[],
  { inputs, log, signal }: Session,
  onTrouble: (message: string) => void,
): Promise<ChosenCache | undefined> {
  if (inputs.skipLayers || caches.length === 0) return undefined;
  const pauses = new Pauses(signal);
  let absent: Cache | undefined;
  for (const [index, cache] of caches.entries()) {
    try {
      // What it is read from may have kept signals from being heard.
      const metadata = await cache.metadata().finally(() => pauses.pause());
      if (metadata === undefined) {
        log.info(`Layer cache not found: ${cache.name} holds none yet`);
        absent ??= cache;
        continue;
      }
      if (index > 0) log.info(`Using ${cache.name}`);
      return { cache, metadata, fallbacks: caches.slice(index + 1) };
    } catch (error) {
      if (!(error instanceof CacheError)) throw error;
      if (inputs.strict && !error.isFirstBuild) throw cacheTrouble(error.message);
      if (!error.isFirstBuild) onTrouble(error.message);
      tellUnused(error, caches.length > 1, log);
    }
  }
  return absent && { cache: absent, metadata: noMetadata, fallbacks: [] };
}

function tellUnused({ message, isFirstBuild }: CacheError, isOneOfSeveral: boolean, log: Log): void {
  const told = `Not using the cache: ${message}`;
  // Of several, one that is not there yet is what the others are for.
  if (isFirstBuild && isOneOfSeveral) log.info(told);
  else log.warn(told, isFirstBuild ? "cache-absent" : "cache-unusable");
}
