import { describe, expect, test } from "bun:test";
import { attacks } from "../archive/attack-table.ts";
import type { Scene } from "../archive/attacks/attack.ts";
import { makeCache } from "../support/cache-fixture.ts";
import { canaryTree } from "../support/canary.ts";
import { runRestorer, snapshot, tempDir } from "../support/harness.ts";

const buildpack = "attack/table";
const directory = "attack_table";
/** How long a path is depends on where layers are restored. */
const dependsOnPlace = "path-of-4096-bytes";
const rows = Object.values(attacks)
  .flat()
  .filter(({ name }) => name !== dependsOnPlace);

describe("verify judges every archive of the attack table as a restore does", () => {
  const state = new Map<string, { state: string; reason?: string }>();

  test("in one run that changes nothing", async () => {
    using dir = tempDir("attacks", { canary: canaryTree });
    const sceneOf = (layer: string): Scene => ({
      at: `/layers/${directory}/${layer}`,
      buildpack: `/layers/${directory}`,
      layer,
      // What verify takes for granted.
      layersDir: "/layers",
      canary: dir.join("canary"),
    });
    const layers = rows.map((row) => ({ name: row.name, tar: row.archive(sceneOf(row.name)) }));
    const cache = makeCache(dir.join("cache"), [{ id: buildpack, layers }]);
    const before = snapshot(dir.path);
    const { exitCode, stdout } = await runRestorer(["verify", cache.path, "-output", "json"]);
    expect(exitCode).toBe(42);
    for (const { layer, ...found } of JSON.parse(stdout).layers) state.set(layer, found);
    expect(snapshot(dir.path)).toEqual(before);
    expect(state.size).toBe(rows.length);
  });

  test.each(rows.map((row) => [row.name, row] as const))("%s", (name, { outcome }) => {
    const found = state.get(name);
    if (!("refused" in outcome)) return expect(found).toMatchObject({ state: "sound" });
    // What a restore has from the file system, verify has to know.
    const reason = outcome.refused === "name too long" ? "longer than" : outcome.refused;
    expect(found).toMatchObject({ state: "bad", reason: expect.stringContaining(reason) });
  });
});
