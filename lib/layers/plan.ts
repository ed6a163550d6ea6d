import { isDigest } from "../oci/digest.ts";
import { platformHas } from "../platform-api.ts";
import { quote } from "../text.ts";
import { buildpackMetadata, type ImageMetadata, type LayerMetadata } from "../toml/metadata.ts";
import { type ExecEnvRules, execEnvProblem } from "./exec-env.ts";
import {
  type Decision,
  isWritten,
  type LayerPlan,
  type MetadataSource,
  type Plan,
  type RefusedBuildpack,
  type StorePlan,
} from "./layer-plan.ts";
import { buildpackNameProblem, escapeId, isLayersOwnPlace, layerNameProblem } from "./names.ts";
import type { OutcomeCode, Reason } from "./outcomes.ts";
import { findStrangers } from "./strangers.ts";
import { findUnreadable } from "./unreadable.ts";

/** What layers are decided about from. */
export interface PlanInputs {
  /** N of Platform API 0.N. */
  readonly platformApi: number;
  /** CNB_EXEC_ENV. */
  readonly execEnv: string;
  readonly skipLayers: boolean;
  /** The group; `api` is N of Buildpack API 0.N. */
  readonly buildpacks: readonly GroupMember[];
  readonly app: ImageMetadata;
  /** Undefined when the cache was not used: then nobody looked for layers in it. */
  readonly cache: ImageMetadata | undefined;
  /** Names of the layers that stand below a buildpack's directory now, as a directory or a `.toml`. */
  readonly layersOnDisk: (directory: string) => ReadonlySet<string>;
}

interface GroupMember {
  readonly id: string;
  readonly api: number;
}

/** What the passes over the metadata say of a layer so far: whose metadata is restored, or why none is. */
type Choice = Chosen | NotChosen;

interface Chosen {
  readonly isChosen: true;
  readonly source: MetadataSource;
  readonly from: LayerMetadata;
}

interface NotChosen extends Reason {
  readonly isChosen: false;
  /** Something is wrong with what is recorded of it. */
  readonly isRefused?: boolean;
}

/** Decides what happens to every layer (contract §3): a pure function of its inputs. */
export function planLayers(inputs: PlanInputs): Plan {
  const layers: LayerPlan[] = [];
  const stores: StorePlan[] = [];
  const refused: RefusedBuildpack[] = [];

  const buildpacks = new Map<string, GroupMember>();
  for (const buildpack of inputs.buildpacks) buildpacks.set(buildpack.id, buildpack);
  for (const { id, api } of buildpacks.values()) {
    const directory = escapeId(id);
    const problem = buildpackNameProblem(directory);
    if (problem !== undefined) {
      refused.push({ buildpack: id, ...problem });
      continue;
    }
    const store = buildpackMetadata(inputs.app, id)?.store;
    // Of ids that escape alike the first one counts.
    if (store !== undefined && !stores.some((other) => other.directory === directory)) {
      stores.push({ buildpack: id, directory, data: store });
    }
    if (!inputs.skipLayers) layers.push(...planBuildpack(inputs, id, directory, api));
  }
  const { app, cache } = inputs;
  const ids = new Set(buildpacks.keys());
  const strangers = findStrangers(ids, cache);
  return { layers: refuseClashes(layers), stores, refused, strangers, unreadable: findUnreadable(ids, app, cache) };
}

/** The passes of contract §3 over the layers of one buildpack. */
function planBuildpack(inputs: PlanInputs, buildpack: string, directory: string, buildpackApi: number): LayerPlan[] {
  const app = layersOf(inputs.app, buildpack);
  const cache = layersOf(inputs.cache, buildpack);
  const onDisk = inputs.layersOnDisk(directory);

  const choices = new Map<string, Choice>();
  for (const [name, layer] of app) choices.set(name, appPass(layer, cache.get(name), inputs.cache !== undefined));
  for (const [name, layer] of cache) choices.set(name, cachePass(layer, choices.get(name), inputs.platformApi));
  for (const [name, choice] of choices) choices.set(name, execEnvPass(choice, { ...inputs, buildpackApi }));

  if (choices.size === 0) return [];
  const sorted = [...choices].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([layer, choice]) => {
    const entry = cache.get(layer);
    const cached = entry?.cache === true ? entry : undefined;
    const decision = namePass(layer, choice, cached) ?? dataPass(choice, cached, onDisk.has(layer));
    return { buildpack, directory, layer, ...decision };
  });
}

function layersOf(image: ImageMetadata | undefined, id: string): ReadonlyMap<string, LayerMetadata> {
  return (image && buildpackMetadata(image, id)?.layers) ?? new Map<string, LayerMetadata>();
}

/** App pass: is the metadata of a layer of the app image restored? */
function appPass(app: LayerMetadata, cached: LayerMetadata | undefined, isCacheUsed: boolean): Choice {
  if (app.problem !== undefined) return refused("app image", app.problem);
  if (!app.launch) return notChosen("not-launch", "launch=false in the app image");
  if (app.build && !app.cache) {
    return notChosen("build-layer", "build=true and cache=false in the app image, the buildpack makes it anew");
  }
  if (app.cache && !isCacheUsed) {
    return notChosen("cache-unused", "cache=true in the app image, but the cache was not used");
  }
  if (app.cache && cached?.cache !== true) {
    return notChosen("not-cached", "cache=true in the app image, but not in the cache");
  }
  return { isChosen: true, source: "app image", from: app };
}

