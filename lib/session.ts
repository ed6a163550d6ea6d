import { constants } from "node:os";
import { type Inputs, readInputs, requestedInfo } from "./cli/inputs.ts";
import { refuseDangerousEnvironment } from "./cli/runtime.ts";
import { version } from "./cli/version.ts";
import type { Environment } from "./environment.ts";
import { describe } from "./errors.ts";
import { ExitCode, RestorerError } from "./failures.ts";
import { createLog, isTerminal, type Log, writeAll } from "./log.ts";
import { Progress } from "./progress.ts";

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

/** A signal that asks the run to stop. */
class Interrupted extends Error {
  readonly exitCode: number;

  constructor(signal: "SIGINT" | "SIGTERM" | "SIGHUP" | "SIGQUIT") {
    super(`stopped by ${signal}`);
    this.exitCode = 128 + constants.signals[signal];
  }
}

/** How long a run may take to clean up behind itself once it is asked to stop. */
const cleanUpMs = 900;

/**
 * The edge of the program: the only place that reads the process's arguments and environment, and that exits.
 * Runs `story` with resolved inputs and turns what it throws into a message and an exit code (contract §1).
 */
export async function runSession(story: (session: Session) => Promise<void>): Promise<never> {
  const argv = process.argv.slice(process.argv[2] === "restore" ? 3 : 2);
  const info = requestedInfo(argv);
  if (info === "version") return exitWith(`restorer ${version}\n`);
  if (info === "help") {
    // yargs looks for a package.json in the current directory, which may hold anybody's files.
    process.chdir("/");
    return exitWith(`${await (await import("./cli/help.ts")).helpText(process.stdout.columns || 100)}\n`);
  }

  const progress = new Progress();
  let log = createLog("info", { stdout: false, stderr: false });
  let exitCode: number = ExitCode.ok;
  let signal: AbortSignal | undefined;
  try {
    const dangers = refuseDangerousEnvironment(process.env, process.geteuid?.() === 0);
    const inputs = readInputs(argv, process.env);
    log = createLog(inputs.logLevel, colors(inputs), () => progress.clear());
    for (const warning of [...dangers, ...inputs.warnings]) log.warn(warning);
    signal = listen(log);
    await story({ inputs, env: process.env, log, progress, signal, umask: process.umask() });
  } catch (error) {
    // Whatever came of stopping, being asked to stop is the reason.
    exitCode = fail(signal?.aborted === true ? signal.reason : error, log);
  }
  log.flush();
  process.exit(exitCode);
}

function colors({ noColor }: Inputs): { stdout: boolean; stderr: boolean } {
  return {
    stdout: !noColor && isTerminal(1),
    stderr: !noColor && isTerminal(2),
  };
}

/** Aborts the returned signal when the process is asked to stop; exits by force should cleaning up take too long. */
function listen(log: Log): AbortSignal {
  const aborter = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const) {
    process.on(name, () => {
      const interrupted = new Interrupted(name);
      if (aborter.signal.aborted) return;
      aborter.abort(interrupted);
      setTimeout(() => {
        log.warn(interrupted.message);
        log.flush();
        process.exit(interrupted.exitCode);
      }, cleanUpMs).unref();
    });
  }
  return aborter.signal;
}

function fail(error: unknown, log: Log): number {
  if (error instanceof Interrupted) {
    log.warn(error.message);
    return error.exitCode;
  }
  const hint = error instanceof RestorerError && error.hint !== undefined ? `\n${error.hint}` : "";
  const message = error instanceof RestorerError ? error.message : describe(error);
  log.error(`${message}${hint}`);
  if (log.level === "debug" && error instanceof Error) log.debug(Bun.inspect(error));
  return error instanceof RestorerError ? error.exitCode : ExitCode.failed;
}

function exitWith(text: string): never {
  writeAll(1, text);
  process.exit(ExitCode.ok);
}
