import type { Extracted } from "../archive/extract.ts";
import type { Log } from "../log.ts";
import { count, formatBytes, quote } from "../text.ts";
import type { LayerPlan } from "./plan.ts";
import type { LayerReport, Report } from "./report.ts";

/** Tells what happens to each layer, in one line, and records it in the report. */
export class Account {
  readonly #log: Log;
  readonly #report: Report;
  #danglingTold = false;

  constructor(log: Log, report: Report) {
    this.#log = log;
    this.#report = report;
  }

  /** What is going to happen; the first two wordings are what platforms look for. */
  announce({ action, buildpack, layer, source, reason }: LayerPlan): void {
    const name = quote(`${buildpack}:${layer}`);
    if (action === "restore" || action === "metadata") this.#log.info(`Restoring metadata for ${name} from ${source}`);
    if (action === "restore") this.#log.info(`Restoring data for ${name} from cache`);
    if (action === "remove") this.#log.info(`Removing ${name}, ${reason}`);
    if (action === "skip") this.#log.info(`Not restoring ${name}: ${reason}`);
  }

  restored(plan: LayerPlan, extracted: Extracted): void {
    const { files, entries, bytes } = extracted;
    const name = quote(`${plan.buildpack}:${plan.layer}`);
    this.#log.debug(
      `Restored ${name}: ${count(entries, "entry", "entries")}, ${formatBytes(bytes)}, verified as ${plan.sha}`,
    );
    this.#record(plan, "restored", plan.reason, { files, bytes });
  }

  /** A layer that went as planned, without contents. */
  done(plan: LayerPlan, outcome: "metadata" | "removed" | "skipped"): void {
    this.#record(plan, outcome, plan.reason);
  }

  refused(plan: LayerPlan, reason: string): void {
    this.trouble(`Not restoring ${quote(`${plan.buildpack}:${plan.layer}`)}: ${reason}`);
    this.#record(plan, "refused", reason);
  }

  /** Trouble with the cache. */
  trouble(message: string): void {
    this.#report.troubles.push(message);
    this.#log.warn(message);
  }

  /** Links that relocation broke; said once. */
  dangling({ dangling }: Extracted, layersDir: string): void {
    if (dangling.count === 0 || this.#danglingTold) return;
    this.#danglingTold = true;
    this.#log.warn(
      `links into ${quote(dangling.prefix)}, the layers directory of the build that made the cache, now lead nowhere; layers are restored below ${quote(layersDir)}`,
    );
  }

  #record(plan: LayerPlan, outcome: LayerReport["outcome"], reason: string, contents: object = {}): void {
    const { buildpack, layer, source, sha } = plan;
    this.#report.layers.push({ buildpack, layer, outcome, reason, source, sha, ...contents });
  }
}
