import { afterAll, beforeAll, describe, expect } from "bun:test";
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  canRunAs,
  have,
  isRoot,
  type RunResult,
  restorerPath,
  runRestorer,
  skipUnless,
  tempDir,
} from "../support/harness.ts";
import { all, Caches, directory, layersDir } from "./versions.ts";

/** A user without any other process: the limit counts all of a user's threads, and does not bind root. */
const lonely = 54_321;
const canLimit = isRoot && have("prlimit") && canRunAs(lonely);

describe("a limit on threads:", () => {
  let caches: Caches;
  beforeAll(() => {
    caches = new Caches(8, 100 * 1024);
  });
  afterAll(() => caches[Symbol.dispose]());

  skipUnless(canLimit, "root, setpriv, prlimit, and an executable that other users may run")(
    "however few there may be, a run ends well or with a reason, or does not begin",
    async () => {
      const ends = new Set<string>();
      for (const count of [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 32]) {
        using dir = tempDir("threads");
        const layers = layersDir(dir, "layers");
        Bun.spawnSync(["chown", "-R", String(lonely), layers]);
        const result = await runLimited(count, caches.args(layers, "red"));
        ends.add(judge(result, existsSync(join(layers, directory)) ? caches.states(layers) : []));
      }
      // With 32 it goes well on a machine of any size that tests run on.
      expect([...ends].filter((end) => !["well", "refused", "not begun"].includes(end))).toEqual([]);
      expect(ends).toContain("refused");
      expect(ends).toContain("well");
    },
  );
});

/** Whether control groups can be made that bound processes, and where. */
const groups = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].find(isRoot ? mayBound : () => false);

function mayBound(parent: string): boolean {
  const group = join(parent, `restorer-test-${process.pid}`);
  try {
    mkdirSync(group);
    const isBounding = existsSync(join(group, "pids.max"));
    rmdirSync(group);
    return isBounding;
  } catch {
    return false;
  }
}

describe("a limit on the threads of a control group:", () => {
  skipUnless(groups !== undefined, "root, and control groups for processes that can be made")(
    "however few there may be, a run ends well or with a reason, or does not begin",
    async () => {
      using caches = new Caches(40);
      const group = join(groups ?? "", `restorer-test-${process.pid}`);
      mkdirSync(group);
      try {
        const ends = new Set<string>();
        for (const count of [3, 4, 6, 7, 8, 9, 10, 12, 16, 40]) {
          using dir = tempDir("threads");
          writeFileSync(join(group, "pids.max"), String(count));
          const layers = layersDir(dir, "layers");
          const command = ["sh", "-c", `echo $$ >${group}/cgroup.procs && exec "$@"`, "sh", restorerPath()];
          const result = await runRestorer(caches.args(layers, "red"), { command });
          ends.add(judge(result, existsSync(join(layers, directory)) ? caches.states(layers) : []));
        }
        expect([...ends].filter((end) => !["well", "refused", "not begun"].includes(end))).toEqual([]);
        expect(ends).toContain("refused");
        expect(ends).toContain("well");
      } finally {
        rmdirSync(group);
      }
    },
  );
});

/** How a run ended, in a word where that is as promised. The runtime ends itself where it lacks threads of its own (SECURITY.md). */
function judge({ exitCode, signal, stdout, stderr }: RunResult, states: readonly string[]): string {
  if (exitCode === 0 && states.join() === all("red").join()) return "well";
  if (signal === "SIGABRT" && states.length === 0 && stdout === "") return "not begun";
  const isTold = stderr.startsWith("ERROR: restore layers: a worker thread failed: ") && !stderr.includes("Bun");
  if (exitCode === 1 && isTold && states.every((state) => state === "absent")) return "refused";
  return `${exitCode ?? signal}, ${states.join()}: ${stderr}`;
}

function runLimited(count: number, args: readonly string[]): Promise<RunResult> {
  const ids = ["setpriv", `--reuid=${lonely}`, `--regid=${lonely}`, "--clear-groups", "--"];
  return runRestorer(args, { command: [...ids, "prlimit", `--nproc=${count}`, restorerPath()] });
}
