import type { Cache } from "../caches/cache.ts";
import { type ChosenCache, chooseCache } from "../caches/open.ts";
import type { Directory } from "../disk/directory.ts";
import type { Images } from "../images/resolve.ts";
import { isDigest } from "../oci/digest.ts";
import { newestBuildpackApi } from "../platform-api.ts";
import type { Session } from "../session.ts";
import { quote } from "../text.ts";
import type { Analyzed } from "../toml/analyzed.ts";
import type { Buildpack, Group } from "../toml/group.ts";
import { type ImageMetadata, noMetadata } from "../toml/metadata.ts";
import type { Plan } from "./layer-plan.ts";
import { layersOnDisk } from "./layers-on-disk.ts";
import { noSuchLayer, onlyLayers } from "./only.ts";
import { planLayers } from "./plan.ts";

/** What a decision is made from. */
interface DecisionSources {
  /** Undefined for every buildpack that left something, at the newest Buildpack API. */
  readonly group: Group | undefined;
  /** Undefined when it cannot be used. */
  readonly analyzed: Analyzed | undefined;
  readonly images: Images | undefined;
  /** In the order in which they are tried. */
  readonly caches: readonly Cache[];
  /** Undefined where there is none yet. */
  readonly layers: Directory | undefined;
}

/** What was decided, and what was found for it. */
export interface Decided {
  readonly plan: Plan;
  /** What the app image says; nothing where there is none. */
  readonly app: ImageMetadata;
  /** Undefined where none is used. */
  readonly chosen: ChosenCache | undefined;
}

/** How often a decision is made that is overtaken at once, since the cache was replaced meanwhile. */
const maxLooks = 100;

/**
 * Reads what the earlier build left in caches and app image, decides what happens to each layer (contract §3), and has the
 * contents that this takes within reach. Changes nothing. Trouble with a cache is told and given to `onTrouble`; where the run
 * is strict it is a RestorerError (exit 42).
 */
export async function decide(
  session: Session,
  { group, analyzed, images, caches, layers }: DecisionSources,
  onTrouble: (message: string) => void,
): Promise<Decided> {
  const app = (await images?.appMetadata()) ?? analyzed?.metadata ?? noMetadata;
  for (let looks = maxLooks; ; looks -= 1) {
    let hasTrouble = false;
    const chosen = await chooseCache(caches, session, (trouble) => {
      hasTrouble = true;
      onTrouble(trouble);
    });
    const all = planLayers({
      ...session.inputs,
      buildpacks: group?.buildpacks ?? everyBuildpack(app, chosen?.metadata),
      app,
      cache: chosen?.metadata,
      layersOnDisk: (directory) => layersOnDisk(layers, directory),
    });
    const isCold = isEmpty(chosen?.metadata) && (caches.length > 0 || isEmpty(app));
    const plan = onlyLayers(all, session.inputs.only, (name) => {
      if (!isCold) throw noSuchLayer(all.layers, name);
      const why = isEmpty(app) && !hasTrouble ? "this is a first build" : "no cache is used that might hold it";
      session.log.info(`No layer is called ${quote(name)}, ${why}`);
    });
    const isHeld = await chosen?.cache.hold?.(neededBlobs(plan, chosen.metadata));
    if (isHeld !== false || looks === 1) return { plan, app, chosen };
    session.log.debug(`${chosen?.cache.name} was replaced meanwhile, looking again`);
  }
}

function isEmpty(image: ImageMetadata | undefined): boolean {
  return (image?.buildpacks.length ?? 0) === 0;
}

/** The digests of what a plan takes out of a cache. */
function neededBlobs({ layers }: Plan, { sbom }: ImageMetadata): string[] {
  const shas = layers.flatMap((layer) => (layer.action === "restore" ? [layer.sha] : []));
  return [...shas, ...(sbom !== undefined && isDigest(sbom) ? [sbom] : [])];
}

function everyBuildpack(...images: readonly (ImageMetadata | undefined)[]): Buildpack[] {
  const ids = images.flatMap((image) => image?.buildpacks.map(({ id }) => id) ?? []);
  return [...new Set(ids)].map((id) => ({ id, api: newestBuildpackApi }));
}
