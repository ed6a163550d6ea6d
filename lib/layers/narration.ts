import type { Extracted } from "../archive/extract.ts";
import type { Cache } from "../caches/cache.ts";
import type { Log } from "../log.ts";
import { count, formatBytes, inline, quote } from "../text.ts";
import type { Reason } from "./outcomes.ts";
import type { LayerPlan, RestorePlan, Stranger, Subject } from "./plan.ts";
import type { LayerReport, Report } from "./report.ts";

/** Tells what happens to each layer, in one line, and keeps the report of it. */
export class Narration {
  readonly #log: Log;
  readonly #report: Report;
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

  /** A buildpack of the cache that this build does without: where its id was changed, nobody would notice otherwise. */
  stranger({ buildpack, layers }: Stranger): void {
    const held = `${inline(buildpack)} (${count(layers, "layer")})`;
    this.#log.info(`The cache also holds ${held}, which is not in group.toml`);
    this.#report.notInGroup.push({ buildpack, layers });
  }

  /** A layer of which all came back. */
  restored(plan: RestorePlan, origin: Origin & { readonly extracted: Extracted }): void {
    const { files, entries, bytes } = origin.extracted;
    const contents = `${count(entries, "entry", "entries")}, ${formatBytes(bytes)}`;
    this.#log.debug(`Restored ${nameOf(plan)}: ${contents}, verified as ${plan.sha}`);
    this.fellBack(nameOf(plan), origin);
    this.#record(plan, "restored", plan, { cache: origin.cache.facts().reference, files, bytes });
  }

  /** What came from a cache to fall back on is told, and why (D25). */
  fellBack(what: string, { cache, instead }: Origin): void {
    if (instead !== undefined) this.#log.warn(`Restored ${what} from ${cache.name} instead: ${instead.reason}`);
  }

  /** A layer that went as planned, without contents. */
  done(plan: LayerPlan, outcome: "metadata" | "removed" | "skipped"): void {
    this.#record(plan, outcome);
  }

  /** A layer that does not come back, as planned or against the plan. */
  refused(plan: LayerPlan, why: Reason): void {
    this.trouble(`Not restoring ${nameOf(plan)}: ${why.reason}`);
    this.#record(plan, "refused", why);
  }

  /** What stands of a layer that does not come back, and cannot be removed either. */
  notRemoved(plan: LayerPlan, reason: string): void {
    this.#log.warn(`Not removing ${nameOf(plan)}: ${reason}`);
  }

  /** Trouble with the cache. */
  trouble(message: string): void {
    this.#report.troubles.push(message);
    this.#log.warn(message);
  }

  /** Links that relocation broke (D6); said once. */
  dangling({ dangling }: Extracted, layersDir: string): void {
    if (dangling.count === 0 || this.#danglingTold) return;
    this.#danglingTold = true;
    this.#log.warn(
      `links into ${quote(dangling.prefix)}, the layers directory of the build that made the cache, now lead nowhere; layers are restored below ${quote(layersDir)}`,
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

type Contents = Pick<LayerReport, "cache" | "files" | "bytes">;

/** Where contents came from. */
interface Origin {
  readonly cache: Cache;
  /** Why not from the cache of the run. */
  readonly instead: Reason | undefined;
}

/** How messages name a layer. */
function nameOf({ buildpack, layer }: Subject): string {
  return quote(`${buildpack}:${layer}`);
}
