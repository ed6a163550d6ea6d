import { describe, expect, test } from "bun:test";
import { runRestorer } from "../support/harness.ts";
import { expectWhole, scene } from "./scene.ts";

describe("the command line", () => {
  test("`restore` as the first argument stands for `lifecycle restore`", async () => {
    using made = scene();
    const args = ["restore", "-layers", made.layers, "-cache-dir", made.cache.path];
    expect(await runRestorer(args)).toMatchObject({ exitCode: 0, stderr: "" });
    expectWhole(made);
    expect((await runRestorer(["restore", "restore"])).exitCode).toBe(3);
  });

  test("without CNB_PLATFORM_API there is a warning, and the newest", async () => {
    using made = scene();
    const { exitCode, stderr } = await made.run([], { env: { CNB_PLATFORM_API: undefined } });
    expect({ exitCode, stderr }).toEqual({
      exitCode: 0,
      stderr: "Warning: CNB_PLATFORM_API is not set, assuming the newest, 0.15\n",
    });
    expectWhole(made);
  });

  test("everything may come from the environment", async () => {
    using made = scene();
    const env = { CNB_LAYERS_DIR: made.layers, CNB_CACHE_DIR: made.cache.path, CNB_LOG_LEVEL: "error" };
    expect(await runRestorer([], { env })).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
    expectWhole(made);
  });
});
