import type { Cache } from "../caches/cache.ts";
import { readCache } from "../caches/open.ts";
import type { Directory } from "../disk/directory.ts";
import type { Images } from "../images/resolve.ts";
import { newestBuildpackApi } from "../platform-api.ts";
import type { Session } from "../session.ts";
import type { Analyzed } from "../toml/analyzed.ts";
import type { Buildpack, Group } from "../toml/group.ts";
import { type ImageMetadata, noMetadata } from "../toml/metadata.ts";
import { layersOnDisk } from "./layers-on-disk.ts";
import { onlyLayers } from "./only.ts";
import { type Plan, planLayers } from "./plan.ts";

/** What a decision is made from. */
export interface DecisionSources {
  /** Undefined for every buildpack that left something, at the newest Buildpack API. */
  readonly group: Group | undefined;
  /** Undefined when it cannot be used. */
  readonly analyzed: Analyzed | undefined;
  readonly images: Images | undefined;
  readonly cache: Cache | undefined;
  /** Undefined where there is none yet. */
  readonly layers: Directory | undefined;
}

export interface Decided {
  readonly plan: Plan;
  /** What the app image says; nothing where there is none. */
  readonly app: ImageMetadata;
  /** What the cache holds; nothing where it cannot be used. */
  readonly cached: ImageMetadata;
}

/**
 * Reads what the earlier build left in cache and app image, and decides what happens to each layer (contract §3). Changes
 * nothing. Trouble with the cache is told and given to `onTrouble`; where the run is strict it is a RestorerError (exit 42).
 */
export async function decide(
  session: Session,
  { group, analyzed, images, cache, layers }: DecisionSources,
  onTrouble: (message: string) => void,
): Promise<Decided> {
  const cached = await readCache(cache, session, onTrouble);
  const app = (await images?.appMetadata()) ?? analyzed?.metadata ?? noMetadata;
  const plan = planLayers({
    ...session.inputs,
    buildpacks: group?.buildpacks ?? everyBuildpack(app, cached),
    app,
    cache: cached,
    layersOnDisk: (directory) => layersOnDisk(layers, directory),
  });
  return { plan: onlyLayers(plan, session.inputs.only), app, cached: cached ?? noMetadata };
}

function everyBuildpack(...images: readonly (ImageMetadata | undefined)[]): Buildpack[] {
  const ids = images.flatMap((image) => image?.buildpacks.map(({ id }) => id) ?? []);
  return [...new Set(ids)].map((id) => ({ id, api: newestBuildpackApi }));
}
