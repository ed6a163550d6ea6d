/** Root as in a pod with `drop: ALL, add: CHOWN, SETUID, SETGID`: mode bits hold for it, too (D21). */
import { chmodSync, chownSync } from "node:fs";
import { join } from "node:path";
import {
  have,
  isRoot,
  type RunResult,
  restorerPath,
  runRestorer,
  skipUnless,
  snapshot,
  type TempDir,
} from "./harness.ts";

const capabilities = ["--bounding-set=-all,+chown,+setuid,+setgid", "--inh-caps=-all"];

/** The user whom it becomes. */
export const uid = 12345;
export const weakly = skipUnless(isRoot && have("setpriv"), "root and setpriv");

/** Gives a path to a user, and everything in it. */
export function give(path: string, owner = uid): void {
  for (const name of ["", ...snapshot(path).keys()]) chownSync(join(path, name), owner, owner);
}

/** Makes a path its owner's alone, and everything in it. */
export function lock(path: string): void {
  for (const [name, { type }] of snapshot(path)) chmodSync(join(path, name), type === "directory" ? 0o700 : 0o600);
  chmodSync(path, 0o700);
}

/** Restores into `layers` of a scene, as such a root that becomes the user. */
export function restoreWeakly(
  dir: TempDir,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<RunResult> {
  const command = ["setpriv", ...capabilities, restorerPath()];
  const ids = ["-uid", `${uid}`, "-gid", `${uid}`];
  return runRestorer(["-layers", dir.join("layers"), ...ids, ...args], { command, env });
}
