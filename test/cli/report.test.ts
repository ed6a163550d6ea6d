import { describe, expect, test } from "bun:test";
import { readFileSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { scene } from "./scene.ts";

describe("-report", () => {
  test("writes what happened to each layer as JSON", async () => {
    using made = scene({
      buildpacks: (tree) => [
        {
          id: "bp",
          layers: [
            { name: "deps", tree },
            { name: "bad", tar: Buffer.from("x") },
            { name: "no", cache: false },
          ],
        },
      ],
      analyzed: { buildpacks: [{ id: "bp", layers: [{ name: "app" }] }] },
    });
    const path = made.dir.join("report.json");
    const { stderr } = await made.run(["-report", path]);
    const report = JSON.parse(readFileSync(path, "utf8"));
    expect(report).toMatchObject({ reportVersion: 1, platformApi: "0.15", seconds: expect.any(Number) });
    expect(report.cache).toContain(made.cache.path);
    const byName = Object.fromEntries(report.layers.map((layer: { layer: string }) => [layer.layer, layer]));
    expect(byName).toEqual({
      deps: {
        buildpack: "bp",
        layer: "deps",
        outcome: "restored",
        code: "cached",
        reason: "cached",
        source: "cache",
        sha: made.cache.sha("bp", "deps"),
        files: 3,
        bytes: expect.any(Number),
      },
      bad: expect.objectContaining({ outcome: "refused", code: "blob-unusable", reason: expect.any(String) }),
      no: expect.objectContaining({ outcome: "skipped", code: "cache-false", reason: "cache=false in the cache" }),
      app: expect.objectContaining({ outcome: "metadata", code: "launch-layer", source: "app image" }),
    });
    expect(report.troubles).toHaveLength(1);
    expect(stderr).toBe(`Warning: ${report.troubles[0]}\n`);
  });

  test("is written of a run that fails, too, with the reason", async () => {
    using made = scene();
    const report = made.dir.join("report.json");
    unlinkSync(made.cache.metadataPath);
    writeFileSync(made.cache.metadataPath, "not JSON");
    const { exitCode } = await made.run(["-strict", "-report", report]);
    expect(exitCode).toBe(42);
    const { error, layers } = JSON.parse(readFileSync(report, "utf8"));
    expect(error).toContain("restore from the cache");
    expect(layers).toEqual([]);
  });

  test("is not written through a link that was planted in the layers directory", async () => {
    using made = scene();
    const victim = made.dir.join("victim");
    writeFileSync(victim, "precious");
    symlinkSync(victim, join(made.layers, "report.json"));
    const { exitCode, stderr } = await made.run(["-report", join(made.layers, "report.json")]);
    expect({ exitCode, content: readFileSync(victim, "utf8") }).toEqual({ exitCode: 1, content: "precious" });
    expect(stderr).toContain("report.json");
  });
});
