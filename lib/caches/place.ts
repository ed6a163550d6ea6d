import { statSync } from "node:fs";
import { resolve } from "node:path";
import type { SharedPlaces } from "../disk/bounds.ts";
import { isLayoutReference, parseLayoutReference, withoutUserInfo } from "../oci/reference.ts";

/** Where a cache is that is named by a word. */
type CachePlace =
  | { readonly kind: "directory"; readonly path: string }
  /** In a registry, or `oci:DIR[:TAG]`. */
  | { readonly kind: "image"; readonly reference: string };

/**
 * The place that a word names: a directory where it begins with `/` or `.`, or where one stands; a word alone, which would be
 * an official image of Docker Hub, is a directory as well, for no such image is a cache. Everything else is an image.
 */
export function placeNamed(word: string): CachePlace {
  if (isLayoutReference(word)) return { kind: "image", reference: word };
  const isPath = /^[./]/.test(word) || /^[\w-]+$/.test(word) || isDirectory(word);
  return isPath ? { kind: "directory", path: resolve(word) } : { kind: "image", reference: withoutUserInfo(word) };
}

/** How a run's caches are named. */
export interface NamedCaches {
  readonly cacheDir: string | undefined;
  readonly cacheImage: string | undefined;
  /** Words that name those to fall back on, in order (D25). */
  readonly cacheFrom: readonly string[];
}

/** The caches that are named, in the order in which they are tried; an image wins over a directory. */
export function namedPlaces({ cacheDir, cacheImage, cacheFrom }: NamedCaches): readonly CachePlace[] {
  const places: CachePlace[] = [];
  if (cacheImage !== undefined) places.push({ kind: "image", reference: cacheImage });
  else if (cacheDir !== undefined) places.push({ kind: "directory", path: cacheDir });
  for (const word of cacheFrom) places.push(placeNamed(word));
  return places;
}

/** The directories of this machine in which named caches lie. */
function cacheDirectories(caches: NamedCaches): readonly string[] {
  const directories = caches.cacheDir ? [caches.cacheDir] : [];
  for (const place of namedPlaces(caches)) {
    const dir = place.kind === "directory" ? place.path : parseLayoutReference(place.reference)?.dir;
    if (dir) directories.push(dir);
  }
  return directories;
}

/** The directories of a run in which others may put links. */
export function sharedPlaces(
  inputs: NamedCaches & { readonly layersDir: string; readonly kanikoDir: string },
): SharedPlaces {
  const { layersDir, kanikoDir } = inputs;
  return { layersDir, kanikoDir, cacheDirs: cacheDirectories(inputs) };
}

/** The references of caches that a registry is asked for. */
export function cacheReferences(inputs: NamedCaches & { readonly skipLayers: boolean }): readonly string[] {
  if (inputs.skipLayers) return [];
  const references: string[] = [];
  for (const place of namedPlaces(inputs)) {
    if (place.kind === "image" && !isLayoutReference(place.reference)) references.push(place.reference);
  }
  return references;
}

/** Whether a directory stands at a path, links followed. */
export function isDirectory(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  } catch {
    return false;
  }
}