/** Cache pass: does the metadata of a layer of the cache take the place of what the app pass said, if it has the layer? */
function cachePass(cached: LayerMetadata, fromApp: Choice | undefined, platformApi: number): Choice {
  if (!cached.cache) return fromApp ?? notChosen("cache-false", "cache=false in the cache");
  if (cached.problem !== undefined) return refused("cache", cached.problem);
  if (cached.launch && fromApp !== undefined) return fromApp;
  if (cached.launch && !platformHas(platformApi, "launch-from-cache")) {
    return notChosen("only-in-cache", "launch=true in the cache, but not in the app image");
  }
  return { isChosen: true, source: "cache", from: cached };
}

/** D15: what is made for other execution environments is not restored. */
function execEnvPass(choice: Choice, rules: ExecEnvRules): Choice {
  const problem = choice.isChosen ? execEnvProblem(choice.from.data, rules) : undefined;
  return problem === undefined ? choice : { isChosen: false, ...problem };
}

/** D11: what would be written or removed under a name that cannot be a layer's is refused. */
function namePass(layer: string, choice: Choice, cached: LayerMetadata | undefined): Decision | undefined {
  const problem = layerNameProblem(layer);
  if (problem === undefined) return undefined;
  if (choice.isChosen || cached !== undefined) {
    return { action: "refuse", ...problem, removes: isLayersOwnPlace(layer) };
  }
  return skip(choice);
}

/** Data pass: do the contents come back, too? `cached` is the layer's entry in the cache, if that says cache=true. */
function dataPass(choice: Choice, cached: LayerMetadata | undefined, isOnDisk: boolean): Decision {
  if (!choice.isChosen) {
    if (choice.isRefused === true) return refuse(choice.code, choice.reason);
    if (cached === undefined || !isOnDisk) return skip(choice);
    return { action: "remove", code: choice.code, reason: `wrong sha: ${choice.reason}` };
  }
  const { source, from } = choice;
  const { sha, data } = from;
  if (cached === undefined) {
    return { action: "metadata", code: "launch-layer", reason: "launch layer", source, data };
  }
  if (sha === undefined) return refuse("no-digest", `the ${source} names no digest for it`);
  if (sha !== cached.sha) {
    const reason = `wrong sha: the ${source} has ${shown(sha)}, the cache ${shown(cached.sha)}`;
    return { action: "remove", code: "stale", reason };
  }
  if (!isDigest(sha)) return refuse("bad-digest", "what is recorded as its digest is not a sha256 digest");
  return { action: "restore", code: "cached", reason: "cached", source, sha, data };
}

/** A recorded digest, for messages. What is not one stands for itself nowhere: it may come from a file that is a secret. */
function shown(sha: string | undefined): string {
  if (sha === undefined) return "none";
  return isDigest(sha) ? quote(sha) : "something that is not a digest";
}

/**
 * Refuses layers that would take another one's place: where buildpack ids escape alike, the first one counts, and a
 * directory may not stand where the `<layer>.toml` of another layer goes. Whether it stands in the way of SBOM files is
 * found out when it is known which there are.
 */
function refuseClashes(layers: readonly LayerPlan[]): readonly LayerPlan[] {
  if (layers.length < 2) return layers;
  const place = (directory: string, layer: string) => `${directory}/${layer}`;
  const places = new Set(layers.filter(isWritten).map(({ directory, layer }) => place(directory, layer)));
  const owners = new Map<string, string>();
  return layers.map((plan) => {
    if (!isWritten(plan)) return plan;
    const { buildpack, directory, layer } = plan;
    const owner = owners.get(place(directory, layer)) ?? buildpack;
    owners.set(place(directory, layer), owner);
    const neighbour = plan.action === "restore" ? layerOfFile(layer) : undefined;
    const isInItsWay = neighbour !== undefined && places.has(place(directory, neighbour));
    if (owner === buildpack && !isInItsWay) return plan;
    return { buildpack, directory, layer, ...samePlace };
  });
}

/** Another layer of this build has a layer's place. */
export const samePlace: Reason & { readonly action: "refuse"; readonly removes: boolean } = {
  action: "refuse",
  code: "same-place",
  reason: "another layer of this build has the same place",
  removes: true,
};

/** The layer that a file of this name belongs to: `x` of `x.toml`. */
function layerOfFile(name: string): string | undefined {
  return /^(.+)\.toml$/s.exec(name)?.[1];
}

function notChosen(code: OutcomeCode, reason: string): NotChosen {
  return { isChosen: false, code, reason };
}

function refused(source: MetadataSource, problem: string): NotChosen {
  const reason = `the ${source}'s metadata of it cannot be used: ${problem}`;
  return { isChosen: false, isRefused: true, code: "bad-metadata", reason };
}

function skip({ code, reason }: NotChosen): Decision {
  return { action: "skip", code, reason };
}

/** Refuses a layer whose name is safe, with what stands of it. */
function refuse(code: OutcomeCode, reason: string): Decision {
  return { action: "refuse", code, reason, removes: true };
}
