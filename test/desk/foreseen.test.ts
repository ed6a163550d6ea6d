import { describe, expect, test } from "bun:test";
import { cpSync, existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Scene, scene, withMounts } from "../cli/scene.ts";
import { runRestorer, tempDir } from "../support/harness.ts";
import { runWithMounts } from "../support/mounts.ts";
import { zerosLayout } from "../support/zeros-layout.ts";
import { data, desk } from "./run.ts";

describe("explain, of a layer whose blob comes from a cache to fall back on,", () => {
  test("tells its size and that cache, and at info that another one is not there", async () => {
    using made = scene();
    using other = scene();
    rmSync(made.cache.blob("bp", "deps"));
    const nowhere = join(made.dir.path, "nowhere");
    const args = ["-layers", made.layers, "-cache-dir", made.cache.path];
    const fallbacks = ["-cache-from", nowhere, "-cache-from", other.cache.path];
    const { exitCode, stderr, found } = await data("explain", ...args, ...fallbacks);
    expect(exitCode).toBe(0);
    expect(found.layers).toMatchObject([{ action: "restore", code: "cached", cache: other.cache.path }]);
    expect(found.layers[0].size).toBeGreaterThan(1024);
    expect(stderr.split("\n").filter((line) => line.includes("nowhere"))).toHaveLength(1);
    const text = await desk("explain", ...args, ...fallbacks);
    expect(text.stdout).toContain(`The contents of bp:deps come from the cache directory "${other.cache.path}"`);
  });
});

describe("explain foresees SBOM files:", () => {
  const withSboms = () => {
    using dir = tempDir("sboms", { sbom: { bp: { deps: { "sbom.cdx.json": "{}" } } } });
    return scene({ sbom: { tree: dir.join("sbom") } });
  };

  test("they are listed with what is written, where there are any", async () => {
    using made = withSboms();
    const args = ["explain", "-layers", made.layers, "-cache-dir", made.cache.path];
    const place = `${made.layers}/bp/deps`;
    const { found } = await data(...args);
    expect(found.layers[0].writes).toEqual([place, `${place}.toml`, `${place}.sbom.cdx.json`]);
    expect((await desk(...args, "deps")).stdout).toContain("SBOM files come back, too.");
    using without = scene();
    const { stdout } = await desk("explain", "-layers", without.layers, "-cache-dir", without.cache.path, "deps");
    expect(stdout).not.toContain("SBOM");
  });

  test.each([
    ["missing", (path: string) => rmSync(path)],
    ["cut off", (path: string) => truncateSync(path, 100)],
  ])("a blob of them that is %s is warned about as by a restore", async (_, spoil) => {
    using made = withSboms();
    spoil(join(made.cache.committed, `${made.cache.sbomSha}.tar`));
    const args = ["-layers", made.layers, "-cache-dir", made.cache.path];
    const { exitCode, found } = await data("explain", ...args);
    expect(exitCode).toBe(0);
    expect(found.warnings).toMatchObject([{ code: "sbom" }]);
    expect((await data("explain", ...args, "-strict")).exitCode).toBe(42);
    const restored = await made.run();
    expect(restored.stderr).toContain(found.warnings[0].text);
  });
});

test("explain tells what is replaced: all of a layer that comes back, the toml of one whose metadata does", async () => {
  using made = scene({
    analyzed: { buildpacks: [{ id: "bp", layers: [{ name: "launched" }] }] },
    standing: { bp: { deps: {}, launched: { kept: "" }, "launched.toml": "" } },
  });
  const args = ["-layers", made.layers, "-cache-dir", made.cache.path];
  const place = `${made.layers}/bp`;
  const { found } = await data("explain", ...args);
  expect(found.layers).toMatchObject([
    { layer: "deps", action: "restore", removes: [`${place}/deps`, `${place}/deps.toml`] },
    { layer: "launched", action: "metadata", removes: [`${place}/launched.toml`] },
  ]);
  const { stdout } = await desk("explain", ...args);
  expect(stdout).toMatch(/bp:deps .* cached; replaces what stands of it$/m);
  expect(stdout).toMatch(/bp:launched .* launch layer; replaces its toml$/m);
  await made.run();
  expect(existsSync(`${place}/launched/kept`)).toBe(true);
});

