import { isLinkedTo } from "../disk/cache-places.ts";
import type { Directory } from "../disk/directory.ts";
import { MountError, refuseMounts } from "../disk/removal.ts";
import { describe } from "../errors.ts";
import { quote } from "../text.ts";
import { isSbomFileOf } from "./names.ts";
import type { OutcomeCode } from "./outcomes.ts";

/** A layer that cannot take its place though the disk is fine; costs this layer only. */
export class PlaceError extends Error {
  override readonly name = "PlaceError";
  readonly code: OutcomeCode;

  constructor(message: string, code: OutcomeCode = "place-taken") {
    super(message);
    this.code = code;
  }
}

/**
 * Throws a PlaceError where something stands in a layer's place, in its buildpack's directory, that is not to be replaced: a
 * layer that holds a mount or the cache, or a file of which is a mount, stays whole, its toml included.
 */
export function refuseTaken(directory: Directory, layer: string): void {
  try {
    refuseMounts(directory, layer);
  } catch (error) {
    if (error instanceof MountError) throw placeTaken(error);
    throw error;
  }
  refuseMountedFiles(directory, layer);
}

/** Throws a PlaceError where one of the files beside a layer's directory that belong to it is a mount: its toml stays, too. */
export function refuseMountedFiles(directory: Directory, layer: string): void {
  if (directory.stat(`${layer}.toml`) === undefined) return;
  const isFileOf = (name: string) => name === `${layer}.toml` || name === `${layer}.sha` || isSbomFileOf(layer, name);
  const mounted = directory.mountedNames().find(isFileOf);
  if (mounted !== undefined) throw mountedAt(directory, mounted);
}

/** Of a file in a buildpack's directory that is a mount. */
export function mountedAt(directory: Directory, name: string): PlaceError {
  return placeTaken(new MountError(`something is mounted at ${quote(`${directory.path}/${name}`)}`));
}

/**
 * Throws a PlaceError where something stands in the place of a buildpack's directory that would give way to one, but is a
 * mount, or a link by which the cache is reached.
 */
export function refuseTakenDirectory(layers: Directory, name: string): void {
  if (layers.stat(name)?.isDirectory() === true) return;
  try {
    refuseMounts(layers, name);
  } catch (error) {
    if (error instanceof MountError) throw placeTaken(error);
    throw error;
  }
}

/** Throws a PlaceError where a link of the cache leads to one of these files. */
export function refuseLinked(directory: Directory, names: readonly string[]): void {
  const name = names.find((one) => isLinkedTo(directory, one));
  if (name === undefined) return;
  throw placeTaken(new MountError(`the cache lies at ${quote(`${directory.path}/${name}`)}`));
}

/** Of a MountError, or of what the system says where something is mounted. */
export function placeTaken(error: unknown): PlaceError {
  const why = error instanceof MountError ? describe(error) : "its directory, or a file beside it, is a mount point";
  return new PlaceError(`${why}, so that what stands there cannot be replaced`);
}
