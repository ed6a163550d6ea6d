import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Scene, scene } from "./scene.ts";

const root = resolve(import.meta.dir, "../..");

/** The methods that a run calls of those which cost a start the most. */
function costlyCalls(made: Scene, args: readonly string[]): string {
  const file = made.dir.join("calls");
  const preload = join(root, "test/support/costly-calls.ts");
  const { exitCode, stderr } = Bun.spawnSync(
    [process.execPath, "--preload", preload, join(root, "restorer.ts"), "-layers", made.layers, ...args],
    { cwd: root, env: { PATH: process.env.PATH, CNB_PLATFORM_API: "0.13", COSTLY_CALLS: file } },
  );
  expect([exitCode, stderr.toString().replace(/^Warning: No cached data .*\n/, "")]).toEqual([0, ""]);
  return readFileSync(file, "utf8");
}

describe("a start", () => {
  test("with nothing to do calls no array method that takes a function: the engine compiles each anew", () => {
    using made = scene();
    expect(costlyCalls(made, [])).toBe("");
  });

  test("with something to do may", () => {
    using made = scene();
    expect(costlyCalls(made, ["-cache-dir", made.cache.path])).toContain("map");
  });
});
