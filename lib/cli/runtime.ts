import { type Stats, statSync } from "node:fs";
import { isSame } from "../disk/identity.ts";
import type { Environment } from "../environment.ts";
import { ExitCode, RestorerError } from "../failures.ts";
import type { Inputs } from "./inputs.ts";

type MutableEnvironment = Record<string, string | undefined>;

/** Variables by which the runtime inside the executable loads other code, or lets a debugger in (SECURITY.md). */
const foreignCode = ["BUN_OPTIONS", "BUN_INSPECT", "BUN_INSPECT_CONNECT_TO", "BUN_INSPECT_PRELOAD"] as const;

/**
 * The settings that the self-contained executable starts its runtime with (`build/stub-x64.S`), spelled as nobody else would:
 * what the user set stays.
 */
const ownSettings: readonly (readonly [name: string, value: string])[] = [
  ["BUN_JSC_useJIT", "no"],
  ["BUN_JSC_useJIT", "yes"],
  ["BUN_JSC_useFTLJIT", "no"],
  ["BUN_JSC_useWarmUpMarkedBlocks", "no"],
];

/** Beginning again takes some 10 ms. From so many bytes of TOML on, what compilers save is more. */
const longRunBytes = 96 * 1024;

/** What was done to the environment. */
interface Disarmed {
  readonly warnings: readonly string[];
  /** What it held where something was taken from it. */
  readonly taken: Environment;
}

/**
 * Takes from the environment what would turn the runtime that this executable is built with against its user, with
 * warnings that say so. Variables that bring in other code have done so already: for root they end the run. Throws a
 * RestorerError (exit 1).
 */
export function disarmRuntime(env: MutableEnvironment, isRoot: boolean): Disarmed {
  const warnings: string[] = [];
  const taken: MutableEnvironment = {};
  // The runtime has read it; no child shall.
  for (const [name, value] of ownSettings) {
    if (env[name] !== value) continue;
    taken[name] = value;
    delete env[name];
  }
  const found: string[] = [];
  for (const name of foreignCode) if ((env[name] ?? "") !== "") found.push(name);
  if (found.length > 0 && isRoot) {
    throw new RestorerError(`${found.join(" and ")} would let other code into a process that runs as root`, {
      exitCode: ExitCode.failed,
      hint: `Unset ${found.join(" and ")} for the restorer.`,
    });
  }
  for (const name of found) warnings.push(`${name} is set, which lets other code into this process`);

  if (env["NODE_TLS_REJECT_UNAUTHORIZED"] === "0") {
    taken["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    delete env["NODE_TLS_REJECT_UNAUTHORIZED"];
    warnings.push(
      "Ignoring NODE_TLS_REJECT_UNAUTHORIZED=0: certificates are verified; name further authorities with SSL_CERT_FILE",
    );
  }
  const verbose = (env["BUN_CONFIG_VERBOSE_FETCH"] ?? "").toLowerCase();
  if (!["", "0", "false"].includes(verbose)) {
    taken["BUN_CONFIG_VERBOSE_FETCH"] = env["BUN_CONFIG_VERBOSE_FETCH"];
    // The runtime keeps the value it started with unless it is given another one.
    env["BUN_CONFIG_VERBOSE_FETCH"] = "false";
    warnings.push("Ignoring BUN_CONFIG_VERBOSE_FETCH, which would print credentials");
  }
  return { warnings, taken };
}

/**
 * A restore that is given no cache and no image starts without compilers, for it is over before they pay
 * (`build/stub-x64.S`). One that has much to read all the same begins again with them: nothing is done or told yet.
 * `taken` is what `disarmRuntime` took from `env`. Returns where there is nothing to gain, or where the system refuses: then
 * it takes longer.
 */
export function compileIfLong(
  { groupPath, analyzedPath, runPath }: Inputs,
  env: Environment,
  taken: Environment,
): void {
  if (taken["BUN_JSC_useJIT"] !== "no") return;
  const isLong = (path: string) => (lookAt(path)?.size ?? 0) >= longRunBytes;
  if (!(isLong(groupPath) || isLong(analyzedPath) || isLong(runPath))) return;
  // In an emulator /proc/self/exe may be the emulator.
  const [running, named] = [lookAt("/proc/self/exe"), lookAt(process.execPath)];
  if (running === undefined || named === undefined || !isSame(running, named)) return;
  try {
    const startedWith = { ...env, ...taken, BUN_JSC_useJIT: "yes" };
    process.execve?.("/proc/self/exe", [process.argv0, ...process.argv.slice(2)], startedWith);
  } catch {
    // As it was started, then, and without the runtime's words about execve.
    process.removeAllListeners("warning");
  }
}

/** Undefined for what cannot be looked at: whoever reads it says why. */
function lookAt(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
