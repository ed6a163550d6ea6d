import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheMetadata, groupToml, makeCache } from "../support/cache-fixture.ts";
import { startFaultRegistry } from "../support/fault-registry.ts";
import { runRestorer, snapshot, type TempDir, tempDir, writeTree } from "../support/harness.ts";
import { testImage } from "../support/test-image.ts";

const names = ["one", "two", "three"] as const;

/** Caches `a`, `b` and `c` of the same three layers, and one of another build, `other`. */
function scene(): TempDir {
  const trees = Object.fromEntries(names.map((name) => [name, { file: `contents of ${name}` }]));
  const dir = tempDir("from", {
    trees,
    old: { file: "an old one" },
    layers: { "group.toml": groupToml([{ id: "bp" }]) },
  });
  const layers = names.map((name) => ({ name, tree: dir.join("trees", name) }));
  for (const cache of ["a", "b", "c"]) makeCache(dir.join(cache), [{ id: "bp", layers }]);
  makeCache(dir.join("other"), [{ id: "bp", layers: [{ name: "one", tree: dir.join("old") }] }]);
  return dir;
}

/** Where the blob of a layer lies in a cache. */
function blob(dir: TempDir, cache: string, name: string): string {
  const path = dir.join(cache, "committed");
  const metadata = JSON.parse(readFileSync(join(path, "io.buildpacks.lifecycle.cache.metadata"), "utf8"));
  return join(path, `${metadata.buildpacks[0].layers[name].sha}.tar`);
}

async function restore(dir: TempDir, args: readonly string[], env: Record<string, string> = {}) {
  const report = dir.join("report.json");
  const all = ["-layers", dir.join("layers"), "-report", report, ...args];
  const result = await runRestorer(all, { env });
  const { layers, cache } = JSON.parse(readFileSync(report, "utf8"));
  const origins: Record<string, string | undefined> = {};
  for (const { layer, cache: origin } of layers) origins[layer] = origin?.replace(`${dir.path}/`, "");
  return { ...result, said: (result.stdout + result.stderr).replaceAll(`${dir.path}/`, ""), origins, cache };
}

const from = (dir: TempDir, ...caches: string[]) => caches.flatMap((cache) => ["-cache-from", dir.join(cache)]);
const allOf = (origin: string) => Object.fromEntries(names.map((name) => [name, origin]));

