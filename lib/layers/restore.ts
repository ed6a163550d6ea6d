import { closeSync } from "node:fs";
import type { Extracted, ExtractionTarget } from "../archive/extract.ts";
import { type WorkerScripts, Workers } from "../archive/workers.ts";
import type { Cache } from "../caches/cache.ts";
import { Directory, removeTree } from "../disk/directory.ts";
import { describe, ExitCode, RestorerError } from "../errors.ts";
import { isDigest } from "../oci/reference.ts";
import type { Session } from "../session.ts";
import { count, formatBytes, quote } from "../text.ts";
import { formatMetadata } from "../toml/toml.ts";
import { LayersDirectory } from "./layers-directory.ts";
import { Account, nameOf } from "./narration.ts";
import type { Reason } from "./outcomes.ts";
import type { LayerPlan, Plan, RestorePlan } from "./plan.ts";
import { PlaceError } from "./publish.ts";
import type { Report } from "./report.ts";
import { SbomFiles, type SbomRoot } from "./sbom.ts";

/** What layers are restored from and to. */
export interface Places {
  readonly layers: Directory;
  readonly cache: Cache | undefined;
  /** diffID of the cache's SBOM layer, or empty. */
  readonly sbom: string;
  readonly threads: WorkerScripts;
}

interface Restoration extends Places, Pick<Session, "umask" | "progress" | "log" | "signal"> {
  /** As given by -layers; cached archives made for it need no relocation. */
  readonly layersDir: string;
  /** Whether SBOM files are restored (Platform API 0.8). */
  readonly restoresSboms: boolean;
  readonly skipLayers: boolean;
  readonly workers: Workers;
}

/** Carries out a plan (contract §3) and adds what happened to the report. Throws RestorerErrors, and on abort the signal's reason. */
export async function restoreLayers(session: Session, places: Places, plan: Plan, report: Report): Promise<void> {
  const { inputs, signal } = session;
  const { layersDir, skipLayers } = inputs;
  const workers = new Workers(places.threads);
  const run = new Run(
    { ...session, ...places, layersDir, skipLayers, workers, restoresSboms: inputs.platformApi >= 8 },
    report,
  );
  // A thread in the middle of a layer looks at its control word only.
  const stop = () => void workers.cancel();
  signal.addEventListener("abort", stop);
  try {
    await run.execute(plan);
  } finally {
    signal.removeEventListener("abort", stop);
    await run.end();
  }
}

/** A layer that is given up because another one failed. */
class Stopped extends RestorerError {}

class Run {
  readonly #in: Restoration;
  readonly #account: Account;
  readonly #layers: LayersDirectory;
  #sboms: SbomFiles | undefined;

  constructor(restoration: Restoration, report: Report) {
    this.#in = restoration;
    this.#account = new Account(restoration.log, report);
    this.#layers = new LayersDirectory(restoration.layers, restoration.umask, restoration.log);
  }

  async execute(plan: Plan): Promise<void> {
    const { log, skipLayers, restoresSboms } = this.#in;
    this.#layers.sweep(new Set(plan.layers.map(({ directory }) => directory)));
    for (const { buildpack, reason } of plan.refused) {
      this.#account.trouble(`Not restoring layers of buildpack ${quote(buildpack)}: ${reason}`);
    }
    for (const { directory, metadata } of plan.stores) {
      this.#layers.inBuildpack(directory, (place) => place.writeFile("store.toml", formatMetadata(metadata)));
    }
    if (skipLayers) {
      log.info("Skipping buildpack layer analysis");
      return;
    }
    const restores = plan.layers.filter((layer) => layer.action === "restore");
    for (const layer of plan.layers) this.#account.announce(layer);
    if (restoresSboms) await this.#openSboms(plan);
    // First what goes, for a layer that is written may be named like what stands of one that is not (`x` and `x.toml`).
    const written = (layer: LayerPlan) => Number(layer.action === "metadata");
    for (const layer of plan.layers.toSorted((a, b) => written(a) - written(b))) this.#withoutContents(layer);
    await this.#restoreAll(restores);
    if (restoresSboms) this.#layers.removeSboms();
  }

  async end(): Promise<void> {
    this.#in.progress.stop();
    await this.#in.workers.cancel();
    this.#sboms?.close();
    this.#layers.end();
  }

