import { refuseInCache } from "../disk/cache-places.ts";
import type { Directory } from "../disk/directory.ts";
import { hasCode } from "../errors.ts";
import { cannotWrite } from "../failures.ts";
import type { Log } from "../log.ts";
import { quote } from "../text.ts";
import { PlaceError, placeTaken, refuseTakenDirectory } from "./place.ts";

/** Throws a RestorerError (exit 42) where the layers directory is a cache's, or lies in one. */
export function refuseLayersPlace(layers: Directory): void {
  try {
    refuseInCache(layers, { forLayers: true });
  } catch (error) {
    throw cannotWrite(layers.path, error, "Name another directory with -layers or CNB_LAYERS_DIR.");
  }
}

/**
 * Throws a RestorerError (exit 42) where `openOrMakePlace` cannot make a buildpack's directory: a file stands there, or a
 * cache lies there. What else stands there gives way.
 */
export function refuseBuildpackPlace(layers: Directory, name: string): void {
  try {
    const stat = layers.stat(name);
    if (stat === undefined || !(stat.isDirectory() || stat.isFile())) return;
    using directory = layers.openOrTell(name);
    refuseInCache(directory, { forLayers: true });
  } catch (error) {
    throw cannotWrite(`${layers.path}/${name}`, error);
  }
}

/**
 * A buildpack's directory below the layers directory, made where there is none. Throws a RestorerError (exit 42) as
 * `refuseBuildpackPlace` does and where the disk does not let it, and a PlaceError where what stands there is to stay.
 */
export function openOrMakePlace(layers: Directory, name: string, umask: number, log: Log): Directory {
  try {
    removeIfWorthless(layers, name, log);
    const directory = layers.openOrMake(name, 0o777 & ~umask);
    refuseInCache(directory, { forLayers: true });
    return directory;
  } catch (error) {
    if (error instanceof PlaceError) throw error;
    throw cannotWrite(`${layers.path}/${name}`, error);
  }
}

/**
 * In the place of a buildpack's directory. What holds nothing is no reason to fail a build; a file may be the only copy of
 * something. Throws a PlaceError where it is not to be removed.
 */
function removeIfWorthless(layers: Directory, name: string, log: Log): void {
  const stat = layers.stat(name);
  if (stat === undefined || stat.isDirectory() || stat.isFile()) return;
  const [what, code] = stat.isSymbolicLink()
    ? (["a symbolic link", "link-replaced"] as const)
    : (["which is a fifo, socket or device", "special-file-replaced"] as const);
  refuseTakenDirectory(layers, name);
  try {
    layers.unlink(name);
  } catch (error) {
    // A mount that came after the look.
    if (hasCode(error, "EBUSY")) throw placeTaken(error);
    throw error;
  }
  log.warn(`Removed ${quote(`${layers.path}/${name}`)}, ${what} in the place of a buildpack's directory`, code);
}
