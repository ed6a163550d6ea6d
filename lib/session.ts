import { type CommandName, commandNamed, type DeskCommand, usageHint } from "./cli/commands.ts";
import type { Inputs } from "./cli/inputs.ts";
import { readInputs, readPlatformApi, requestedInfo, resolveInputs } from "./cli/inputs.ts";
import { abortOnSignal, Ending, Interrupted } from "./cli/interrupt.ts";
import type { Options } from "./cli/options.ts";
import { asksForJson, type RefusedInputs, readRefusedInputs } from "./cli/report-path.ts";
import { compileIfLong, disarmRuntime } from "./cli/runtime.ts";
import { version } from "./cli/version.ts";
import { mayHoldDirectories, refuseFewDescriptors } from "./disk/descriptors.ts";
import { isRoot } from "./disk/user.ts";
import type { Environment } from "./environment.ts";
import type { ErrorCode } from "./error-codes.ts";
import { describe, hasCode } from "./errors.ts";
import { ExitCode, RestorerError } from "./failures.ts";
import { type Log, StreamLog } from "./log.ts";
import { Progress } from "./progress.ts";
import { drained, isTerminal, openStreams, ReaderGone, tryWriteText, writeText } from "./streams.ts";

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

/** How a run begins and ends. */
interface Run {
  /** Reads what it is asked to do. Throws RestorerErrors. */
  readonly inputs: () => Promise<Inputs> | Inputs;
  /** Whether information goes to stderr, since stdout is for what was asked. */
  readonly leavesStdout: (inputs: Inputs) => boolean;
  /** Returns the exit code. */
  readonly story: (session: Session) => Promise<number>;
  readonly refused: (error: unknown, log: Log) => Promise<void> | void;
  /** How it is called, where that is not told by what is wrong with its arguments. */
  readonly usage?: string;
}

/**
 * The edge of the program: the only place that reads the process's arguments and environment, and that exits.
 * Runs `story` with resolved inputs, or `refused` where they cannot be resolved, and turns what went wrong into a message
 * and an exit code (contract §1).
 */
export async function runSession(
  argv: readonly string[],
  story: (session: Session) => Promise<void>,
  refused: (run: RefusedRun) => Promise<void> | void,
): Promise<never> {
  const info = requestedInfo(argv);
  if (info !== undefined)
    await printAndExit(info, info === "help" ? await help(commandToHelpWith(argv)) : `restorer ${version}`);
  const { env } = process;
  return run({
    inputs: async () => {
      const [word = ""] = argv;
      if (word !== "" && !word.startsWith("-")) throw await notACommand(word);
      const inputs = readInputs(argv, env);
      if (opensMuch(inputs)) refuseFewDescriptors();
      return inputs;
    },
    leavesStdout: ({ reportPath }) => reportPath === "-",
    story: async (session) => {
      await story(session);
      return ExitCode.ok;
    },
    refused: (error, log) => refused({ error, inputs: readRefusedInputs(argv, env), umask: process.umask(), log }),
  });
}

/**
 * As `runSession`, for the commands of the desk: their results go to stdout, so the log does not. `refused` is only for those
 * who want JSON.
 */
export async function runCommand(
  command: DeskCommand,
  argv: readonly string[],
  story: (session: Session, options: Options) => Promise<number>,
  refused: (error: unknown) => Promise<void>,
): Promise<never> {
  const { env } = process;
  let options: Options | undefined;
  return run({
    inputs: async () => {
      refuseFewDescriptors();
      const { parseCommandLine } = await import("./cli/command-line.ts");
      const { readOptions } = await import("./cli/options.ts");
      const platformApi = command === "explain" ? readPlatformApi(env) : undefined;
      const line = parseCommandLine(command, argv, platformApi);
      if (line.given.booleans.get("help") === true) await printAndExit("help", await help(command));
      if (line.given.booleans.get("version") === true) await printAndExit("version", `restorer ${version}`);
      options = readOptions(command, line, env);
      return resolveInputs(line.given, env, { command, platformApi });
    },
    leavesStdout: () => true,
    usage: usageHint(command),
    story: async (session) => (options === undefined ? ExitCode.failed : story(session, options)),
    refused: async (error) => {
      if (asksForJson(argv, env)) await refused(error);
    },
  });
}

