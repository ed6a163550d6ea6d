import type { Plan } from "../../lib/layers/layer-plan.ts";
import { type PlanInputs, planLayers } from "../../lib/layers/plan.ts";
import { knownData } from "../../lib/toml/layer-data.ts";
import type { BuildpackMetadata, ImageMetadata, LayerMetadata } from "../../lib/toml/metadata.ts";
import type { TomlValue } from "../../lib/toml/values.ts";

export const shaA = `sha256:${"a".repeat(64)}`;
export const shaB = `sha256:${"b".repeat(64)}`;

type Types = Pick<LayerMetadata, "launch" | "build" | "cache">;

/** What is recorded of a layer; types not named are false. */
export function layer(types: Partial<Types>, sha = shaA, metadata: TomlValue = { from: "nowhere" }): LayerMetadata {
  return { launch: false, build: false, cache: false, ...types, sha, data: knownData(metadata) };
}

/** What is recorded of a buildpack. */
export function buildpack(id: string, layers: Readonly<Record<string, LayerMetadata>>): BuildpackMetadata {
  return { id, layers: new Map(Object.entries(layers)), version: undefined, store: undefined };
}

/** The metadata of a cache or app image. */
export function image(...buildpacks: readonly BuildpackMetadata[]): ImageMetadata {
  return { buildpacks, sbom: undefined, problems: [] };
}

/** The plan for a group of one buildpack, `bp`, at the newest APIs, where the inputs do not say otherwise. */
export function plan(inputs: Partial<PlanInputs>): Plan {
  return planLayers({
    platformApi: 15,
    execEnv: "production",
    skipLayers: false,
    buildpacks: [{ id: "bp", api: 12 }],
    app: image(),
    cache: image(),
    layersOnDisk: () => new Set(),
    ...inputs,
  });
}

/** What is planned, in short: `bp:layer` and the action. */
export function actions({ layers }: Plan): string[] {
  return layers.map(({ buildpack, layer, action }) => `${buildpack}:${layer} ${action}`);
}