  /** Handles a layer of which no contents come back. */
  #withoutContents(plan: LayerPlan): void {
    if (plan.action === "metadata") {
      this.#layers.inBuildpack(plan.directory, (place) => {
        this.#withSboms(plan, (sboms) => place.publishMetadata(plan.layer, formatMetadata(plan.metadata), sboms));
      });
      this.#account.done(plan, "metadata");
    } else if (plan.action === "remove") {
      this.#remove(plan);
      this.#account.done(plan, "removed");
    } else if (plan.action === "refuse") {
      this.#account.refused(plan, plan);
      if (plan.removes) this.#remove(plan);
    } else if (plan.action === "skip") {
      this.#account.done(plan, "skipped");
    }
  }

  /** Restores the contents of layers, largest first so that none is left to run alone at the end. */
  async #restoreAll(plans: readonly RestorePlan[]): Promise<void> {
    const { cache, workers, progress } = this.#in;
    if (cache === undefined || plans.length === 0) return;
    const sized = plans.map((plan) => ({ plan, size: cache.size(plan.sha) })).sort((a, b) => b.size - a.size);
    const total = sized.reduce((sum, { size }) => sum + size, 0);
    let done = 0;
    const started = workers.progress;
    progress.start(() => {
      const bytes = Math.min(total, (workers.progress - started) * 1024);
      const percent = total === 0 ? 0 : Math.floor((100 * bytes) / total);
      return `Restoring: ${done} of ${count(plans.length, "layer")}, ${formatBytes(bytes)} of ${formatBytes(total)}, ${percent}%`;
    });
    const queue = sized.values();
    const work = async () => {
      for (const { plan } of queue) {
        await this.#restore(plan, cache);
        done += 1;
      }
    };
    const results = await Promise.allSettled(Array.from({ length: Math.min(workers.limit, sized.length) }, work));
    progress.stop();
    this.#in.signal.throwIfAborted();
    const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
    if (failures.length > 0) throw failures.find((failure) => !(failure instanceof Stopped)) ?? failures[0];
  }

  async #restore(plan: RestorePlan, cache: Cache): Promise<void> {
    const place = this.#layers.buildpack(plan.directory);
    try {
      const root = place.staging.slot();
      const target = { root, anchor: [plan.directory, plan.layer], writesBehind: place.staging.writesBehind };
      const extracted = await this.#extract(target, plan.sha, cache);
      if ("code" in extracted) {
        // What there is of it takes room that other layers may need.
        removeTree(root);
        this.#account.refused(plan, extracted);
        this.#remove(plan);
        return;
      }
      this.#withSboms(plan, (sboms) => {
        place.publishLayer(plan.layer, root, extracted.rootMode, formatMetadata(plan.metadata), sboms);
      });
      this.#account.restored(plan, extracted);
      this.#account.dangling(extracted, this.#in.layersDir);
    } catch (error) {
      if (!(error instanceof PlaceError)) throw error;
      this.#account.refused(plan, { code: "place-taken", reason: error.message });
    } finally {
      place.close();
    }
  }

  /** Extracts a blob of the cache, or says why it cannot be used. Throws when the disk is the trouble. */
  async #extract(
    target: Pick<ExtractionTarget, "root" | "anchor" | "writesBehind">,
    sha: string,
    cache: Cache,
  ): Promise<Extracted | Reason> {
    const { layersDir, umask, workers, signal } = this.#in;
    const opened: { failure?: unknown } = {};
    const open = async () => {
      signal.throwIfAborted();
      return cache.open(sha).catch((error: unknown) => {
        opened.failure = error;
        throw error;
      });
    };
    try {
      const outcome = await workers.extract({ ...target, layersDir, umask }, sha, open);
      signal.throwIfAborted();
      if (outcome.ok) return outcome.extracted;
      if (outcome.fault === "layer") return { code: "blob-unusable", reason: outcome.message };
      // Another layer has hit the end of the disk; its error is the one to tell.
      if (outcome.fault === "cancelled") throw new Stopped("stopped", { exitCode: ExitCode.restore });
      await workers.cancel();
      throw new RestorerError(`write below ${quote(layersDir)}: ${outcome.message}`, {
        exitCode: ExitCode.restore,
        hint: "The layers directory needs room for all layers, and must be writable.",
      });
    } catch (error) {
      signal.throwIfAborted();
      if (opened.failure === undefined) throw error;
      return { code: "blob-unavailable", reason: describe(opened.failure) };
    }
  }

  /** Opens the SBOM files of earlier builds: the cache's SBOM layer, and what already lies in `<layers>/sbom`. */
  async #openSboms(plan: Plan): Promise<void> {
    const { cache, sbom, layers, log } = this.#in;
    const isNeeded = plan.layers.some(({ action }) => action === "restore" || action === "metadata");
    const roots: SbomRoot[] = [];
    if (cache !== undefined && sbom !== "" && isNeeded) {
      log.info("Restoring data for SBOM from cache");
      const root = this.#layers.staging.slot();
      const extracted = isDigest(sbom)
        ? await this.#extract({ root, anchor: ["sbom"], writesBehind: this.#layers.staging.writesBehind }, sbom, cache)
        : ({ code: "bad-digest", reason: `the cache names ${quote(sbom)}, which is not a sha256 digest` } as const);
      if ("code" in extracted) this.#account.trouble(`Not restoring SBOM files from cache: ${extracted.reason}`);
      else roots.push({ directory: Directory.open(root, "sbom"), tell: (message) => this.#account.trouble(message) });
    }
    const standing = layers.openIfThere("sbom");
    if (standing !== undefined) roots.push({ directory: standing, tell: log.warn });
    this.#sboms = new SbomFiles(roots);
  }

  #withSboms(plan: LayerPlan, use: (sboms: ReturnType<SbomFiles["open"]>) => void): void {
    const sboms = this.#sboms?.open(plan.directory, plan.layer) ?? [];
    try {
      use(sboms);
    } finally {
      for (const { fd } of sboms) closeSync(fd);
    }
  }

  /** Removes what stands of a layer, where there can be something. */
  #remove(plan: LayerPlan): void {
    if (!this.#layers.has(plan.directory)) return;
    try {
      this.#layers.inBuildpack(plan.directory, (place) => place.removeLayer(plan.layer));
    } catch (error) {
      if (!(error instanceof PlaceError)) throw error;
      this.#in.log.warn(`Not removing ${nameOf(plan)}: ${error.message}`);
    }
  }
}
