import { readdirSync } from "node:fs";
import { join } from "node:path";
import { CacheError } from "../caches/cache.ts";
import { describe } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import { fromLatin1 } from "../latin1.ts";
import { isWritten } from "../layers/layer-plan.ts";
import { isSbomSuffix } from "../layers/names.ts";
import type { Situation } from "../layers/situation.ts";
import { isDigest } from "../oci/digest.ts";
import { platformHas } from "../platform-api.ts";
import type { Desk } from "./desk.ts";
import type { Caches } from "./foresee.ts";
import { readWanted } from "./read-layer.ts";

/** The SBOM files that a restore would find, by layer. */
export class ForeseenSboms {
  readonly #suffixes = new Map<string, Set<string>>();

  /** Takes a path below `sbom`, which may be that of anything. */
  add(path: string): void {
    const [kind = "", directory, layer, suffix = "", ...rest] = path.split("/");
    if (!["cache", "launch"].includes(kind) || !isSbomSuffix(suffix) || rest.length > 0) return;
    const place = `${directory}/${layer}`;
    this.#suffixes.set(place, (this.#suffixes.get(place) ?? new Set()).add(suffix));
  }

  /** What goes behind the name of a layer, `sbom.cdx.json`. */
  of(directory: string, layer: string): readonly string[] {
    return [...(this.#suffixes.get(`${directory}/${layer}`) ?? [])].sort();
  }
}

/**
 * Looks for SBOM files where a restore would: in the blob that the cache has for them, and already in `<layers>/sbom`. Trouble
 * with the blob is warned about as a restore does, and given to `onTrouble`.
 */
export async function foreseeSboms(
  desk: Desk,
  { plan, cached }: Situation,
  caches: Caches,
  onTrouble: (message: string) => void,
): Promise<ForeseenSboms> {
  const { inputs, log } = desk.session;
  const found = new ForeseenSboms();
  if (inputs.skipLayers || !platformHas(inputs.platformApi, "sbom")) return found;
  for (const path of standingIn(join(inputs.layersDir, "sbom"))) found.add(path);
  if (cached.sbom === undefined || !plan.layers.some(isWritten)) return found;
  const problem = await readSboms(desk, cached.sbom, caches, found);
  if (problem === undefined) return found;
  const message = `Not restoring SBOM files from cache: ${problem}`;
  log.warn(message, "sbom");
  onTrouble(message);
  return found;
}

/** Why the blob cannot be used, of the first cache; undefined where one of them has it. */
async function readSboms(desk: Desk, sha: string, { all, fallbacks }: Caches, found: ForeseenSboms) {
  if (!isDigest(sha)) return "what the cache names is not a sha256 digest";
  let problem: string | undefined;
  for (const [at, cache] of all.entries()) {
    const paths: string[] = [];
    try {
      if (at > 0) await fallbacks.look(cache);
      const wanted = { name: "SBOM files", sha, anchor: ["sbom"] };
      await readWanted(desk, cache, wanted, {
        item: ({ type, path }) => void (type === "file" && paths.push(fromLatin1(path))),
      });
      for (const path of paths) found.add(path);
      return undefined;
    } catch (error) {
      if (!(error instanceof CacheError || error instanceof RestorerError)) throw error;
      problem ??= describe(error.cause ?? error);
    }
  }
  return problem;
}

/** Paths below a directory, in which there may be anything. */
function standingIn(directory: string): string[] {
  try {
    return readdirSync(directory, { recursive: true, encoding: "utf8" });
  } catch {
    return [];
  }
}
