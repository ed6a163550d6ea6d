import { existsSync } from "node:fs";
import { Fallbacks } from "../caches/fallbacks.ts";
import { ExitCode } from "../failures.ts";
import { isRemoved, type LayerPlan } from "../layers/layer-plan.ts";
import { findLayer, noSuchLayer } from "../layers/only.ts";
import { compareLayers } from "../layers/report.ts";
import { readSituation, type Situation } from "../layers/situation.ts";
import { describeStranger } from "../layers/strangers.ts";
import { isLayoutReference } from "../oci/reference.ts";
import { count, inline, plainOrQuoted, quote, shellQuote, thousands } from "../text.ts";
import { type Desk, layerName } from "./desk.ts";
import type { Found } from "./document-schemas.ts";
import { writeDocument } from "./documents.ts";
import {
  detailAsData,
  explainLayer,
  explainStranger,
  hasSboms,
  strangerAsData,
  strangersLayers,
} from "./explain-layer.ts";
import { foreseeSboms } from "./foreseen-sboms.ts";
import { describeImages, imagesAsData } from "./planned-images.ts";
import { appImageOf, describeFallback, describeSources, labelWidth, type Prospect, toProspect } from "./prospect.ts";
import type { Cell, Color } from "./table.ts";

const colors: Readonly<Record<LayerPlan["action"], Color>> = {
  restore: "green",
  metadata: "cyan",
  skip: "dim",
  remove: "yellow",
  refuse: "red",
};

/** `restorer explain`: what a restore would do with each layer and why, or all about one layer. Changes nothing. */
export async function explain(desk: Desk): Promise<number> {
  const { session, options } = desk;
  const [wanted] = options.words;
  const situation = await readSituation(session, options.named.group);
  const { troubles, prospects } = await foreseeAll(desk, situation);
  const chosen = wanted === undefined ? prospects : chooseProspects(situation, prospects, wanted);
  if (desk.isJson) writeDocument(desk, "explain", asData(desk, situation, chosen));
  else if (wanted === undefined) tellAll(desk, situation, prospects);
  else if (chosen.length === 0) explainStranger(desk, situation, wanted);
  else for (const prospect of chosen) explainLayer(desk, situation, prospect);
  return session.inputs.strict && isTroubled(situation, troubles, prospects) ? ExitCode.restoreFailed : ExitCode.ok;
}

/**
 * The layer that is wanted; nothing where the cache holds it for a buildpack that the group lacks. Throws as `chooseLayer`
 * does.
 */
function chooseProspects({ plan, cached }: Situation, prospects: readonly Prospect[], wanted: string): Prospect[] {
  const found = findLayer(plan.layers, wanted);
  if (found === undefined && findLayer(strangersLayers(plan, cached), wanted) === undefined) {
    // The other commands take a cache as a word.
    const flag = isLayoutReference(wanted) ? "-cache-image" : existsSync(wanted) ? "-cache-dir" : undefined;
    const hint = flag && `Did you mean ${flag} ${shellQuote(wanted)}?`;
    throw noSuchLayer(plan.layers, wanted, hint);
  }
  return prospects.filter(({ plan }) => plan.buildpack === found?.buildpack && plan.layer === found.layer);
}

/** What would become of each layer, and trouble with the cache beside them. */
async function foreseeAll(desk: Desk, situation: Situation) {
  const { log, inputs } = desk.session;
  const { cache, fallbacks } = situation;
  const caches = { all: cache === undefined ? [] : [cache, ...fallbacks], fallbacks: new Fallbacks(log) };
  const troubles = [...situation.troubles];
  const sboms = await foreseeSboms(desk, situation, caches, (trouble) => troubles.push(trouble));
  const prospects: Prospect[] = [];
  for (const plan of situation.plan.layers) {
    const prospect = await toProspect(plan, situation, { caches, sboms, layersDir: inputs.layersDir });
    const { buildpack, layer } = prospect.plan;
    const taken = situation.taken(plan);
    if (taken !== undefined && isRemoved(prospect.plan))
      log.warn(`Not removing ${quote(`${buildpack}:${layer}`)}: ${taken}`, "not-removed", { buildpack, layer });
    prospects.push(prospect);
  }
  return { troubles, prospects };
}

/** Whether a strict restore would fail for its cache's sake. */
function isTroubled({ plan }: Situation, troubles: readonly string[], prospects: readonly Prospect[]): boolean {
  const others = [...troubles, ...plan.refused, ...plan.unreadable];
  return others.length > 0 || prospects.some(({ plan: { action } }) => action === "refuse");
}