describe("caches to fall back on", () => {
  test("are left alone where the first cache has everything", async () => {
    using dir = scene();
    rmSync(dir.join("b/committed"), { recursive: true });
    writeTree(dir.path, { b: { junk: "not a cache" } });
    const { exitCode, origins, stderr } = await restore(dir, ["-cache-dir", dir.join("a"), ...from(dir, "b")]);
    expect({ exitCode, origins }).toEqual({ exitCode: 0, origins: allOf("a") });
    expect(stderr).not.toContain("not a volume cache");
  });

  test.each([
    ["absent", (dir: TempDir) => rmSync(dir.join("a"), { recursive: true })],
    ["empty", (dir: TempDir) => rmSync(dir.join("a/committed"), { recursive: true })],
  ])("stand in for a first one that is %s, without a warning", async (_, change) => {
    using dir = scene();
    change(dir);
    const args = ["-cache-dir", dir.join("a"), ...from(dir, "b", "other")];
    const { exitCode, origins, said } = await restore(dir, [...args, "-strict"]);
    expect({ exitCode, origins }).toEqual({ exitCode: 0, origins: allOf("b") });
    expect(said).toContain('Using cache directory "b"');
    expect(said).not.toMatch(/^Warning: .*cache/m);
  });

  test("stand in for a first one that cannot be used, with a warning; a strict run ends", async () => {
    using dir = scene();
    writeFileSync(dir.join("a/committed/io.buildpacks.lifecycle.cache.metadata"), "{");
    const args = ["-cache-dir", dir.join("a"), ...from(dir, "b")];
    const strict = await restore(dir, [...args, "-strict"]);
    expect(strict.exitCode).toBe(42);
    expect(existsSync(dir.join("layers/bp"))).toBe(false);
    const { exitCode, origins, said } = await restore(dir, args);
    expect({ exitCode, origins }).toEqual({ exitCode: 0, origins: allOf("b") });
    expect(said).toContain("Warning: Not using the cache: cannot read cache metadata");
  });

  test("are tried in their order, by variable, too, and need no first cache", async () => {
    using dir = scene();
    rmSync(dir.join("b"), { recursive: true });
    const { origins } = await restore(dir, [], {
      CNB_CACHE_FROM: `${dir.join("b")}, ${dir.join("c")},${dir.join("a")}`,
    });
    expect(origins).toEqual(allOf("c"));
  });

  test.each([
    ["missing", (path: string) => rmSync(path), "no such file"],
    ["corrupt", (path: string) => writeFileSync(path, "x".repeat(4096)), "digest"],
  ])("give a blob that is %s in the cache that is used, of the same digest only", async (_, damage, why) => {
    using dir = scene();
    damage(blob(dir, "a", "two"));
    damage(blob(dir, "a", "three"));
    rmSync(blob(dir, "b", "three"));
    const before = ["a", "b", "c", "other"].map((cache) => snapshot(dir.join(cache)));
    const { exitCode, origins, said } = await restore(dir, [
      "-cache-dir",
      dir.join("a"),
      ...from(dir, "other", "b", "c"),
      "-strict",
    ]);
    expect({ exitCode, origins }).toEqual({ exitCode: 0, origins: { one: "a", two: "b", three: "c" } });
    expect(said).toMatch(new RegExp(`Restored "bp:two" from cache directory "b" instead: .*${why}`));
    for (const name of names) {
      expect(readFileSync(dir.join("layers/bp", name, "file"), "utf8")).toBe(`contents of ${name}`);
    }
    expect(["a", "b", "c", "other"].map((cache) => snapshot(dir.join(cache)))).toEqual(before);
  });

  test("that lack it as well cost the layer, with what is wrong in the cache that is used", async () => {
    using dir = scene();
    for (const cache of ["a", "b"]) rmSync(blob(dir, cache, "two"));
    const { exitCode, origins, said } = await restore(dir, ["-cache-dir", dir.join("a"), ...from(dir, "b", "other")]);
    expect({ exitCode, origins }).toEqual({ exitCode: 0, origins: { one: "a", two: undefined, three: "a" } });
    expect(said).toMatch(/Warning: Not restoring "bp:two": cannot open cached layer "a\/committed/);
    expect(readdirSync(dir.join("layers/bp")).toSorted()).toEqual(["one", "one.toml", "three", "three.toml"]);
  });

  test("mix directories and images, whose registry is asked only for what is needed", async () => {
    using dir = scene();
    await using server = await startFaultRegistry();
    const tars = names.map((name) => readFileSync(blob(dir, "b", name)));
    const shas = new Map(names.map((name) => [name as string, blob(dir, "b", name).slice(-75, -4)]));
    const layers = names.map((name) => ({ name }));
    const label = cacheMetadata([{ id: "bp", layers }], (_, name) => shas.get(name) ?? "");
    const image = testImage({ layers: tars, labels: { "io.buildpacks.lifecycle.cache.metadata": label } });
    server.push("cache", "main", image);
    const args = ["-cache-dir", dir.join("a"), "-cache-from", `${server.host}/cache:main`];
    expect((await restore(dir, args)).origins).toEqual(allOf("a"));
    expect(server.requests).toEqual([]);
    rmSync(blob(dir, "a", "two"));
    const { origins } = await restore(dir, args);
    expect(origins).toEqual({ ...allOf("a"), two: `${server.host}/cache:main` });
    expect(server.requests.filter(({ path }) => path.includes("/blobs/"))).toHaveLength(2);
  });

  test("count for the commands of the desk", async () => {
    using dir = scene();
    rmSync(blob(dir, "b", "two"));
    const args = ["-cache-dir", dir.join("nowhere"), ...from(dir, "b", "c")];
    const explained = await runRestorer(["explain", "-layers", dir.join("layers"), ...args, "-output", "json"]);
    const { cache, layers } = JSON.parse(explained.stdout);
    expect(cache.reference).toBe(dir.join("b"));
    expect(layers.map(({ action }: { action: string }) => action)).toEqual(["restore", "restore", "restore"]);
    const inspected = await runRestorer(["inspect", ...args, "-output", "json"]);
    expect(JSON.parse(inspected.stdout).cache.reference).toBe(dir.join("b"));
  });
});
