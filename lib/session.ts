import type { Inputs } from "./cli/inputs.ts";
import { readInputs, requestedInfo } from "./cli/inputs.ts";
import { abortOnSignal, Interrupted } from "./cli/interrupt.ts";
import { type RefusedInputs, readRefusedInputs } from "./cli/report-path.ts";
import { disarmRuntime } from "./cli/runtime.ts";
import { version } from "./cli/version.ts";
import { isRoot } from "./disk/user.ts";
import type { Environment } from "./environment.ts";
import { describe, hasCode } from "./errors.ts";
import { ExitCode, RestorerError } from "./failures.ts";
import { type Log, StreamLog } from "./log.ts";
import { Progress } from "./progress.ts";
import { drained, isTerminal, openStreams, tryWriteText, writeText } from "./streams.ts";

/** What one run has to work with. */
export interface Session {
  readonly inputs: Inputs;
  readonly env: Environment;
  readonly log: Log;
  readonly progress: Progress;
  /** Aborted when the run is asked to stop. */
  readonly signal: AbortSignal;
  /** As the process was started with; while layers and images are written it is 0, and modes are given exactly. */
  readonly umask: number;
}

/** A run that does not begin, since something is wrong with its inputs. */
export interface RefusedRun extends Pick<Session, "log" | "umask"> {
  readonly inputs: RefusedInputs;
  readonly error: unknown;
}

/**
 * The edge of the program: the only place that reads the process's arguments and environment, and that exits.
 * Runs `story` with resolved inputs, or `refused` where they cannot be resolved, and turns what went wrong into a message
 * and an exit code (contract §1).
 */
export async function runSession(
  story: (session: Session) => Promise<void>,
  refused: (run: RefusedRun) => void,
): Promise<never> {
  // It stands in for `lifecycle restore`.
  const argv = process.argv.slice(process.argv[2] === "restore" ? 3 : 2);
  const info = requestedInfo(argv);
  if (info !== undefined) {
    const exitCode = printInfo(info, info === "help" ? await help() : `restorer ${version}`);
    await drained();
    process.exit(exitCode);
  }

  openStreams();
  const { env } = process;
  const isCapable = isTerminal(2) && env["TERM"] !== "dumb";
  const progress = new Progress(isCapable);
  let log = new StreamLog("info");
  let signal: AbortSignal | undefined;
  let exitCode: number = ExitCode.ok;
  try {
    const dangers = disarmRuntime(env, isRoot());
    const inputs = readInputs(argv, env);
    log = new StreamLog(inputs.logLevel, {
      colors: isCapable && !inputs.noColor,
      leavesStdout: inputs.reportPath === "-",
      beforeWrite: () => progress.clear(),
    });
    for (const warning of [...dangers, ...inputs.warnings]) log.warn(warning);
    signal = abortOnSignal((reason) => process.exit(report(reason, log)));
    await story({ inputs, env, log, progress, signal, umask: process.umask() });
  } catch (error) {
    if (signal === undefined) refused({ error, inputs: readRefusedInputs(argv, env), umask: process.umask(), log });
    // Whatever came of stopping, being asked to stop is the reason.
    exitCode = report(signal?.aborted === true ? signal.reason : error, log);
  }
  log.flush();
  await drained();
  process.exit(exitCode);
}

/** Says on the log why a run ends, and returns its exit code. */
function report(error: unknown, log: Log): number {
  if (error instanceof Interrupted) {
    log.warn(error.message);
    return error.exitCode;
  }
  const isExpected = error instanceof RestorerError;
  const hint = isExpected && error.hint !== undefined ? `\n${error.hint}` : "";
  log.error(`${isExpected ? error.message : describe(error)}${hint}`);
  if (log.level === "debug" && error instanceof Error) log.debug(Bun.inspect(error));
  return isExpected ? error.exitCode : ExitCode.failed;
}

async function help(): Promise<string> {
  // yargs looks for a package.json in the current directory, which may hold anybody's files.
  process.chdir("/");
  const { helpText } = await import("./cli/help.ts");
  return helpText(process.stdout.columns || 100);
}

/** Prints what was asked for, and returns the exit code: somebody waits for it, so a full disk is an error. */
function printInfo(what: string, text: string): number {
  try {
    writeText(1, `${text}\n`);
    return ExitCode.ok;
  } catch (error) {
    // `restorer -help | head` has seen enough.
    if (hasCode(error, "EPIPE")) return ExitCode.ok;
    tryWriteText(2, `ERROR: write the ${what} to stdout: ${describe(error)}\n`);
    return ExitCode.failed;
  }
}
