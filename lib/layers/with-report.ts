import { replaceFile } from "../disk/replace-file.ts";
import { describe } from "../errors.ts";
import { ExitCode, RestorerError } from "../failures.ts";
import type { Session } from "../session.ts";
import { quote } from "../text.ts";
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
    if (reportPath !== undefined) writeReport(reportPath, report, session);
  }
}

function writeReport(path: string, report: Report, { inputs, umask, log }: Session): void {
  // It may go to stdout.
  log.flush();
  try {
    // A link that a buildpack left in the layers directory is not the platform's.
    const options = { umask, layersDir: inputs.layersDir, otherLinks: "refuse" } as const;
    replaceFile(path, Buffer.from(formatReport(report)), options);
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