test("a blob that an OCI layout lacks is missing for each command, and for a restore", async () => {
  using made = scene();
  const layout = made.dir.join("layout");
  zerosLayout(layout, 1);
  const { found: before } = await data("inspect", `oci:${layout}`);
  const [{ sha }] = before.buildpacks[0].layers;
  rmSync(join(layout, "blobs", "sha256", sha.slice(7)));
  const { found } = await data("inspect", `oci:${layout}`);
  expect(found.buildpacks[0].layers).toMatchObject([{ state: "missing", size: null }]);
  const code = "blob-unavailable";
  const args = ["-layers", made.layers, "-cache-image", `oci:${layout}`];
  expect((await data("explain", ...args)).found.layers).toMatchObject([{ action: "refuse", code }]);
  expect(await data("verify", `oci:${layout}`)).toMatchObject({ exitCode: 42, found: { layers: [{ code }] } });
  expect(await data("inspect", `oci:${layout}`, "zeros")).toMatchObject({ exitCode: 1, found: { error: { code } } });
  const restored = await runRestorer([...args, "-report", "-"]);
  expect(JSON.parse(restored.stdout).layers).toMatchObject([{ outcome: "refused", code }]);
});

test("metadata that no restore takes is bad for verify, and noted by inspect", async () => {
  using made = scene();
  const text = readFileSync(made.cache.metadataPath, "utf8");
  writeFileSync(made.cache.metadataPath, text.replace(/"build":(true|false)/, '"build":"yes"'));
  const restored = await made.run(["-report", "-"]);
  expect(JSON.parse(restored.stdout).layers).toMatchObject([{ code: "bad-metadata" }]);
  const verified = await data("verify", made.cache.path);
  expect(verified).toMatchObject({ exitCode: 42, found: { layers: [{ state: "bad", code: "bad-metadata" }] } });
  expect((await desk("inspect", made.cache.path)).stdout).toContain("its metadata cannot be used");
});

test("a manifest that an OCI layout lacks is told by its digest", async () => {
  using dir = tempDir("manifest");
  zerosLayout(dir.join("layout"), 1);
  const { manifests } = JSON.parse(readFileSync(dir.join("layout/index.json"), "utf8"));
  rmSync(join(dir.join("layout/blobs/sha256"), manifests[0].digest.slice(7)));
  const { exitCode, stderr } = await desk("inspect", `oci:${dir.join("layout")}`);
  expect(exitCode).toBe(1);
  expect(stderr).toContain(`its blob ${manifests[0].digest} is missing`);
  // Beside others, too, of which none will do.
  const other = { mediaType: "application/vnd.example", digest: `sha256:${"0".repeat(64)}`, size: 1 };
  writeFileSync(dir.join("layout/index.json"), JSON.stringify({ schemaVersion: 2, manifests: [...manifests, other] }));
  const several = await desk("inspect", `oci:${dir.join("layout")}`);
  expect(several.exitCode).toBe(1);
  expect(several.stderr).toContain(`one cannot be used: its blob ${manifests[0].digest} is missing`);
});

describe("explain tells the SBOM files that go with a layer", () => {
  const standing = { bp: { deps: {}, "deps.toml": "", "deps.sbom.cdx.json": "{}", "other.sbom.cdx.json": "{}" } };
  const ways: readonly (readonly [string, Parameters<typeof scene>[0], (made: Scene) => unknown])[] = [
    ["replaced", {}, () => {}],
    ["refused", {}, ({ cache }) => rmSync(cache.blob("bp", "deps"))],
    ["removed", { analyzed: { buildpacks: [{ id: "bp", layers: [{ name: "deps", launch: false }] }] } }, stale],
  ];
  /** Has the app image decide, which says that the layer is none of its own. */
  function stale({ cache }: Scene): void {
    const text = readFileSync(cache.metadataPath, "utf8");
    writeFileSync(cache.metadataPath, text.replace('"launch":false', '"launch":true'));
  }

  test.each(ways)("that is %s, as a restore does", async (_, options, change) => {
    using made = scene({ ...options, standing });
    change(made);
    const args = ["explain", "-layers", made.layers, "-cache-dir", made.cache.path];
    const place = `${made.layers}/bp/deps`;
    const { found } = await data(...args);
    expect(found.layers[0].removes).toEqual([place, `${place}.toml`, `${place}.sbom.cdx.json`]);
    expect((await desk(...args, "deps")).stdout).toContain(`Removes       ${place}.sbom.cdx.json\n`);
    await made.run();
    expect(existsSync(`${place}.sbom.cdx.json`)).toBe(false);
    expect(existsSync(`${made.layers}/bp/other.sbom.cdx.json`)).toBe(true);
  });
});

