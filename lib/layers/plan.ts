import { isDigest } from "../oci/reference.ts";
import { quote } from "../text.ts";
import type { Buildpack } from "../toml/group.ts";
import { buildpackMetadata, type ImageMetadata, type LayerMetadata } from "../toml/metadata.ts";
import { isTable, type TomlValue } from "../toml/values.ts";

/**
 * What happens to one layer:
 * - `restore`: contents from the cache, `<layer>.toml` and SBOM files, all or none;
 * - `metadata`: `<layer>.toml` and SBOM files only (a launch layer whose contents stay in the app image);
 * - `skip`: nothing; what stands of it is left;
 * - `remove`: what stands of it is removed;
 * - `refuse`: as remove, but since something is wrong with the cache or the metadata.
 */
export interface LayerPlan {
  readonly buildpack: string;
  /** Directory of the buildpack below the layers directory. */
  readonly directory: string;
  readonly layer: string;
  readonly action: "restore" | "metadata" | "skip" | "remove" | "refuse";
  readonly reason: string;
  readonly source?: "app image" | "cache";
  /** diffID of the contents to restore. */
  readonly sha?: string;
  readonly metadata?: TomlValue | undefined;
}

export interface StorePlan {
  readonly buildpack: string;
  readonly directory: string;
  readonly metadata: TomlValue;
}

export interface Plan {
  readonly layers: readonly LayerPlan[];
  readonly stores: readonly StorePlan[];
  /** Buildpacks whose id is no directory name. */
  readonly refused: readonly { buildpack: string; reason: string }[];
}

export interface PlanInputs {
  /** N of Platform API 0.N. */
  readonly platformApi: number;
  /** CNB_EXEC_ENV. */
  readonly execEnv: string;
  readonly skipLayers: boolean;
  readonly buildpacks: readonly Buildpack[];
  readonly app: ImageMetadata;
  readonly cache: ImageMetadata;
  /** Names of the layers that stand below a buildpack's directory now, as a directory or a `.toml`. */
  readonly standing: (directory: string) => ReadonlySet<string>;
}

/** A layer's metadata chosen by the app or cache pass. */
interface Choice {
  readonly from: LayerMetadata;
  readonly source: "app image" | "cache";
}

/** Decides what happens to every layer (contract §3): a pure function of its inputs. */
export function planLayers(inputs: PlanInputs): Plan {
  const layers: LayerPlan[] = [];
  const stores: StorePlan[] = [];
  const refused: { buildpack: string; reason: string }[] = [];

  const buildpacks = new Map(inputs.buildpacks.map((buildpack) => [buildpack.id, buildpack]));
  for (const buildpack of buildpacks.values()) {
    const directory = escapeId(buildpack.id);
    const reason = buildpackProblem(directory);
    if (reason !== undefined) {
      refused.push({ buildpack: buildpack.id, reason });
      continue;
    }
    const store = buildpackMetadata(inputs.app, buildpack.id)?.store;
    // Of ids that escape alike the first one counts.
    const isTaken = stores.some((other) => other.directory === directory);
    if (store !== undefined && !isTaken) stores.push({ buildpack: buildpack.id, directory, metadata: store });
    if (!inputs.skipLayers) layers.push(...planBuildpack(inputs, buildpack, directory));
  }
  return { layers: refuseClashes(layers), stores, refused };
}

/** The directory of a buildpack below the layers directory (Platform API: every `/` becomes `_`). */
export function escapeId(id: string): string {
  return id.replaceAll("/", "_");
}

function planBuildpack(inputs: PlanInputs, buildpack: Buildpack, directory: string): LayerPlan[] {
  const app = buildpackMetadata(inputs.app, buildpack.id)?.layers ?? new Map<string, LayerMetadata>();
  const cached = buildpackMetadata(inputs.cache, buildpack.id)?.layers ?? new Map<string, LayerMetadata>();
  const standing = inputs.standing(directory);
  const names = [...new Set([...app.keys(), ...cached.keys()])].sort();

  return names.map((layer) => {
    const plan = { buildpack: buildpack.id, directory, layer };
    const fromApp = app.get(layer);
    const fromCache = cached.get(layer);
    const choice = choose(inputs, buildpack, fromApp, fromCache);
    const isChosen = typeof choice !== "string";
    const inCache = fromCache?.cache === true;
    const stands = standing.has(layer);

    const problem = layerProblem(layer);
    if (problem !== undefined) {
      return isChosen || inCache
        ? { ...plan, action: "refuse", reason: problem }
        : { ...plan, action: "skip", reason: choice };
    }
    if (!isChosen) {
      if (inCache && stands) return { ...plan, action: "remove", reason: `wrong sha: ${choice}` };
      return { ...plan, action: "skip", reason: choice };
    }
    const { source, from } = choice;
    if (!inCache) return { ...plan, action: "metadata", reason: "launch layer", source, metadata: from.metadata };
    if (from.sha !== fromCache.sha || from.sha === "") {
      return from.sha === ""
        ? { ...plan, action: "refuse", reason: `the ${source} names no digest for it` }
        : {
            ...plan,
            action: "remove",
            reason: `wrong sha: the ${source} has ${quote(from.sha)}, the cache ${quote(fromCache.sha)}`,
          };
    }
    if (!isDigest(from.sha)) return { ...plan, action: "refuse", reason: `${quote(from.sha)} is no sha256 digest` };
    return { ...plan, action: "restore", reason: "cached", source, sha: from.sha, metadata: from.metadata };
  });
}

