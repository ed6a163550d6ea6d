import { describe, expect, test } from "bun:test";
import { appendFileSync, chmodSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { layerTree } from "../cli/scene.ts";
import { groupToml, metadataName } from "../support/cache-fixture.ts";
import { runRestorer, type TempDir, type Tree, tempDir } from "../support/harness.ts";

const cached = "[types]\ncache = true\n";
const layers: Tree = {
  "group.toml": groupToml([{ id: "bp" }]),
  bp: { one: layerTree, "one.toml": cached, two: layerTree, "two.toml": cached },
};

/** A layers directory, and a cache that was made of it. */
async function exported(): Promise<TempDir> {
  const dir = tempDir("diff", { layers });
  const made = await runRestorer(["make-cache", "-layers", dir.join("layers"), "-cache-dir", dir.join("cache")]);
  expect(made.exitCode).toBe(0);
  return dir;
}

async function diff(dir: TempDir, ...words: string[]) {
  const args = ["diff", dir.join("cache"), `layers:${dir.join("layers")}`, ...words];
  const { exitCode, stdout, stderr } = await runRestorer([...args, "-output", "json", "-exit-code"]);
  const found: { buildpack: string; layer: string; outcome: string; code: string; files: unknown[] }[] =
    JSON.parse(stdout).layers;
  return { exitCode, stderr, found, codes: found.map(({ layer, outcome, code }) => [layer, outcome, code]) };
}

describe("diff CACHE layers:DIR", () => {
  test("foresees that a layer that has not changed is reused", async () => {
    using dir = await exported();
    const { exitCode, codes, stderr } = await diff(dir);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(codes).toEqual([
      ["one", "reused", "same-digest"],
      ["two", "reused", "same-digest"],
    ]);
  });

  test("foresees that a layer goes whose metadata no exporter could record", async () => {
    using dir = await exported();
    writeFileSync(dir.join("layers/bp/one.toml"), `${cached}[metadata]\nn = nan\n`);
    const again = await runRestorer(["make-cache", "-layers", dir.join("layers"), "-cache-dir", dir.join("again")]);
    expect(again.stdout).toMatch(/^skipped +bp:one .*JSON does not know$/m);
    expect((await diff(dir)).codes).toEqual([
      ["one", "dropped", "bad-toml"],
      ["two", "reused", "same-digest"],
    ]);
  });

  test("finds buildpacks by their directories where there is no group.toml", async () => {
    using dir = tempDir("ids", {
      layers: { "group.toml": groupToml([{ id: "a/b" }, { id: "c" }]), a_b: layers["bp"] ?? {}, c: layers["bp"] ?? {} },
    });
    await runRestorer(["make-cache", "-layers", dir.join("layers"), "-cache-dir", dir.join("cache")]);
    rmSync(dir.join("layers/group.toml"));
    const { found, exitCode } = await diff(dir);
    expect(found.map(({ buildpack, outcome }) => `${buildpack} ${outcome}`)).toEqual([
      "a/b reused",
      "a/b reused",
      "c reused",
      "c reused",
    ]);
    expect(exitCode).toBe(0);
  });

  test("names what is to blame: a file, a mode, a directory above the layer", async () => {
    using dir = await exported();
    appendFileSync(dir.join("layers/bp/one/bin/tool"), "x");
    chmodSync(dir.join("layers/bp/one/empty"), 0o700);
    rmSync(dir.join("layers/bp/one/latest"));
    writeFileSync(dir.join("layers/bp/one/new"), "");
    const one = await diff(dir, "bp:one");
    expect(one.exitCode).toBe(1);
    expect(one.found[0]?.files).toEqual([
      { change: "changed", path: "bin/tool", what: ["size 10 → 11 bytes", "content"] },
      { change: "changed", path: "empty", what: ["mode 0755 → 0700"] },
      { change: "removed", path: "latest", what: [] },
      { change: "added", path: "new", what: [] },
    ]);
    chmodSync(dir.join("layers"), 0o775);
    const two = await diff(dir, "bp:two");
    expect(two.found[0]?.files).toEqual([{ change: "changed", path: dir.join("layers"), what: ["mode 0755 → 0775"] }]);
  });

  test("tells layers that come, that go, that nobody has asked for, and those whose blobs are gone or bad", async () => {
    using dir = await exported();
    const { layers: shas } = JSON.parse(await Bun.file(dir.join("cache/committed", metadataName)).text()).buildpacks[0];
    writeFileSync(dir.join("layers/bp/one.toml"), "");
    rmSync(dir.join("layers/bp/two.toml"));
    Bun.spawnSync(["cp", "-r", dir.join("layers/bp/one"), dir.join("layers/bp/three")]);
    writeFileSync(dir.join("layers/bp/three.toml"), cached);
    const { found, codes } = await diff(dir);
    expect(codes).toEqual([
      ["one", "reused", "same-digest"],
      ["three", "new", "not-in-cache"],
      ["two", "dropped", "no-toml"],
    ]);
    expect(found[0]).toMatchObject({ reason: expect.stringContaining("its buildpack must ask for it again") });
    writeFileSync(dir.join("layers/bp/one/new"), "");
    const text = await runRestorer(["diff", dir.join("cache"), `layers:${dir.join("layers")}`, "one"]);
    expect(text.stdout).toMatch(
      /^anew +bp:one +its digest differs; but .* must ask for it again\nanew +bp:one +new +added$/m,
    );
    const blob = dir.join("cache/committed", `${shas.one.sha}.tar`);
    truncateSync(blob, 4096);
    expect((await diff(dir, "one")).codes).toEqual([["one", "anew", "blob-unusable"]]);
    rmSync(blob);
    expect((await diff(dir, "one")).codes).toEqual([["one", "anew", "blob-unavailable"]]);
  });

  test("compares a copy as if it lay where the cache was made, and says so", async () => {
    using dir = await exported();
    Bun.spawnSync(["cp", "-rp", dir.join("layers"), dir.join("copy")]);
    const copy = await runRestorer(["diff", dir.join("cache"), `layers:${dir.join("copy")}`]);
    expect(copy.stdout).toContain("2 layers: 2 reused\n");
    expect(copy.stderr).toContain(`as if "${dir.join("copy")}" lay there`);
    const wrong = await runRestorer(["diff", `layers:${dir.join("copy")}`, dir.join("cache")]);
    expect(wrong).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("second word") });
    const none = await runRestorer(["diff", dir.join("cache"), `layers:${join(dir.path, "none")}`]);
    expect(none).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("no such file or directory") });
  });
});