function tellAll(desk: Desk, situation: Situation, prospects: readonly Prospect[]): void {
  for (const line of describeSources(desk, situation)) desk.line(line, labelWidth);
  desk.line();
  if (prospects.length === 0) desk.line("There are no layers to decide about.");
  else tellLayers(desk, prospects);
  const { plan } = situation;
  const gone = prospects.filter(({ plan: { action } }) => action === "remove" || action === "refuse");
  const further = [
    ...gone.flatMap(({ removes }) => removes.map((path) => `Would remove ${inline(path)}`)),
    ...plan.refused.map(({ buildpack, reason }) => `Nothing of buildpack ${quote(buildpack)} is restored: ${reason}`),
    ...prospects.flatMap((prospect) => describeFallback(situation, prospect) ?? []),
    ...plan.stores.map(({ buildpack }) => `store.toml of ${plainOrQuoted(buildpack)} is restored`),
    ...plan.unreadable.map(({ text }) => text),
    ...plan.strangers.map(describeStranger),
    ...describeImages(situation.images),
  ];
  if (further.length > 0) desk.line();
  for (const line of further) desk.line(line);
  if (prospects.length > 0) desk.line(`\n${summary(prospects)}`);
}

function tellLayers(desk: Desk, prospects: readonly Prospect[]): void {
  const columns = [
    { title: "ACTION" },
    { title: "LAYER" },
    { title: "SIZE", align: "right" },
    { title: "DIGEST" },
    { title: "METADATA FROM" },
    { title: "CODE" },
    { title: "WHY" },
  ] as const;
  desk.table(
    columns,
    prospects.map((prospect): Cell[] => {
      const { plan, size } = prospect;
      return [
        { text: plan.action, color: colors[plan.action] },
        layerName(plan),
        size === undefined ? "-" : desk.size(size),
        desk.digest("sha" in plan ? plan.sha : undefined),
        "source" in plan ? plan.source : "-",
        plan.code,
        desk.message([plan.reason, ...describeFiles(prospect)].join("; ")),
      ];
    }),
  );
}

/** What becomes of a layer's files that its action does not tell. */
function describeFiles(prospect: Prospect): string[] {
  const { plan, writes, removes } = prospect;
  return [
    ...(hasSboms(prospect) ? ["SBOM files come back, too"] : []),
    ...(writes.length > 0 && removes.length > 0
      ? [`replaces ${plan.action === "restore" ? "what stands of it" : "its toml"}`]
      : []),
  ];
}

function summary(prospects: readonly Prospect[]): string {
  const words: Record<LayerPlan["action"], string> = {
    restore: "to restore",
    metadata: "metadata only",
    skip: "to skip",
    remove: "to remove",
    refuse: "to refuse",
  };
  const actions = ["restore", "metadata", "skip", "remove", "refuse"] as const;
  const parts = actions.flatMap((action) => {
    const n = prospects.filter(({ plan }) => plan.action === action).length;
    return n === 0 ? [] : [`${thousands(n)} ${words[action]}`];
  });
  return `${count(prospects.length, "layer")}: ${parts.join(", ")}`;
}

function asData({ session, options }: Desk, situation: Situation, prospects: readonly Prospect[]): Found<"explain"> {
  const { inputs } = session;
  const { cache, group, plan } = situation;
  const [wanted] = options.words;
  const outsideOfGroup = wanted === undefined || prospects.length > 0 ? undefined : strangerAsData(situation, wanted);
  return {
    platformApi: `0.${inputs.platformApi}`,
    group: group === undefined ? null : inputs.groupPath,
    cache: cache === undefined ? null : cache.facts(),
    appImage: appImageOf(inputs, situation) ?? null,
    layers: prospects
      .toSorted((a, b) => compareLayers(a.plan, b.plan))
      .map((prospect) => {
        const { buildpack, layer, action, code, reason } = prospect.plan;
        const { size, cache, writes, removes } = prospect;
        return {
          buildpack,
          layer,
          action,
          code,
          reason,
          ...("source" in prospect.plan ? { source: prospect.plan.source } : {}),
          ...("sha" in prospect.plan ? { sha: prospect.plan.sha } : {}),
          ...(size === undefined ? {} : { size }),
          ...(cache === undefined ? {} : { cache: cache.reference }),
          writes: [...writes],
          removes: [...removes],
          ...(options.words.length > 0 && { detail: detailAsData(situation, prospect) }),
        };
      }),
    ...(outsideOfGroup && { outsideOfGroup }),
    stores: plan.stores.map(({ buildpack }) => buildpack),
    refusedBuildpacks: [...plan.refused],
    notInGroup: [...plan.strangers],
    unreadable: [...plan.unreadable],
    images: imagesAsData(situation.images),
    warnings: [...session.log.warnings],
  };
}