test("explain does not take a layer that is named like an SBOM file for one", async () => {
  using made = scene({ layers: ["l.sbom.cdx.json"] });
  const { stdout } = await desk("explain", "-layers", made.layers, "-cache-dir", made.cache.path, "l.sbom.cdx.json");
  expect(stdout).toContain("would be restored");
  expect(stdout).not.toContain("SBOM files come back");
});

describe("explain foresees what stands in a layer's place, and is left by a restore:", () => {
  const standing = { bp: { deps: { kept: "" }, "deps.toml": "", "deps.sbom.cdx.json": "{}" } };
  const restoreRefused = { action: "refuse", code: "place-taken", writes: [], removes: [] };

  test("the cache", async () => {
    using made = scene({ standing });
    const place = `${made.layers}/bp/deps/cache`;
    cpSync(made.cache.path, place, { recursive: true });
    const args = ["-layers", made.layers, "-cache-dir", place];
    const { exitCode, found } = await data("explain", ...args);
    expect(exitCode).toBe(0);
    expect(found.layers).toMatchObject([restoreRefused]);
    const { layers } = JSON.parse((await runRestorer([...args, "-report", "-"])).stdout);
    expect(layers).toMatchObject([{ outcome: "refused", code: "place-taken", reason: found.layers[0].reason }]);
    // Of a layer that only goes, it is told that it stays.
    rmSync(join(place, "committed", `${made.cache.sha("bp", "deps")}.tar`));
    const gone = (await data("explain", ...args)).found;
    expect(gone.layers).toMatchObject([{ code: "blob-unavailable", removes: [] }]);
    expect(gone.warnings).toMatchObject([{ code: "not-removed", buildpack: "bp", layer: "deps" }]);
    expect((await runRestorer(args)).stderr).toContain(gone.warnings[0].text);
    expect(existsSync(`${made.layers}/bp/deps/kept`)).toBe(true);
  });

  withMounts("a mount", async () => {
    using made = scene({ standing });
    const args = ["-layers", made.layers, "-cache-dir", made.cache.path, "-output", "json"];
    const { exitCode, stdout } = await runWithMounts(
      [[made.dir.join("tree"), `${made.layers}/bp/deps`]],
      ["explain", ...args],
    );
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout).layers).toMatchObject([restoreRefused]);
  });

  test("a file, or the cache, in the place of its buildpack's directory, which ends both with 42", async () => {
    using made = scene({ standing: { bp: "a file" } });
    const args = ["-layers", made.layers, "-cache-dir", made.cache.path];
    const explained = await desk("explain", ...args);
    const restored = await runRestorer(args);
    expect([explained.exitCode, restored.exitCode]).toEqual([42, 42]);
    const error = (text: string) => text.split("\n").find((line) => line.startsWith("ERROR"));
    expect(error(explained.stderr)).toContain(`${made.layers}/bp`);
    expect(error(explained.stderr)).toBe(error(restored.stderr));
    rmSync(`${made.layers}/bp`);
    cpSync(made.cache.path, `${made.layers}/bp`, { recursive: true });
    const inCache = ["-layers", made.layers, "-cache-dir", `${made.layers}/bp`];
    expect(await desk("explain", ...inCache)).toMatchObject({
      exitCode: 42,
      stderr: expect.stringContaining("it lies in the cache"),
    });
  });

  test("the cache, or a place in it, as the layers directory, which ends both with 42", async () => {
    using made = scene();
    for (const layers of [made.cache.path, made.cache.committed]) {
      const files = ["-group", join(made.layers, "group.toml"), "-analyzed", join(made.layers, "analyzed.toml")];
      const args = ["-layers", layers, ...files, "-cache-dir", made.cache.path];
      const explained = await desk("explain", ...args);
      const restored = await runRestorer(args);
      expect([explained.exitCode, restored.exitCode]).toEqual([42, 42]);
      expect(explained.stderr).toBe(restored.stderr);
      expect(restored.stderr).toBe(
        `ERROR: write "${layers}": it lies in the cache, which is never written\nName another directory with -layers or CNB_LAYERS_DIR.\n`,
      );
    }
  });
});
