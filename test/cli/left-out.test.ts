import { describe, expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { groupToml } from "../support/cache-fixture.ts";
import { runRestorer } from "../support/harness.ts";
import { type Scene, scene } from "./scene.ts";

/** The lines of stdout that are not the summary, and the report of the run. */
async function restore(made: Scene, args: readonly string[] = []) {
  const path = made.dir.join("report.json");
  const { exitCode, stdout, stderr } = await made.run([...args, "-report", path]);
  return { exitCode, stdout, stderr, report: JSON.parse(readFileSync(path, "utf8")) };
}

describe("a buildpack of the cache that the group lacks", () => {
  const two = (tree: string) => [
    { id: "example/node", layers: ["a", "b"].map((name) => ({ name, tree })) },
    { id: "other", layers: [{ name: "c", tree }] },
    { id: "bp", layers: [{ name: "deps", tree }] },
  ];

  test("is named in one line with its layers, and in the report", async () => {
    using made = scene({ buildpacks: two, group: groupToml([{ id: "bp" }]) });
    const { exitCode, stdout, stderr, report } = await restore(made, ["-strict"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    const lines = stdout.split("\n").filter((line) => line.startsWith("The cache also holds"));
    expect(lines).toEqual([
      "The cache also holds example/node (2 layers), which is not in group.toml",
      "The cache also holds other (1 layer), which is not in group.toml",
    ]);
    expect(report.notInGroup).toEqual([
      { buildpack: "example/node", layers: 2 },
      { buildpack: "other", layers: 1 },
    ]);
  });

  test.each([
    ["", '""'],
    [" ", '" "'],
    ["my node", '"my node"'],
    ["x\nERROR: forged", '"x\\nERROR: forged"'],
  ])("whose id is not a plain word is quoted: %j", async (id, shown) => {
    using made = scene({ buildpacks: (tree) => [{ id, layers: [{ name: "a", tree }] }], group: groupToml([]) });
    const { stdout } = await restore(made);
    expect(stdout).toContain(`The cache also holds ${shown} (1 layer), which is not in group.toml\n`);
  });

  test("is not spoken of with skipped layers, or where all are in the group", async () => {
    using made = scene({ buildpacks: two, group: groupToml([{ id: "bp" }]) });
    expect((await restore(made, ["-skip-layers"])).stdout).not.toContain("The cache also holds");
    using whole = scene();
    expect((await restore(whole)).stdout).not.toContain("The cache also holds");
  });
});

describe("a cache that was not used is not said to have been looked at:", () => {
  const analyzed = { buildpacks: [{ id: "bp", layers: [{ name: "deps", cache: true }] }] };

  test("one that cannot be read", async () => {
    using made = scene({ analyzed });
    writeFileSync(made.cache.metadataPath, "not JSON");
    const { stdout, report } = await restore(made);
    expect(stdout).toContain('Not restoring "bp:deps": cache=true in the app image, but the cache was not used');
    expect(report.layers).toMatchObject([{ layer: "deps", outcome: "skipped", code: "cache-unused" }]);
  });

  test("none given", async () => {
    using made = scene({ analyzed });
    const { stdout } = await runRestorer(["-layers", made.layers]);
    expect(stdout).toContain("but the cache was not used");
  });

  test("one that holds nothing yet was looked at", async () => {
    using made = scene({ analyzed });
    rmSync(made.cache.committed, { recursive: true });
    const { report } = await restore(made);
    expect(report.layers).toMatchObject([{ layer: "deps", code: "not-cached" }]);
  });
});
