import { Staged } from "../disk/workplace.ts";
import type { Log } from "../log.ts";
import { isDigest } from "../oci/digest.ts";
import type { LayersDirectory } from "./layers-directory.ts";
import type { Narration } from "./narration.ts";
import { SbomFiles, type SbomRoot } from "./sbom.ts";
import type { Unpacker } from "./unpack.ts";

/** Where SBOM files of earlier builds may lie. */
interface SbomPlaces {
  /** diffID of the cache's SBOM layer, unchecked; undefined where there is none. */
  readonly cached: string | undefined;
  /** Undefined where nothing comes from a cache. */
  readonly unpacker: Unpacker | undefined;
  readonly layers: LayersDirectory;
}

/**
 * Finds SBOM files of earlier builds: in the cache's SBOM layer, and already in `<layers>/sbom` (contract §3). A blob that
 * cannot be used is told, and costs no more than what it holds (D9). Throws as `Unpacker.unpack` does.
 */
export async function findSboms(places: SbomPlaces, log: Log, narration: Narration): Promise<SbomFiles> {
  const roots: SbomRoot[] = [];
  const cached = await unpackCached(places, log, narration);
  if (cached !== undefined) {
    roots.push({ directory: cached, tell: (message) => narration.trouble(message, "sbom") });
  }
  const standing = places.layers.openSboms();
  if (standing !== undefined) roots.push({ directory: standing, tell: (message) => log.warn(message, "sbom") });
  return new SbomFiles(roots);
}

/** The directory with the contents of the cache's SBOM layer; undefined where there is none that can be used. */
async function unpackCached({ cached, unpacker, layers }: SbomPlaces, log: Log, narration: Narration) {
  if (unpacker === undefined || cached === undefined) return undefined;
  log.info("Restoring data for SBOM from cache");
  const { staging } = layers;
  const unpacked = isDigest(cached)
    ? await unpacker.unpack(cached, ["sbom"], () => new Staged(staging))
    : ({ isUsable: false, reason: "what the cache names is not a sha256 digest" } as const);
  if (unpacked.isUsable) {
    narration.fellBack("SBOM files", unpacked);
    return staging.directory.open(unpacked.place.slot.name);
  }
  narration.trouble(`Not restoring SBOM files from cache: ${unpacked.reason}`, "sbom");
  return undefined;
}
