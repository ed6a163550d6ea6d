import type { Directory } from "../disk/directory.ts";
import type { Workplace } from "../disk/workplace.ts";
import { platformHas } from "../platform-api.ts";
import type { Session } from "../session.ts";
import { quote } from "../text.ts";
import { DataError } from "../toml/layer-data.ts";
import { formatMetadata, TomlBudget } from "../toml/layer-toml.ts";
import { Pauses } from "../waiting.ts";
import type { Decided } from "./decide.ts";
import { findSboms } from "./find-sboms.ts";
import {
  isRestored,
  isWritten,
  type LayerPlan,
  type MetadataPlan,
  type Plan,
  type RestorePlan,
  type StorePlan,
} from "./layer-plan.ts";
import { LayersDirectory } from "./layers-directory.ts";
import { sbomFileOf } from "./names.ts";
import { Narration } from "./narration.ts";
import { PlaceError } from "./place.ts";
import { samePlace } from "./plan.ts";
import type { BuildpackDirectory } from "./publish.ts";
import type { Report } from "./report.ts";
import { SbomFiles } from "./sbom.ts";
import { describeProgress, inOrder, sideBySide, throwFailure } from "./schedule.ts";
import type { Unpacker } from "./unpack.ts";
import { unpackerFor } from "./unpacker-for.ts";

/**
 * Carries out a plan (contract §3) below a layers directory and adds what happened to the report. Contents come from the
 * chosen cache; without one the plan has none. Throws RestorerErrors, and on abort the signal's reason.
 */
export async function restoreLayers(
  session: Session,
  layers: Directory,
  { plan, chosen }: Pick<Decided, "plan" | "chosen">,
  report: Report,
): Promise<void> {
  const restoration = new Restoration(session, layers, await unpackerFor(plan, chosen, session), report);
  try {
    await restoration.carryOut(plan, chosen?.metadata.sbom);
  } finally {
    await restoration.end();
  }
}

class Restoration {
  readonly #session: Session;
  readonly #narration: Narration;
  readonly #layers: LayersDirectory;
  readonly #pauses: Pauses;
  readonly #toml = new TomlBudget();
  /** Undefined where nothing comes from a cache. */
  readonly #unpacker: Unpacker | undefined;
  #sboms = new SbomFiles([]);

  constructor(session: Session, directory: Directory, unpacker: Unpacker | undefined, report: Report) {
    this.#session = session;
    this.#narration = new Narration(session.log, report);
    this.#layers = new LayersDirectory(directory, session.umask, session.log);
    this.#pauses = new Pauses(session.signal);
    this.#unpacker = unpacker;
  }

  /** `cachedSboms`: diffID of the cache's SBOM layer, unchecked; undefined where there is none. */
  async carryOut(plan: Plan, cachedSboms: string | undefined): Promise<void> {
    const { inputs, log } = this.#session;
    this.#layers.sweep(plan.layers);
    for (const one of plan.refused) this.#narration.refusedBuildpack(one);
    for (const one of plan.unreadable) this.#narration.unreadable(one);
    for (const store of plan.stores) {
      this.#restoreStore(store);
      await this.#pauses.pause();
    }
    if (inputs.skipLayers) {
      log.info("Skipping buildpack layer analysis");
      return;
    }
    for (const stranger of plan.strangers) this.#narration.stranger(stranger);
    for (const layer of plan.layers) this.#narration.announce(layer);
    const hasSboms = platformHas(inputs.platformApi, "sbom");
    if (hasSboms) {
      const places = { cached: cachedSboms, unpacker: this.#unpacker, layers: this.#layers };
      this.#sboms = await findSboms(places, log, this.#narration);
    }
    // First what goes, for a layer that is written may be named like what stands of one that is not (`x` and `x.toml`).
    for (const layer of plan.layers) this.#leaveOut(layer);
    for (const layer of plan.layers) {
      if (layer.action === "metadata") this.#restoreMetadata(layer);
      await this.#pauses.pause();
    }
    if (this.#unpacker !== undefined) await this.#restoreContents(this.#withoutSbomClashes(plan), this.#unpacker);
    // With -only, what lies there may be wanted for the others.
    if (hasSboms && inputs.only.length === 0) this.#layers.removeSboms();
  }

  /** The layers to restore; one whose directory would stand where an SBOM file of another goes is refused. */
  #withoutSbomClashes({ layers }: Plan): RestorePlan[] {
    const written = new Set(layers.filter(isWritten).map(({ directory, layer }) => `${directory}/${layer}`));
    return layers.filter(isRestored).filter((plan) => {
      const file = sbomFileOf(plan.layer);
      if (file === undefined || !written.has(`${plan.directory}/${file.layer}`)) return true;
      const hasFile = this.#sboms.has(plan.directory, file.layer, file.suffix);
      if (hasFile) this.#leaveOut({ ...plan, ...samePlace });
      return !hasFile;
    });
  }

  async end(): Promise<void> {
    this.#session.progress.stop();
    await this.#unpacker?.end();
    this.#sboms.close();
    this.#layers.end();
  }

  /** A layer that does not come back. */
  #leaveOut(plan: LayerPlan): void {
    if (plan.action === "skip") this.#narration.done(plan, "skipped");
    if (plan.action === "remove") {
      this.#remove(plan);
      this.#narration.done(plan, "removed");
    }
    if (plan.action === "refuse") {
      this.#narration.refused(plan, plan);
      if (plan.removes) this.#remove(plan);
    }
  }

