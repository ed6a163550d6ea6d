import { existsSync } from "node:fs";
import type { Cache } from "../caches/cache.ts";
import { openCaches } from "../caches/open.ts";
import { cacheReferences, sharedPlaces } from "../caches/place.ts";
import { keepInPlace } from "../disk/cache-places.ts";
import { Directory, unlessAbsent } from "../disk/directory.ts";
import { describe } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import { openPlannedImages } from "../images/open.ts";
import { type ImagesPlan, imagesInUse, planImages } from "../images/plan.ts";
import { platformHas } from "../platform-api.ts";
import { openRegistry } from "../registry/open.ts";
import type { Session } from "../session.ts";
import { quote } from "../text.ts";
import { type Analyzed, readAnalyzed } from "../toml/analyzed.ts";
import { type Group, readGroup } from "../toml/group.ts";
import { type ImageMetadata, noMetadata } from "../toml/metadata.ts";
import { readRunToml } from "../toml/run-toml.ts";
import { refuseBuildpackPlace, refuseLayersPlace } from "./buildpack-place.ts";
import { decide } from "./decide.ts";
import { isRemoved, isRestored, isWritten, type Plan, type Subject } from "./layer-plan.ts";
import { layerFilesOnDisk, layersOnDisk, lookInto } from "./layers-on-disk.ts";
import { PlaceError, refuseMountedFiles, refuseTaken, refuseTakenDirectory } from "./place.ts";

/** What a restore would find, and what it would do about layers. */
export interface Situation {
  /** Undefined where there is none: then every buildpack that left something is taken to be in it. */
  readonly group: Group | undefined;
  /** Undefined when it cannot be used. */
  readonly analyzed: Analyzed | undefined;
  /** The one that would be used, or the first that was given, where none can be; undefined when none is given. */
  readonly cache: Cache | undefined;
  readonly isCacheUsed: boolean;
  /** What the cache holds; nothing where it cannot be used. */
  readonly cached: ImageMetadata;
  /** What a blob that the cache lacks may come from. */
  readonly fallbacks: readonly Cache[];
  /** What the app image says. */
  readonly app: ImageMetadata;
  /** What would be done about images; undefined for nothing. */
  readonly images: ImagesPlan | undefined;
  /** Names of what stands of a layer now, in its buildpack's directory. */
  readonly standing: (layer: Subject) => readonly string[];
  /**
   * Why what stands of a layer cannot be replaced or removed, where it is to be, or why its buildpack cannot have a directory
   * (`place-taken`).
   */
  readonly taken: (layer: Subject) => string | undefined;
  readonly plan: Plan;
  /** Trouble with the cache, as it was warned about. */
  readonly troubles: readonly string[];
}

/**
 * Looks without touching anything: makes no layers directory, writes nothing, does not change the user, and asks for no
 * run or build image. A group is not needed where `needsGroup` is false. Warns, and throws RestorerErrors, where a restore
 * would.
 */
export async function readSituation(session: Session, needsGroup = true): Promise<Situation> {
  const { inputs, log } = session;
  keepInPlace(sharedPlaces(inputs).cacheDirs, inputs.layersDir);
  const group = needsGroup || existsSync(inputs.groupPath) ? readGroup(inputs.groupPath, log) : undefined;
  const analyzed = readAnalyzed(inputs.analyzedPath, log);
  const readsRunToml = analyzed !== undefined && platformHas(inputs.platformApi, "run-toml");
  const runToml = readsRunToml ? readRunToml(inputs.runPath, log) : [];
  const imagesPlan = planImages({ inputs, hasExtensions: group?.hasExtensions ?? false, analyzed, runToml });
  const looked = onlyAppImage(imagesPlan);
  const registry = await openRegistry(session, imagesInUse(cacheReferences(inputs), looked));
  const images = await openPlannedImages(looked, session, registry);
  const caches = await openCaches(session, registry);
  const layers = openLayersIfThere(inputs.layersDir);
  try {
    if (layers !== undefined) refuseLayersPlace(layers);
    const troubles: string[] = [];
    const onTrouble = (trouble: string) => void troubles.push(trouble);
    const { plan, app, chosen } = await decide(session, { group, analyzed, images, caches, layers }, onTrouble);
    const standing = lookForStanding(plan, layers);
    refusePlaces(plan, layers);
    const taken = lookForTaken(plan, layers);
    const { cache = caches[0], metadata: cached = noMetadata, fallbacks = [] } = chosen ?? {};
    const isCacheUsed = chosen !== undefined;
    const found = { group, analyzed, cache, isCacheUsed, cached, fallbacks, app, images: imagesPlan, plan, troubles };
    return { ...found, standing, taken };
  } finally {
    layers?.close();
  }
}

/** Looks what stands of the layers of a plan. */
function lookForStanding({ layers: planned }: Plan, layers: Directory | undefined): Situation["standing"] {
  const directories = [...new Set(planned.map(({ directory }) => directory))];
  const names = new Map(directories.map((name) => [name, layersOnDisk(layers, name)]));
  const files = new Map(directories.map((name) => [name, layerFilesOnDisk(layers, name)]));
  return ({ directory, layer }) => [
    ...(names.get(directory)?.has(layer) === true ? [layer, `${layer}.toml`] : []),
    ...[...(files.get(directory)?.get(layer) ?? [])].sort(),
  ];
}

/** Throws a RestorerError (exit 42) where a restore could not make the directory of a buildpack. */
function refusePlaces({ layers: planned, stores }: Plan, layers: Directory | undefined): void {
  if (layers === undefined) return;
  for (const { directory } of [...planned.filter(isWritten), ...stores]) refuseBuildpackPlace(layers, directory);
}

/** Looks which layers of a plan cannot be replaced or removed. */
function lookForTaken({ layers: planned }: Plan, layers: Directory | undefined): Situation["taken"] {
  const taken = new Map<string, string>();
  for (const plan of planned) {
    const why =
      (isWritten(plan) ? whyRefused(() => layers && refuseTakenDirectory(layers, plan.directory)) : undefined) ??
      (isRestored(plan) || isRemoved(plan) ? whyTaken(layers, plan, refuseTaken) : undefined) ??
      (plan.action === "metadata" ? whyTaken(layers, plan, refuseMountedFiles) : undefined);
    if (why !== undefined) taken.set(`${plan.directory}/${plan.layer}`, why);
  }
  return ({ directory, layer }) => taken.get(`${directory}/${layer}`);
}

function whyTaken(
  layers: Directory | undefined,
  { directory: name, layer }: Subject,
  refuse: (directory: Directory, layer: string) => void,
): string | undefined {
  return lookInto(layers, name, (directory) => whyRefused(() => refuse(directory, layer)));
}

function whyRefused(look: () => void): string | undefined {
  try {
    look();
    return undefined;
  } catch (error) {
    if (error instanceof PlaceError) return error.message;
    throw error;
  }
}

/** Of the images of a run, the one that is only looked at: the app image, where it stands in for analyzed.toml. */
function onlyAppImage(plan: ImagesPlan | undefined): ImagesPlan | undefined {
  return plan?.appImage === undefined ? undefined : { ...plan, buildImage: undefined, runImage: undefined };
}

function openLayersIfThere(path: string): Directory | undefined {
  try {
    return unlessAbsent(() => Directory.open(path, path, true));
  } catch (error) {
    throw new RestorerError(`open layers directory ${quote(path)}: ${describe(error)}`, { cause: error });
  }
}