/** The metadata to restore for a layer, or the reason why none is: the app pass, then the cache pass. */
function choose(
  inputs: PlanInputs,
  buildpack: Buildpack,
  app: LayerMetadata | undefined,
  cached: LayerMetadata | undefined,
): Choice | string {
  const fromApp = chooseFromApp(app, cached);
  const fromCache = chooseFromCache(inputs.platformApi, app, cached);
  const choice = typeof fromCache === "string" && typeof fromApp !== "string" ? fromApp : fromCache;
  if (typeof choice === "string") return typeof fromApp === "string" && fromApp !== "" ? fromApp : choice;
  const elsewhere = execEnvProblem(inputs, buildpack, choice.from.metadata);
  return elsewhere ?? choice;
}

function chooseFromApp(app: LayerMetadata | undefined, cached: LayerMetadata | undefined): Choice | string {
  if (app === undefined) return "";
  if (!app.launch) return "launch=false in the app image";
  if (app.build && !app.cache) return "build=true and cache=false in the app image, the buildpack makes it anew";
  if (app.cache && cached?.cache !== true) return "cache=true in the app image, but not in the cache";
  return { from: app, source: "app image" };
}

function chooseFromCache(
  platformApi: number,
  app: LayerMetadata | undefined,
  cached: LayerMetadata | undefined,
): Choice | string {
  if (cached === undefined) return "not in the cache";
  if (!cached.cache) return "cache=false in the cache";
  if (cached.launch && app !== undefined) return "launch=true in the cache, and the app image has the last word";
  if (cached.launch && platformApi < 14) return "launch=true in the cache, but not in the app image";
  return { from: cached, source: "cache" };
}

/** Platform API 0.15: a layer made for other execution environments need not be restored (D15). */
function execEnvProblem(inputs: PlanInputs, buildpack: Buildpack, metadata: TomlValue | undefined): string | undefined {
  if (inputs.platformApi < 15 || buildpack.api < 12 || !isTable(metadata)) return undefined;
  const environments = metadata["exec-env"];
  if (!Array.isArray(environments) || environments.length === 0) return undefined;
  if (!environments.every((item) => typeof item === "string")) return undefined;
  if (environments.includes(inputs.execEnv) || environments.includes("*")) return undefined;
  return `made for other execution environments than ${quote(inputs.execEnv)}`;
}

/** NAME_MAX less the longest suffix that is put behind a layer's name. */
const maxNameBytes = 255 - ".sbom.spdx.json".length;

/** Why a name cannot be a layer of a buildpack (D11). */
function layerProblem(name: string): string | undefined {
  if (["store", "launch", "build"].includes(name)) return `a layer may not be named ${quote(name)}`;
  return componentProblem(name, "layer name");
}

/** Why an escaped buildpack id cannot be a directory below the layers directory. */
function buildpackProblem(directory: string): string | undefined {
  if (directory === "sbom") return '<layers>/sbom is the place of SBOM files, so no buildpack may be named "sbom"';
  return componentProblem(directory, "buildpack id");
}

function componentProblem(name: string, what: string): string | undefined {
  if (name === "") return `the ${what} is empty`;
  if (name === "." || name === ".." || /[/\0]/.test(name)) return `the ${what} is no safe file name`;
  if (name.startsWith(".restorer-")) return `the ${what} begins like a staging directory`;
  if (Buffer.byteLength(name) > maxNameBytes) return `the ${what} is longer than ${maxNameBytes} bytes`;
  return undefined;
}

/**
 * Refuses layers that would take another one's place: where buildpack ids escape alike, the first one counts, and a
 * directory may not stand where the `<layer>.toml` or SBOM files of another layer go.
 */
function refuseClashes(layers: readonly LayerPlan[]): LayerPlan[] {
  const isWritten = ({ action }: LayerPlan) => action === "restore" || action === "metadata";
  const placeOf = ({ directory }: LayerPlan, layer: string) => `${directory}/${layer}`;
  const places = new Set(layers.filter(isWritten).map((plan) => placeOf(plan, plan.layer)));
  const owners = new Map<string, string>();
  return layers.map((plan) => {
    if (!isWritten(plan)) return plan;
    const place = placeOf(plan, plan.layer);
    const owner = owners.get(place) ?? plan.buildpack;
    owners.set(place, owner);
    const besides = plan.action === "restore" && /^(.+)\.(?:toml|sbom\.[A-Za-z0-9_-]+\.json)$/s.exec(plan.layer)?.[1];
    if (owner === plan.buildpack && (!besides || !places.has(placeOf(plan, besides)))) return plan;
    return { ...plan, action: "refuse", reason: "another layer of this build has the same place" };
  });
}
