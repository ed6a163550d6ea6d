import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync } from "node:fs";
import { analyzedToml, type CachedBuildpack, groupToml, makeCache } from "../support/cache-fixture.ts";
import { runRestorer, type TempDir, tempDir, writeTree } from "../support/harness.ts";
import { mount, withMounts } from "./mounts.ts";

/** A layers directory and a cache of these buildpacks. */
function scene(dir: TempDir, buildpacks: readonly CachedBuildpack[]): void {
  makeCache(dir.join("cache"), buildpacks);
  writeTree(dir.path, {
    layers: { "group.toml": groupToml(buildpacks.map(({ id }) => ({ id }))), "analyzed.toml": analyzedToml() },
  });
}

/** Restores; gives what the report says of each layer, in the order in which it says it. */
async function reported(dir: TempDir): Promise<string[]> {
  const path = dir.join("report.json");
  const { exitCode } = await runRestorer([
    "-layers",
    dir.join("layers"),
    "-cache-dir",
    dir.join("cache"),
    "-report",
    path,
  ]);
  expect(exitCode).toBe(0);
  const { layers } = JSON.parse(readFileSync(path, "utf8"));
  return layers.map(
    ({ buildpack, layer, outcome, code }: Record<string, string>) => `${buildpack}:${layer} ${outcome}: ${code}`,
  );
}

describe("the report", () => {
  test("names layers by buildpack and name, however the group and the cache order them and however they end", async () => {
    using dir = tempDir("report", { tree: { file: "text" } });
    const tree = dir.join("tree");
    scene(dir, [
      {
        id: "z",
        layers: [
          { name: "b", tree },
          { name: "a", cache: false },
        ],
      },
      {
        id: "b/p",
        layers: [
          { name: "y", tree },
          { name: "B", tree },
          { name: "store", tree },
          { name: "a", cache: false },
        ],
      },
    ]);
    expect(await reported(dir)).toEqual([
      "b/p:B restored: cached",
      "b/p:a skipped: cache-false",
      "b/p:store refused: reserved-name",
      "b/p:y restored: cached",
      "z:a skipped: cache-false",
      "z:b restored: cached",
    ]);
  });

  test("says of a blob that is not there that it is unavailable, of one that is not a layer that it is unusable", async () => {
    using dir = tempDir("report");
    scene(dir, [{ id: "bp", layers: [{ name: "absent" }, { name: "corrupt", tar: Buffer.from("x") }] }]);
    expect(await reported(dir)).toEqual(["bp:absent refused: blob-unavailable", "bp:corrupt refused: blob-unusable"]);
  });

  withMounts("says of a layer in the place of a mount point that its place is taken", async () => {
    using dir = tempDir("report", { tree: { file: "text" } });
    scene(dir, [{ id: "bp", layers: [{ name: "mounted", tree: dir.join("tree") }] }]);
    mkdirSync(dir.join("layers", "bp", "mounted"), { recursive: true });
    using _ = mount(dir.join("layers", "bp", "mounted"), "-t", "tmpfs", "tmpfs");
    expect(await reported(dir)).toEqual(["bp:mounted refused: place-taken"]);
  });
});
