import { closeSync, constants, lstatSync, openSync, writeFileSync } from "node:fs";
import { describe, ExitCode, RestorerError } from "../errors.ts";
import type { Session } from "../session.ts";
import { quote } from "../text.ts";
import { mayFollow } from "../toml/analyzed.ts";
import type { OutcomeCode } from "./outcomes.ts";
import type { MetadataSource } from "./plan.ts";
import { summarize } from "./summary.ts";

/** What happened to one layer. */
export interface LayerReport {
  readonly buildpack: string;
  readonly layer: string;
  readonly outcome: "restored" | "metadata" | "skipped" | "removed" | "refused";
  /** Why, for programs. */
  readonly code: OutcomeCode;
  /** Why, for people. */
  readonly reason: string;
  readonly source?: MetadataSource;
  readonly sha?: string;
  readonly files?: number;
  readonly bytes?: number;
}

/** What a run did, for `-report`. Keys are only ever added. */
export interface Report {
  readonly platformApi: string;
  cache: string | null;
  readonly layers: LayerReport[];
  /** Trouble with the cache, as it was warned about. */
  readonly troubles: string[];
  seconds: number;
  /** Why the run failed; absent when it did not. */
  error?: string;
}

/**
 * Runs `story` and writes its report where the inputs ask for one: also of a run that fails, which is when it is wanted
 * most. Throws what `story` throws, and a RestorerError (exit 1) when the report cannot be written.
 */
export async function withReport(session: Session, story: (report: Report) => Promise<void>): Promise<void> {
  const { platformApi, reportPath } = session.inputs;
  const report: Report = { platformApi: `0.${platformApi}`, cache: null, layers: [], troubles: [], seconds: 0 };
  const began = performance.now();
  try {
    await story(report);
  } catch (error) {
    report.error = describe(error);
    throw error;
  } finally {
    report.seconds = Number(((performance.now() - began) / 1000).toFixed(3));
    if (report.error === undefined) summarize(report, session.log);
    if (reportPath !== undefined) writeReport(reportPath, report, session);
  }
}

function writeReport(path: string, report: Report, { inputs, umask, log }: Session): void {
  try {
    // A link that a buildpack left in the layers directory is not the platform's.
    const link = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
    const flags = link && mayFollow(path, inputs.layersDir) ? 0 : constants.O_NOFOLLOW;
    const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | flags, 0o666 & ~umask);
    try {
      writeFileSync(fd, `${JSON.stringify({ reportVersion: 1, ...report }, null, 2)}\n`);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const failure = new RestorerError(`write report ${quote(path)}: ${describe(error)}`, {
      exitCode: ExitCode.failed,
      cause: error,
      hint: "Name a file in a directory that the user the restorer runs as may write to.",
    });
    // The run's own failure is the one to end with.
    if (report.error === undefined) throw failure;
    log.warn(failure.message);
  }
}
