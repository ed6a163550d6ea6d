import type { Extracted } from "../archive/extract.ts";
import type { Effort } from "../archive/workers.ts";
import type { Cache } from "../caches/cache.ts";
import type { Log } from "../log.ts";
import { count, formatBytes, quote } from "../text.ts";
import type { WarningCode, WarningSubject } from "../warnings.ts";
import type { LayerPlan, RefusedBuildpack, RestorePlan, Subject } from "./layer-plan.ts";
import type { Reason } from "./outcomes.ts";
import type { LayerReport, Report } from "./report.ts";
import { describeStranger, type Stranger } from "./strangers.ts";
import type { Unreadable } from "./unreadable.ts";

/** Tells what happens to each layer, in one line, and keeps the report of it. */
export class Narration {
  readonly #log: Log;
  readonly #report: Report;
  readonly #efforts: Effort[] = [];
  #danglingTold = false;

  constructor(log: Log, report: Report) {
    this.#log = log;
    this.#report = report;
  }

  /** What is going to happen. Platforms look for the wordings, the last one aside. */
  announce(plan: LayerPlan): void {
    const name = nameOf(plan);
    if (plan.action === "restore" || plan.action === "metadata") {
      this.#log.info(`Restoring metadata for ${name} from ${plan.source}`);
    }
    if (plan.action === "restore") this.#log.info(`Restoring data for ${name} from cache`);
    if (plan.action === "remove") this.#log.info(`Removing ${name}, ${plan.reason}`);
    if (plan.action === "skip") this.#log.info(`Not restoring ${name}: ${plan.reason}`);
  }

  refusedBuildpack({ buildpack, reason }: RefusedBuildpack): void {
    this.trouble(`Not restoring layers of buildpack ${quote(buildpack)}: ${reason}`, "buildpack-refused", {
      buildpack,
    });
  }

  unreadable({ code, text, buildpack }: Unreadable): void {
    this.trouble(text, code, buildpack === undefined ? {} : { buildpack });
  }

  /** A buildpack of the cache that this build does without. */
  stranger(stranger: Stranger): void {
    this.#log.info(describeStranger(stranger));
    this.#report.notInGroup.push(stranger);
  }

  /** A layer of which all came back. */
  restored(plan: RestorePlan, origin: Origin & Took): void {
    const { extracted, effort, milliseconds: took } = origin;
    const { files, entries, bytes: bytesWritten } = extracted;
    const { bytesRead, retries } = effort;
    const milliseconds = Math.round(took);
    const contents = `${count(entries, "entry", "entries")}, ${formatBytes(bytesWritten)}`;
    this.#log.debug(`Restored ${nameOf(plan)}: ${contents}, verified as ${plan.sha}`);
    this.#log.debug(`Restoring ${nameOf(plan)} took ${milliseconds} ms: ${describeEffort(effort)}`);
    this.#efforts.push(effort);
    this.fellBack(nameOf(plan), origin, plan);
    const cache = origin.cache.reference;
    this.#record(plan, "restored", plan, { cache, files, bytesRead, bytesWritten, milliseconds, retries });
  }

  /** Where the time went, that of all layers together. */
  tellEfforts(): void {
    if (this.#efforts.length === 0) return;
    const sum = (key: keyof Effort) => this.#efforts.reduce((total, effort) => total + effort[key], 0);
    const effort = {
      bytesRead: sum("bytesRead"),
      retries: sum("retries"),
      waitingMs: sum("waitingMs"),
      hashingMs: sum("hashingMs"),
      writingMs: sum("writingMs"),
    };
    this.#log.debug(`All layers, of which several are restored at once: ${describeEffort(effort)}`);
  }

  /** What came from a cache to fall back on is told, and why (D25). */
  fellBack(what: string, { cache, instead }: Origin, subject: WarningSubject = {}): void {
    if (instead === undefined) return;
    this.#log.warn(`Restored ${what} from ${cache.name} instead: ${instead.reason}`, "fallback-used", named(subject));
  }

  /** A layer that went as planned, without contents. */
  done(plan: LayerPlan, outcome: "metadata" | "removed" | "skipped"): void {
    this.#record(plan, outcome);
  }

  /** A layer that does not come back, as planned or against the plan. */
  refused(plan: LayerPlan, why: Reason): void {
    this.trouble(`Not restoring ${nameOf(plan)}: ${why.reason}`, "layer-refused", plan);
    this.#record(plan, "refused", why);
  }

  /** What stands of a layer that does not come back, and cannot be removed either. */
  notRemoved(plan: LayerPlan, reason: string): void {
    this.#log.warn(`Not removing ${nameOf(plan)}: ${reason}`, "not-removed", named(plan));
  }

  /** Trouble with the cache. */
  trouble(message: string, code: WarningCode, subject: WarningSubject = {}): void {
    this.#report.troubles.push(message);
    this.#log.warn(message, code, named(subject));
  }

  /** Links that relocation broke (D6): told once a run. */
  dangling({ dangling }: Extracted, layersDir: string): void {
    if (dangling.count === 0 || this.#danglingTold) return;
    this.#danglingTold = true;
    this.#log.warn(
      `Links into ${quote(dangling.prefix)}, the layers directory of the build that made the cache, now lead nowhere; layers are restored below ${quote(layersDir)}`,
      "dangling-links",
    );
  }

  #record(plan: LayerPlan, outcome: LayerReport["outcome"], why: Reason = plan, contents: Contents = {}): void {
    const { buildpack, layer } = plan;
    const { code, reason } = why;
    const source = "source" in plan ? { source: plan.source } : {};
    const sha = "sha" in plan ? { sha: plan.sha } : {};
    this.#report.layers.push({ buildpack, layer, outcome, code, reason, ...source, ...sha, ...contents });
  }
}

type Contents = Pick<LayerReport, "cache" | "files" | "bytesRead" | "bytesWritten" | "milliseconds" | "retries">;

/** What came of a blob, and what it took. */
interface Took {
  readonly extracted: Extracted;
  readonly effort: Effort;
  /** From when its blob was opened to when it stood in its place. */
  readonly milliseconds: number;
}

/** Where contents came from. */
interface Origin {
  readonly cache: Cache;
  /** Why not from the cache of the run. */
  readonly instead: Reason | undefined;
}

/** Of what is more, the names alone. */
function named({ buildpack, layer }: WarningSubject): WarningSubject {
  return { ...(buildpack === undefined ? {} : { buildpack }), ...(layer === undefined ? {} : { layer }) };
}

/** In milliseconds, where the time went: threads do these side by side. */
function describeEffort({ waitingMs, hashingMs, writingMs, retries }: Effort): string {
  const parts = [
    ...(waitingMs > 0 ? [`${Math.round(waitingMs)} ms waiting for the registry`] : []),
    `${Math.round(hashingMs)} ms decompressing and hashing`,
    `${Math.round(writingMs)} ms writing`,
    ...(retries > 0 ? [count(retries, "retry", "retries")] : []),
  ];
  return parts.join(", ");
}

/** How messages name a layer. */
function nameOf({ buildpack, layer }: Subject): string {
  return quote(`${buildpack}:${layer}`);
}
