import { have, isRoot, type RunResult, restorerPath, runRestorer } from "./harness.ts";

/** Whether this process may make mount namespaces, which takes more than being root. */
export const canMount =
  isRoot && have("unshare") && Bun.spawnSync(["unshare", "-m", "true"], { stderr: "ignore" }).exitCode === 0;

/** Runs the executable where `binds` are mounted, each a directory and the place it is mounted at; for nobody else. */
export function runWithMounts(
  binds: readonly (readonly [from: string, to: string])[],
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<RunResult> {
  const mounts = binds.map(([from, to]) => `mount --bind '${from}' '${to}' && `).join("");
  const command = ["unshare", "-m", "sh", "-c", `${mounts}exec "$@"`, "sh", restorerPath()];
  return runRestorer(args, { command, env: { HOME: "/nonexistent", ...env }, cwd: "/" });
}
