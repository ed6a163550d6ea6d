import { describe, expect, test } from "bun:test";
import { rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { scene } from "../cli/scene.ts";
import { tempDir } from "../support/harness.ts";
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
