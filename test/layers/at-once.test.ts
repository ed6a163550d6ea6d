// Runs alone: it keeps all cores busy.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { makeCache } from "../support/cache-fixture.ts";
import { runRestorer, tempDir, writeTree } from "../support/harness.ts";
import { all, buildpack, Caches, clean, directory, layersDir } from "./versions.ts";

describe("restorers that run at once:", () => {
  let caches: Caches;
  beforeAll(() => {
    caches = new Caches(3000);
  });
  afterAll(() => caches[Symbol.dispose]());

  test("two or four on one layers directory: all end well, all is exact, nothing is left over", async () => {
    using dir = tempDir("twice");
    const layers = layersDir(dir);
    for (const versions of [
      ["red", "red"],
      ["red", "red"],
      ["blue", "blue", "blue", "blue"],
      ["blue", "blue"],
    ] as const) {
      const results = await Promise.all(versions.map((version) => runRestorer(caches.args(layers, version))));
      for (const result of results) expect(result).toMatchObject({ exitCode: 0, stderr: "" });
      expect(caches.states(layers)).toEqual(all(versions[0]));
      expect(readdirSync(layers).sort()).toEqual(clean);
    }
  });

  test("four over many small layers: all end well", async () => {
    const names = Array.from({ length: 40 }, (_, index) => `layer-${index}`);
    using dir = tempDir("race", { tree: { file: "text" } });
    const sboms = names.map((name) => [name, { "sbom.cdx.json": "{}", "sbom.spdx.json": "{}" }]);
    writeTree(dir.path, { sbom: { [directory]: Object.fromEntries(sboms) } });
    const contents = names.map((name) => ({ name, tree: dir.join("tree") }));
    makeCache(dir.join("cache"), [{ id: buildpack, layers: contents }], { sbom: { tree: dir.join("sbom") } });
    const layers = layersDir(dir);
    for (let round = 0; round < 8; round++) {
      writeTree(layers, { sbom: { launch: { other: { "sbom.cdx.json": "{}" } } } });
      const runs = Array.from({ length: 4 }, () => runRestorer(["-layers", layers, "-cache-dir", dir.join("cache")]));
      for (const result of await Promise.all(runs)) expect(result).toMatchObject({ exitCode: 0, stderr: "" });
      expect(readdirSync(layers).sort()).toEqual(clean);
      expect(readdirSync(join(layers, directory)).length).toBe(names.length * 4);
    }
  });

  test("two on one cache: both restore all of it", async () => {
    using dir = tempDir("shared-cache");
    const places = [layersDir(dir, "one"), layersDir(dir, "two")];
    const results = await Promise.all(places.map((layers) => runRestorer(caches.args(layers, "red"))));
    for (const result of results) expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    for (const layers of places) expect(caches.states(layers)).toEqual(all("red"));
  });
});
