import { type RunResult, runRestorer } from "../support/harness.ts";

/** Runs a command of the desk. */
export function desk(...args: string[]): Promise<RunResult> {
  return runRestorer(args, { env: { CNB_PLATFORM_API: undefined } });
}

/** Runs it for data. */
export async function data(...args: string[]) {
  const { exitCode, stdout, stderr } = await desk(...args, "-output", "json");
  return { exitCode, stderr, found: JSON.parse(stdout) };
}
