import { closeSource, NotOpened } from "../archive/source.ts";
import type { Cache } from "../caches/cache.ts";
import { CacheError } from "../caches/cache.ts";
import type { Fallbacks } from "../caches/fallbacks.ts";
import { describe } from "../errors.ts";
import type { LayerPlan } from "../layers/layer-plan.ts";
import type { OutcomeCode } from "../layers/outcomes.ts";
import { quote } from "../text.ts";
import { DataError } from "../toml/layer-data.ts";
import { formatMetadata } from "../toml/layer-toml.ts";
import { isAboutBlob } from "./read-layer.ts";

/** A planned layer as it would end, and where its contents would come from. */
export interface Foreseen {
  readonly plan: LayerPlan;
  readonly cache?: Cache | undefined;
}

/** The cache of a run and those behind it. */
export interface Caches {
  readonly all: readonly Cache[];
  readonly fallbacks: Fallbacks;
}

/**
 * What a restore would find out about a planned layer, as far as it can be seen without reading its blob: a blob that is not
 * there, or metadata that cannot be written. Returns the plan as it would end.
 */
export async function foresee(plan: LayerPlan, caches: Caches): Promise<Foreseen> {
  if (plan.action !== "restore" && plan.action !== "metadata") return { plan };
  const { buildpack, directory, layer } = plan;
  const refuse = (code: OutcomeCode, reason: string): Foreseen => {
    return { plan: { buildpack, directory, layer, action: "refuse", removes: true, code, reason } };
  };
  let cache: Cache | undefined;
  try {
    if (plan.action === "restore") cache = await look(caches, plan.sha);
  } catch (error) {
    if (isAboutBlob(error)) return refuse("blob-unusable", describe(error));
    if (!isUnavailable(error)) throw error;
    return refuse("blob-unavailable", describe(error instanceof NotOpened ? error.cause : error));
  }
  try {
    formatMetadata(plan.data.read());
    return { plan, cache };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return refuse("bad-metadata", `layer ${quote(layer)}, ${error.message}`);
  }
}

/**
 * The first of the caches from which something of a blob comes, of a registry by asking for it; undefined where there are
 * none. Throws what the first one throws.
 */
async function look({ all: [first, ...others], fallbacks }: Caches, sha: string): Promise<Cache | undefined> {
  if (first === undefined) return undefined;
  try {
    await begin(first, sha);
    return first;
  } catch (error) {
    if (!isUnavailable(error) && !isAboutBlob(error)) throw error;
    for (const cache of others) if (await holds(cache, fallbacks, sha)) return cache;
    throw error;
  }
}

async function holds(cache: Cache, fallbacks: Fallbacks, sha: string): Promise<boolean> {
  try {
    await fallbacks.look(cache);
    await begin(cache, sha);
    return true;
  } catch (error) {
    if (!isUnavailable(error) && !isAboutBlob(error)) throw error;
    return false;
  }
}

/** Opens a blob, and reads no more of it than what comes first. */
async function begin(cache: Cache, sha: string): Promise<void> {
  const source = await cache.open(sha);
  if (source.kind === "stream") for await (const _ of source.chunks) break;
  closeSource(source);
}

function isUnavailable(error: unknown): boolean {
  return error instanceof CacheError || error instanceof NotOpened;
}
