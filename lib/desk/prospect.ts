import type { Cache } from "../caches/cache.ts";
import type { Inputs } from "../cli/inputs.ts";
import { isRemoved, isRestored, isWritten, type LayerPlan } from "../layers/layer-plan.ts";
import type { Situation } from "../layers/situation.ts";
import { inline } from "../text.ts";
import { type Desk, layerName } from "./desk.ts";
import { type Caches, type Foreseen, foresee } from "./foresee.ts";
import type { ForeseenSboms } from "./foreseen-sboms.ts";

/** A layer, what would become of it, and what that would write and remove. */
export interface Prospect {
  readonly plan: LayerPlan;
  /** Bytes of its blob as stored; undefined where its contents do not come back. */
  readonly size: number | undefined;
  /** Where its contents would come from. */
  readonly cache: Cache | undefined;
  readonly writes: readonly string[];
  readonly removes: readonly string[];
}

/** What a restore would make of a planned layer below the layers directory. */
export async function toProspect(
  planned: LayerPlan,
  situation: Situation,
  { caches, sboms, layersDir }: { readonly caches: Caches; readonly sboms: ForeseenSboms; readonly layersDir: string },
): Promise<Prospect> {
  const foreseen = await foresee(planned, caches);
  const taken = situation.taken(planned);
  const { plan, cache } = taken === undefined ? foreseen : refuseTaken(foreseen, taken);
  const { directory, layer, action } = plan;
  const place = `${layersDir}/${directory}/${layer}`;
  const standing = situation.standing(plan);
  // Where only metadata comes back, contents stay.
  const removed =
    taken === undefined && (isRestored(plan) || isRemoved(plan))
      ? standing
      : action === "metadata"
        ? standing.filter((name) => name === `${layer}.toml`)
        : [];
  const size = plan.action === "restore" ? cache?.size(plan.sha) : undefined;
  const files = [`${place}.toml`, ...sboms.of(directory, layer).map((suffix) => `${place}.${suffix}`)];
  const written: Record<LayerPlan["action"], readonly string[]> = {
    restore: [place, ...files],
    metadata: files,
    skip: [],
    remove: [],
    refuse: [],
  };
  return {
    plan,
    size,
    cache,
    writes: written[action],
    removes: removed.map((name) => `${layersDir}/${directory}/${name}`),
  };
}

/** A layer that would be written is refused, and what stands of it is left. */
function refuseTaken(foreseen: Foreseen, reason: string): Foreseen {
  const { buildpack, directory, layer } = foreseen.plan;
  if (!isWritten(foreseen.plan)) return foreseen;
  return { plan: { buildpack, directory, layer, action: "refuse", removes: false, code: "place-taken", reason } };
}

/** Where metadata of an earlier app image is from; undefined where there is none. */
export function appImageOf(inputs: Inputs, { app, analyzed }: Situation): string | undefined {
  if (app.buildpacks.length === 0) return undefined;
  return analyzed?.exists === true ? inputs.analyzedPath : inputs.appImage;
}

/** How wide the labels of `describeSources` are. */
export const labelWidth = 14;

/** What a decision is made from, a line each. */
export function describeSources({ session }: Desk, situation: Situation): string[] {
  const { inputs } = session;
  const { cache, isCacheUsed, group } = situation;
  const from = appImageOf(inputs, situation);
  return [
    `Cache:        ${cache === undefined ? "none" : `${inline(cache.reference)}${isCacheUsed ? "" : " (not used)"}`}`,
    `App image:    ${from === undefined ? "no metadata of an earlier build" : `metadata from ${inline(from)}`}`,
    `Group:        ${group === undefined ? `every buildpack of cache and app image, for there is no ${inline(inputs.groupPath)}` : inline(inputs.groupPath)}`,
    `Platform API: 0.${inputs.platformApi}`,
  ];
}

/** That contents would come from a cache to fall back on (D25); undefined where they do not. */
export function describeFallback({ cache: first }: Situation, { plan, cache }: Prospect): string | undefined {
  if (cache === undefined || cache === first) return undefined;
  return `The contents of ${layerName(plan)} come from the ${cache.name}`;
}
