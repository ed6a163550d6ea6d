import { sharedPlaces } from "../caches/place.ts";
import type { SharedPlaces } from "../disk/bounds.ts";
import { keepInPlace } from "../disk/cache-places.ts";
import { replaceFile } from "../disk/replace-file.ts";
import { orAsSecondUser } from "../disk/second-user.ts";
import { describe } from "../errors.ts";
import { ExitCode, RestorerError } from "../failures.ts";
import type { Log } from "../log.ts";
import { exitCodeOf, type RefusedRun, type Session } from "../session.ts";
import { writeText } from "../streams.ts";
import { quote } from "../text.ts";
import { emptyReport, errorAsData, formatReport, type Report } from "./report.ts";
import { summarize } from "./summary.ts";

/** Where a report goes; `path` is undefined where none is asked for, and `-` is standard output. */
interface Destination {
  readonly path: string | undefined;
  readonly shared: SharedPlaces;
  readonly umask: number;
  readonly log: Log;
  /** What is to be done before a file is written, where the run did not come to it. */
  readonly ready?: () => void;
}

/**
 * Runs `story` and writes its report where the inputs ask for one: also of a run that fails, which is when it is wanted
 * most (D26). Throws what `story` throws, and a RestorerError (exit 1) when the report cannot be written.
 */
export async function withReport(session: Session, story: (report: Report) => Promise<void>): Promise<void> {
  const { inputs, log, umask } = session;
  const report = emptyReport(`0.${inputs.platformApi}`);
  const began = performance.now();
  try {
    await story(report);
  } catch (error) {
    fail(report, session.signal.aborted ? session.signal.reason : error);
    throw error;
  } finally {
    report.seconds = Number(((performance.now() - began) / 1000).toFixed(3));
    if (report.error === undefined) summarize(report, inputs, log);
    writeReport(report, { path: inputs.reportPath, shared: sharedPlaces(inputs), umask, log });
  }
}

/** Writes the report of a run that did not begin, since its inputs are wrong. Throws nothing. */
export function reportRefused({ error, inputs, umask, log }: RefusedRun): void {
  const report = emptyReport(inputs.platformApi);
  fail(report, error);
  const shared = sharedPlaces(inputs);
  const ready = () => keepInPlace(shared.cacheDirs, shared.layersDir);
  writeReport(report, { path: inputs.reportPath, shared, umask, log, ready });
}

/** Records why a run fails. */
function fail(report: Report, error: unknown): void {
  report.exitCode = exitCodeOf(error);
  report.error = errorAsData(error);
}

function writeReport(report: Report, { path, shared, umask, log, ready }: Destination): void {
  if (path === undefined) return;
  // It may go to stdout.
  log.flush();
  try {
    const text = formatReport(report, log.warnings);
    // A link that a buildpack left in the layers directory is not the platform's.
    if (path === "-") writeText(1, text);
    else {
      ready?.();
      orAsSecondUser(() => replaceFile(path, Buffer.from(text), { umask, shared, otherLinks: "refuse" }));
    }
  } catch (error) {
    const place = path === "-" ? "to stdout" : quote(path);
    const failure = new RestorerError(`write report ${place}: ${describe(error)}`, {
      exitCode: ExitCode.failed,
      cause: error,
      hint: "Name a file in a directory that the user the restorer runs as may write to.",
    });
    // The run's own failure is the one to end with.
    if (report.error === undefined) throw failure;
    log.warn(failure.message, "report");
  }
}
