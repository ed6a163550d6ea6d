import { closeSource } from "../archive/source.ts";
import type { Cache } from "../caches/cache.ts";
import { CacheError } from "../caches/cache.ts";
import type { LayerPlan } from "../layers/plan.ts";
import { quote } from "../text.ts";
import { DataError } from "../toml/layer-data.ts";
import { formatMetadata } from "../toml/layer-toml.ts";

/**
 * What a restore would find out about a planned layer, as far as it can be seen without reading its blob: a blob that is not
 * there, or metadata that cannot be written. Returns the plan as it would end.
 */
export async function foresee(plan: LayerPlan, caches: readonly Cache[]): Promise<LayerPlan> {
  if (plan.action !== "restore" && plan.action !== "metadata") return plan;
  const { buildpack, directory, layer } = plan;
  const refuse = (code: "blob-unavailable" | "bad-metadata", reason: string): LayerPlan => {
    return { buildpack, directory, layer, action: "refuse", removes: true, code, reason };
  };
  try {
    if (plan.action === "restore" && caches.length > 0) await look(caches, plan.sha);
  } catch (error) {
    if (!(error instanceof CacheError)) throw error;
    return refuse("blob-unavailable", error.message);
  }
  try {
    formatMetadata(plan.data.read());
    return plan;
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return refuse("bad-metadata", `layer ${quote(layer)}, ${error.message}`);
  }
}

/** Whether a blob can be opened in one of the caches. Throws the CacheError of the first. */
async function look([cache, ...fallbacks]: readonly Cache[], sha: string): Promise<void> {
  if (cache === undefined) return;
  try {
    closeSource(await cache.open(sha));
  } catch (error) {
    if (!(error instanceof CacheError)) throw error;
    for (const fallback of fallbacks) if (await holds(fallback, sha)) return;
    throw error;
  }
}

async function holds(cache: Cache, sha: string): Promise<boolean> {
  try {
    await cache.metadata();
    closeSource(await cache.open(sha));
    return true;
  } catch (error) {
    if (!(error instanceof CacheError)) throw error;
    return false;
  }
}
