import { expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import { layerTree } from "../cli/scene.ts";
import { groupToml } from "../support/cache-fixture.ts";
import { runRestorer, type TempDir, type Tree, tempDir } from "../support/harness.ts";
import { data, desk } from "./run.ts";

const layers: Tree = {
  "group.toml": groupToml([{ id: "a/b" }]),
  a_b: { one: layerTree, "one.toml": "[types]\ncache = true\n" },
};

async function exportTo(dir: TempDir, cache: string, from: string, uid: number): Promise<string> {
  const args = ["-layers", dir.join(from), "-cache-dir", dir.join(cache), "-uid", String(uid), "-gid", "7"];
  expect((await runRestorer(["make-cache", ...args])).exitCode).toBe(0);
  return dir.join(cache);
}

test("diff says how archives of the same files differ: their layers directory, owners, directories above the layer", async () => {
  using dir = tempDir("archives", { old: layers, new: layers });
  const before = await exportTo(dir, "before", "old", 5);
  const moved = await exportTo(dir, "moved", "new", 6);
  const change = `layers directory "${dir.join("old")}" → "${dir.join("new")}", owner 5:7 → 6:7`;
  const told = await desk("diff", before, moved);
  expect(told.stdout).toMatch(/^changed +a\/b:one +the same files in another archive: /m);
  expect(told.stdout).toContain(`another archive: ${change}\n`);
  const { found } = await data("diff", before, moved);
  expect(found.layers[0]).toMatchObject({ files: [], archive: change.split(", ") });

  chmodSync(dir.join("old"), 0o775);
  const widened = await exportTo(dir, "widened", "old", 5);
  const {
    layers: [one],
  } = (await data("diff", before, widened)).found;
  expect(one.archive).toEqual([`"${dir.join("old")}" mode 0755 → 0775`]);
});