/** Whether a restore has more to open than what tells it what to do: caches, images, and what stands where it works. */
function opensMuch(inputs: Inputs): boolean {
  const { cacheDir, cacheImage, cacheFrom, buildImage, appImage, daemon, layout, uid, gid, layersDir } = inputs;
  const named = cacheDir ?? cacheImage ?? buildImage ?? appImage ?? uid ?? gid;
  return named !== undefined || cacheFrom.length > 0 || daemon || layout || mayHoldDirectories(layersDir);
}

async function run({ inputs: readInputs, leavesStdout, story, refused, usage }: Run): Promise<never> {
  openStreams();
  const { env } = process;
  const isCapable = isTerminal(2) && env["TERM"] !== "dumb";
  const progress = new Progress(isCapable);
  let log = new StreamLog("info");
  let signal: AbortSignal | undefined;
  let exitCode: number = ExitCode.ok;
  const ending = new Ending((reason) => report(reason, log, usage));
  try {
    const { warnings: dangers, taken } = disarmRuntime(env, isRoot());
    const inputs = await readInputs();
    compileIfLong(inputs, env, taken);
    log = new StreamLog(inputs.logLevel, {
      colors: isCapable && !inputs.noColor,
      leavesStdout: leavesStdout(inputs),
      beforeWrite: () => progress.clear(),
    });
    for (const warning of dangers) log.warn(warning, "runtime");
    for (const warning of inputs.warnings) log.warn(warning, "input");
    signal = abortOnSignal((reason) => {
      const late = ending.because(reason);
      setTimeout(() => process.exit(late), lastWordsMs);
    });
    exitCode = await story({ inputs, env, log, progress, signal, umask: process.umask() });
  } catch (error) {
    if (signal === undefined) await refused(error, log);
    // Whatever came of stopping, being asked to stop is the reason.
    ending.because(signal?.aborted === true ? signal.reason : error);
  }
  log.flush();
  await drained();
  process.exit(ending.exitCode ?? exitCode);
}

/** How long a run that is late in stopping has for its last words to be read, or to come to its end after all. */
const lastWordsMs = 90;

/** Says on the log why a run ends, and returns its exit code. */
function report(error: unknown, log: Log, usage: string | undefined): number {
  if (error instanceof Interrupted) {
    log.warn(error.message, "interrupted");
    return exitCodeOf(error);
  }
  if (error instanceof ReaderGone) return ExitCode.ok;
  const isExpected = error instanceof RestorerError;
  const own = isExpected ? error.hint : undefined;
  const hint = isExpected && error.code === "invalid-arguments" ? (usage ?? own) : own;
  log.error(`${isExpected ? error.message : describe(error)}${hint === undefined ? "" : `\n${hint}`}`);
  if (log.level === "debug" && error instanceof Error) log.debug(Bun.inspect(error));
  return exitCodeOf(error);
}

/** The exit code of a run that ends for this reason. */
export function exitCodeOf(reason: unknown): number {
  return reason instanceof Interrupted || reason instanceof RestorerError ? reason.exitCode : ExitCode.failed;
}

/** The stable code of the reason for which a run ends. */
export function codeOf(reason: unknown): ErrorCode {
  if (reason instanceof RestorerError) return reason.code;
  return reason instanceof Interrupted ? "interrupted" : "failed";
}

/** `restorer -help verify` is what `restorer help verify` is. */
function commandToHelpWith([, word = "", ...others]: readonly string[]): CommandName {
  return others.length > 0 ? "restore" : (commandNamed(word)?.name ?? "restore");
}

async function notACommand(word: string): Promise<RestorerError> {
  const { unknownCommand } = await import("./cli/command-line.ts");
  return unknownCommand(word);
}

/** The help of a command, as wide as the terminal. */
export async function help(command: "restore" | DeskCommand): Promise<string> {
  // yargs looks for a package.json in the current directory, which may hold anybody's files.
  process.chdir("/");
  const { helpText } = await import("./cli/help.ts");
  return helpText(process.stdout.columns || 100, command);
}

/** Prints what was asked for, and exits: somebody waits for it, so a full disk is an error. */
async function printAndExit(what: string, text: string): Promise<never> {
  let exitCode: number = ExitCode.ok;
  try {
    writeText(1, `${text}\n`);
  } catch (error) {
    // `restorer -help | head` has seen enough.
    if (!hasCode(error, "EPIPE")) {
      tryWriteText(2, `ERROR: write the ${what} to stdout: ${describe(error)}\n`);
      exitCode = ExitCode.failed;
    }
  }
  await drained();
  process.exit(exitCode);
}
