import { closeSync, constants, lstatSync, openSync, writeFileSync } from "node:fs";
import { describe, ExitCode, RestorerError } from "../errors.ts";
import type { Session } from "../session.ts";
import { quote } from "../text.ts";
import { mayFollow } from "../toml/analyzed.ts";
import { emptyReport, formatReport, type Report } from "./report.ts";
import { summarize } from "./summary.ts";

/**
 * Runs `story` and writes its report where the inputs ask for one: also of a run that fails, which is when it is wanted
 * most. Throws what `story` throws, and a RestorerError (exit 1) when the report cannot be written.
 */
export async function withReport(session: Session, story: (report: Report) => Promise<void>): Promise<void> {
  const { platformApi, reportPath } = session.inputs;
  const report = emptyReport(platformApi);
  const began = performance.now();
  try {
    await story(report);
  } catch (error) {
    report.error = describe(error);
    throw error;
  } finally {
    report.seconds = Number(((performance.now() - began) / 1000).toFixed(3));
    if (report.error === undefined) summarize(report, session.log);
    if (reportPath !== undefined) tryToWrite(reportPath, report, session);
  }
}

function tryToWrite(path: string, report: Report, session: Session): void {
  try {
    writeReport(path, formatReport(report), session);
  } catch (error) {
    const failure = new RestorerError(`write report ${quote(path)}: ${describe(error)}`, {
      exitCode: ExitCode.failed,
      cause: error,
      hint: "Name a file in a directory that the user the restorer runs as may write to.",
    });
    // The run's own failure is the one to end with.
    if (report.error === undefined) throw failure;
    session.log.warn(failure.message);
  }
}

/** Writes over what stands there. A link that a buildpack left in the layers directory is not the platform's. */
function writeReport(path: string, content: string, { inputs, umask }: Session): void {
  const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  const nofollow = isLink && mayFollow(path, inputs.layersDir) ? 0 : constants.O_NOFOLLOW;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | nofollow;
  const fd = openSync(path, flags, 0o666 & ~umask);
  try {
    writeFileSync(fd, content);
  } finally {
    closeSync(fd);
  }
}
