import { basename } from "node:path";
import type { Plan } from "../layers/layer-plan.ts";
import { isSbomFileOf } from "../layers/names.ts";
import { findLayer } from "../layers/only.ts";
import type { Situation } from "../layers/situation.ts";
import { inline, plainOrQuoted } from "../text.ts";
import { buildpackMetadata, type ImageMetadata, type LayerMetadata } from "../toml/metadata.ts";
import { advice } from "./advice.ts";
import { type CachedLayer, cachedLayers } from "./cached-layers.ts";
import { type Desk, layerName } from "./desk.ts";
import type { Found } from "./document-schemas.ts";
import { describeFallback, describeSources, labelWidth, type Prospect } from "./prospect.ts";

const verdicts = {
  restore: "would be restored: contents and metadata",
  metadata: "would get its metadata back, not its contents",
  skip: "would not be restored; what stands of it is left",
  remove: "would be removed",
  refuse: "would be refused",
} as const;

/** One layer in full sentences: what app image and cache say, which rule decides, and what can be changed. */
export function explainLayer(desk: Desk, situation: Situation, prospect: Prospect): void {
  const { plan, size, writes, removes } = prospect;
  const { rule, change } = advice[plan.code];
  const contents = size === undefined ? "" : ` (${desk.sizeInWords(size)})`;
  const sboms = hasSboms(prospect) ? "; SBOM files come back, too" : "";
  for (const line of describeSources(desk, situation)) desk.line(line, labelWidth);
  desk.line(`\n${desk.paint(layerName(plan), "bold")} ${verdicts[plan.action]}${contents}${sboms}.\n`);
  desk.line(`Because:      ${desk.message(plan.reason)} [${plan.code}]`, labelWidth);
  desk.line(`The app image ${say(desk, entryOf(situation.app, plan))}`, labelWidth);
  desk.line(`The cache     ${sayCache(desk, situation, entryOf(situation.cached, plan))}`, labelWidth);
  desk.line(`The rule:     ${rule}`, labelWidth);
  desk.line(`To change it: ${change}`, labelWidth);
  const fallback = describeFallback(situation, prospect);
  if (fallback !== undefined) desk.line(`Fall-back:    ${fallback}`, labelWidth);
  for (const path of removes) desk.line(`Removes       ${inline(path)}`, labelWidth);
  for (const path of writes) desk.line(`Writes        ${inline(path)}`, labelWidth);
}

/** Whether SBOM files of the layer come back. */
export function hasSboms({ plan: { layer }, writes }: Prospect): boolean {
  return writes.some((path) => isSbomFileOf(layer, basename(path)));
}

/** The same, of what is not in the list of all layers. */
export function detailAsData(
  { app, cached }: Situation,
  { plan }: Prospect,
): Found<"explain">["layers"][number]["detail"] {
  const [appImage, cache] = [entryOf(app, plan), entryOf(cached, plan)].map(entryAsData);
  return { appImage: appImage ?? null, cache: cache ?? null, ...advice[plan.code] };
}

function entryAsData(entry: LayerMetadata | undefined) {
  if (entry === undefined) return null;
  const { build, launch, cache, sha = null } = entry;
  return { build, launch, cache, sha };
}

/** The layers that a cache holds for buildpacks that the group lacks. */
export function strangersLayers({ strangers }: Plan, cached: ImageMetadata): CachedLayer[] {
  const ids = new Set(strangers.map(({ buildpack }) => buildpack));
  return cachedLayers(cached).filter(({ buildpack }) => ids.has(buildpack));
}

/** A layer of a buildpack that the group lacks: no rule looks at it. */
export function explainStranger(desk: Desk, situation: Situation, wanted: string): void {
  const found = findLayer(strangersLayers(situation.plan, situation.cached), wanted);
  if (found === undefined) return;
  for (const line of describeSources(desk, situation)) desk.line(line, labelWidth);
  desk.line(`\n${desk.paint(layerName(found), "bold")} ${verdicts.skip}.\n`);
  desk.line(`Because:      group.toml does not have the buildpack ${plainOrQuoted(found.buildpack)}`, labelWidth);
  desk.line(`The cache     ${say(desk, found.metadata)}`, labelWidth);
  desk.line(`The rule:     ${strangersAdvice.rule}`, labelWidth);
  desk.line(`To change it: ${strangersAdvice.change}`, labelWidth);
}

const strangersAdvice = {
  rule: "Only layers of the group's buildpacks are restored.",
  change: "See that the buildpack is detected, under the id that the cache has.",
} as const;

/** The same as data; undefined where the layer is none of these. */
export function strangerAsData({ plan, cached }: Situation, wanted: string): Found<"explain">["outsideOfGroup"] {
  const found = findLayer(strangersLayers(plan, cached), wanted);
  if (found === undefined) return undefined;
  const { buildpack, layer, metadata } = found;
  return { buildpack, layer, cache: entryAsData(metadata), ...strangersAdvice };
}

function entryOf(image: ImageMetadata, { buildpack, layer }: Prospect["plan"]): LayerMetadata | undefined {
  return buildpackMetadata(image, buildpack)?.layers.get(layer);
}

function sayCache(desk: Desk, { cache, isCacheUsed }: Situation, entry: LayerMetadata | undefined): string {
  if (cache === undefined) return "is not given.";
  return isCacheUsed ? say(desk, entry) : "is not used.";
}

function say(desk: Desk, entry: LayerMetadata | undefined): string {
  if (entry === undefined) return "does not have it.";
  const { build, launch, cache, sha } = entry;
  const digest = sha === undefined ? "and without a digest" : `and digest ${desk.digest(sha)}`;
  return `has it with build=${build}, launch=${launch}, cache=${cache}, ${digest}.`;
}