  #restoreStore({ buildpack, directory, data }: StorePlan): void {
    try {
      const toml = formatMetadata(data.read(), this.#toml);
      this.#layers.inBuildpack(directory, (place) => place.writeFile("store.toml", toml));
    } catch (error) {
      if (!(error instanceof DataError || error instanceof PlaceError)) throw error;
      const told = `Not restoring store.toml of buildpack ${quote(buildpack)}: ${error.message}`;
      this.#narration.trouble(told, "store-refused", { buildpack });
    }
  }

  /** A layer whose contents stay in the app image. */
  #restoreMetadata(plan: MetadataPlan): void {
    try {
      const toml = formatMetadata(plan.data.read(), this.#toml);
      this.#layers.inBuildpack(plan.directory, (place) => {
        this.#sboms.use(plan.directory, plan.layer, (sboms) => place.publishMetadata(plan.layer, toml, sboms));
      });
      this.#narration.done(plan, "metadata");
    } catch (error) {
      this.#refuseAfter(plan, error);
    }
  }

  /** Refuses a layer whose data cannot be used, or that cannot take its place. Throws other errors on. */
  #refuseAfter(plan: LayerPlan, error: unknown): void {
    if (error instanceof DataError) {
      this.#narration.refused(plan, { code: "bad-metadata", reason: `layer ${quote(plan.layer)}, ${error.message}` });
      this.#remove(plan);
      return;
    }
    if (!(error instanceof PlaceError)) throw error;
    this.#narration.refused(plan, { code: error.code, reason: error.message });
    // What stands of it goes unless that is why.
    if (error.code !== "place-taken") this.#remove(plan);
  }

  /** Layers that come back from the cache: several at once. */
  async #restoreContents(plans: readonly RestorePlan[], unpacker: Unpacker): Promise<void> {
    const { progress, signal } = this.#session;
    if (plans.length === 0) return;
    const sizeOf = ({ sha }: RestorePlan) => unpacker.size(sha);
    const { large, small } = inOrder(plans, sizeOf, (size) => unpacker.isSmall(size));
    const total = [...large, ...small].reduce((sum, { size }) => sum + size, 0);
    const before = unpacker.progress;
    let done = 0;
    progress.start(() => {
      const bytes = Math.min(total, unpacker.progress - before);
      return describeProgress(done, plans.length, bytes, total);
    });
    const restore = async (plan: RestorePlan, coming: readonly { readonly plan: RestorePlan }[]) => {
      for (const { plan } of coming) unpacker.prepare(plan.sha);
      await this.#restoreLayer(plan, unpacker);
      done += 1;
      await this.#pauses.pause();
    };
    const results = await Promise.allSettled([
      ...sideBySide(large, unpacker.limit, restore),
      ...sideBySide(small, unpacker.smallLimit, restore),
    ]);
    progress.stop();
    this.#narration.tellEfforts();
    signal.throwIfAborted();
    throwFailure(results);
  }

  async #restoreLayer(plan: RestorePlan, unpacker: Unpacker): Promise<void> {
    let buildpack: BuildpackDirectory;
    try {
      buildpack = this.#layers.enterBuildpack(plan.directory);
    } catch (error) {
      this.#refuseAfter(plan, error);
      return;
    }
    try {
      // Again, in its place, where the file system turns out not to rename directories.
      while (!(await this.#unpackAndPublish(plan, unpacker, buildpack)));
    } catch (error) {
      this.#refuseAfter(plan, error);
    } finally {
      this.#layers.leaveBuildpack(plan.directory);
    }
  }

  /** False where the layer could not be moved to its place. */
  async #unpackAndPublish(plan: RestorePlan, unpacker: Unpacker, buildpack: BuildpackDirectory): Promise<boolean> {
    const { directory, layer, sha, data } = plan;
    const began = performance.now();
    let place: Workplace | undefined;
    const newPlace = () => {
      const made = buildpack.workplace(layer);
      place = made;
      return made;
    };
    try {
      const unpacked = await unpacker.unpack(sha, [directory, layer], newPlace);
      if (!unpacked.isUsable) {
        this.#narration.refused(plan, unpacked);
        this.#remove(plan);
        return true;
      }
      const { extracted, place: filled } = unpacked;
      // Only now: the text of large data is not kept while blobs are unpacked.
      const toml = formatMetadata(data.read(), this.#toml);
      const isPublished = this.#sboms.use(directory, layer, (sboms) =>
        buildpack.publishLayer(layer, filled, extracted.rootMode, toml, sboms),
      );
      if (!isPublished) return false;
      this.#narration.restored(plan, { ...unpacked, milliseconds: performance.now() - began });
      this.#narration.dangling(extracted, this.#session.inputs.layersDir);
      return true;
    } catch (error) {
      this.#layers.cleanUp(() => place?.remove());
      throw error;
    }
  }

  /** Removes what stands of a layer, where there can be something. */
  #remove(plan: LayerPlan): void {
    if (!this.#layers.has(plan.directory)) return;
    try {
      this.#layers.inBuildpack(plan.directory, (place) => place.removeLayer(plan.layer));
    } catch (error) {
      if (!(error instanceof PlaceError)) throw error;
      this.#narration.notRemoved(plan, error.message);
    }
  }
}
