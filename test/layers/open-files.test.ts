import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type RunResult, restorerPath, runRestorer, tempDir } from "../support/harness.ts";
import { all, Caches, directory, layersDir } from "./versions.ts";

describe("a limit on open files:", () => {
  let caches: Caches;
  beforeAll(() => {
    caches = new Caches(200);
  });
  afterAll(() => caches[Symbol.dispose]());

  test("64 open files are enough", async () => {
    using dir = tempDir("emfile");
    const layers = layersDir(dir);
    const result = await runLimited("ulimit -n 64", caches.args(layers, "red"));
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expect(caches.states(layers)).toEqual(all("red"));
  });

  test("too few open files end with exit 42 or 1 and a reason, or well; no layer is half there", async () => {
    using dir = tempDir("emfile");
    for (const count of [40, 30, 24, 20, 16, 12]) {
      const layers = layersDir(dir, `layers-${count}`);
      const result = await runLimited(`ulimit -n ${count}`, caches.args(layers, "red"));
      expect(
        existsSync(join(layers, directory)) ? caches.states(layers).filter((s) => !["red", "absent"].includes(s)) : [],
      ).toEqual([]);
      if (result.exitCode === 0) expect(caches.states(layers)).toEqual(all("red"));
      else
        expect({
          exitCode: result.exitCode,
          known: [1, 42].includes(result.exitCode ?? -1),
          stderr: result.stderr,
        }).toMatchObject({ known: true });
    }
  });
});

/** Runs the executable under a shell's resource limit. */
function runLimited(limit: string, args: readonly string[]): Promise<RunResult> {
  return runRestorer(args, { command: ["sh", "-c", `${limit} && exec "$@"`, "sh", restorerPath()] });
}
