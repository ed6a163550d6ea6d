import type { LayerPlan } from "../layers/plan.ts";
import type { Situation } from "../layers/situation.ts";
import { inline } from "../text.ts";
import type { Desk } from "./desk.ts";
import { foresee } from "./foresee.ts";

/** A layer, what would become of it, and what that would write and remove. */
export interface Prospect {
  readonly plan: LayerPlan;
  /** Bytes of its blob as stored; undefined where its contents do not come back. */
  readonly size: number | undefined;
  readonly writes: readonly string[];
  readonly removes: readonly string[];
}

/** What a restore would make of a planned layer below the layers directory. */
export async function toProspect(planned: LayerPlan, situation: Situation, layersDir: string): Promise<Prospect> {
  const { cache, fallbacks } = situation;
  const plan = await foresee(planned, cache === undefined ? [] : [cache, ...fallbacks]);
  const { directory, layer, action } = plan;
  const place = `${layersDir}/${directory}/${layer}`;
  const stands = situation.standing(directory).has(layer);
  const goes =
    action === "remove" || (action === "refuse" && plan.removes) || action === "restore" || action === "metadata";
  const size = plan.action === "restore" ? situation.cache?.size(plan.sha) : undefined;
  const written: Record<LayerPlan["action"], readonly string[]> = {
    restore: [place, `${place}.toml`],
    metadata: [`${place}.toml`],
    skip: [],
    remove: [],
    refuse: [],
  };
  return { plan, size, writes: written[action], removes: stands && goes ? [place, `${place}.toml`] : [] };
}

/** What a decision is made from, a line each. */
export function describeSources({ session }: Desk, situation: Situation): string[] {
  const { inputs } = session;
  const { cache, analyzed, group } = situation;
  const hasMetadata = situation.app.buildpacks.length > 0;
  const from = analyzed?.exists === true ? inline(inputs.analyzedPath) : (inputs.appImage ?? "");
  return [
    `Cache:        ${cache === undefined ? "none" : inline(cache.facts().reference)}`,
    `App image:    ${hasMetadata ? `metadata from ${from}` : "no metadata of an earlier build"}`,
    `Group:        ${group === undefined ? `every buildpack of cache and app image, for there is no ${inline(inputs.groupPath)}` : inline(inputs.groupPath)}`,
    `Platform API: 0.${inputs.platformApi}`,
  ];
}
