import type { Cache } from "../caches/cache.ts";
import { openCache } from "../caches/open.ts";
import { Directory, unlessAbsent } from "../disk/directory.ts";
import { describe } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import { openPlannedImages } from "../images/open.ts";
import { type ImagesPlan, imagesInUse, planImages } from "../images/plan.ts";
import { openRegistry } from "../registry/open.ts";
import type { Session } from "../session.ts";
import { quote } from "../text.ts";
import { type Analyzed, readAnalyzed } from "../toml/analyzed.ts";
import { type Group, readGroup } from "../toml/group.ts";
import type { ImageMetadata } from "../toml/metadata.ts";
import { decide } from "./decide.ts";
import type { Plan } from "./plan.ts";

/** What a restore would find, and what it would do about layers. */
export interface Situation {
  readonly group: Group;
  /** Undefined when it cannot be used. */
  readonly analyzed: Analyzed | undefined;
  /** Undefined when none is given. */
  readonly cache: Cache | undefined;
  /** What the cache holds; nothing where it cannot be used. */
  readonly cached: ImageMetadata;
  readonly plan: Plan;
  /** Trouble with the cache, as it was warned about. */
  readonly troubles: readonly string[];
}

/**
 * Looks without touching anything: makes no layers directory, writes nothing, does not change the user, and asks for no
 * run or build image. Warns, and throws RestorerErrors, where a restore would.
 */
export async function readSituation(session: Session): Promise<Situation> {
  const { inputs, log } = session;
  const group = readGroup(inputs.groupPath, log);
  const analyzed = readAnalyzed(inputs.analyzedPath, log);
  const imagesPlan = onlyAppImage(planImages({ inputs, hasExtensions: false, analyzed, runToml: [] }));
  const registry = await openRegistry(session, imagesInUse(inputs, imagesPlan));
  const images = await openPlannedImages(imagesPlan, session, registry);
  const cache = await openCache(session, registry);
  const layers = openLayersIfThere(inputs.layersDir);
  try {
    const troubles: string[] = [];
    const { plan, cached } = await decide(session, { group, analyzed, images, cache, layers }, (trouble) =>
      troubles.push(trouble),
    );
    return { group, analyzed, cache, cached, plan, troubles };
  } finally {
    layers?.close();
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
