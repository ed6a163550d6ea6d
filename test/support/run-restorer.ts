import { chownSync } from "node:fs";
import { checkDocuments } from "./documents.ts";
import { restorerPath } from "./restorer-path.ts";
import { have, isRoot } from "./skip.ts";
import { type TempDir, tempDir } from "./tree.ts";

/**
 * How long a test waits for a process before it counts as hanging, from when that process starts. Guards against hangs
 * only: nothing comes near it, however slow and busy the machine is.
 */
export const hangMs = 15 * 60_000;

export interface RunOptions {
  /** Added to the scrubbed environment; `undefined` unsets. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly stdin?: string | Uint8Array;
  /** Runs the executable as another user (as root, with `setpriv`); supplementary groups are cleared. */
  readonly uid?: number;
  readonly gid?: number;
  readonly umask?: number;
  /** SIGKILL after this long (default: {@link hangMs}). */
  readonly timeoutMs?: number;
  /** What runs instead of the executable, with the same arguments. */
  readonly command?: readonly string[];
}

export interface RunResult {
  readonly exitCode: number | null;
  /** What it died of: "SIGTERM". */
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A restorer that runs: for tests that send it signals or look at it meanwhile. */
export interface RunningRestorer {
  readonly pid: number;
  kill(signal: NodeJS.Signals): void;
  readonly result: Promise<RunResult>;
}

/** Whether root may run the executable as another user: it may lie where only root gets. */
export function canRunAs(uid: number): boolean {
  const command = commandLine(["-version"], { uid });
  return have("setpriv") && Bun.spawnSync(command, { stderr: "ignore" }).exitCode === 0;
}

/** Runs the compiled executable to its end, in an environment that holds nothing of the caller's but PATH. */
export function runRestorer(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return startRestorer(args, options).result;
}

/** Starts the compiled executable; see {@link runRestorer}. */
export function startRestorer(args: readonly string[], options: RunOptions = {}): RunningRestorer {
  const scratch = tempDir("run", { home: {}, kaniko: {} });
  if (isRoot && options.uid !== undefined) {
    for (const name of ["home", "kaniko"]) chownSync(scratch.join(name), options.uid, options.gid ?? options.uid);
  }
  const child = Bun.spawn(commandLine(args, options), {
    cwd: options.cwd ?? scratch.path,
    env: environment(scratch, options.env ?? {}),
    stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs ?? hangMs);
  const outcome = async (): Promise<RunResult> => {
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    clearTimeout(timer);
    if (options.command === undefined) checkDocuments(args, { ...options, cwd: options.cwd ?? scratch.path }, stdout);
    scratch[Symbol.dispose]();
    const signal = child.signalCode === null ? null : String(child.signalCode);
    return { exitCode: signal === null ? child.exitCode : null, signal, stdout, stderr };
  };
  return { pid: child.pid, kill: (signal) => child.kill(signal), result: outcome() };
}

function environment(scratch: TempDir, extra: NonNullable<RunOptions["env"]>): Record<string, string | undefined> {
  return {
    PATH: process.env.PATH,
    HOME: scratch.join("home"),
    CNB_PLATFORM_API: "0.15",
    CNB_KANIKO_DIR: scratch.join("kaniko"),
    ...extra,
  };
}

/** The wrappers only `exec`: the process id stays the executable's. */
function commandLine(args: readonly string[], options: RunOptions): string[] {
  const { uid, gid = uid, umask } = options;
  const command = [...(options.command ?? [restorerPath()]), ...args];
  if (uid !== undefined || gid !== undefined) {
    const ids = [uid === undefined ? [] : [`--reuid=${uid}`], gid === undefined ? [] : [`--regid=${gid}`]].flat();
    command.unshift("setpriv", ...ids, "--clear-groups", "--");
  }
  if (umask !== undefined) command.unshift("sh", "-c", `umask ${umask.toString(8)} && exec "$@"`, "sh");
  return command;
}
