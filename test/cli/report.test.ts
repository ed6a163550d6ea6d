import { describe, expect, test } from "bun:test";
import { readFileSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { withShortDigests } from "../../lib/text.ts";
import { groupToml } from "../support/cache-fixture.ts";
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
    expect(report).toMatchObject({ reportVersion: 2, platformApi: "0.15", exitCode: 0, seconds: expect.any(Number) });
    expect(report.cache).toMatchObject({
      kind: "directory",
      reference: made.cache.path,
      ageSeconds: expect.any(Number),
    });
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
        cache: made.cache.path,
        files: 3,
        bytesRead: expect.any(Number),
        bytesWritten: 14,
        milliseconds: expect.any(Number),
        retries: 0,
      },
      bad: expect.objectContaining({ outcome: "refused", code: "blob-unusable", reason: expect.any(String) }),
      no: expect.objectContaining({ outcome: "skipped", code: "cache-false", reason: "cache=false in the cache" }),
      app: expect.objectContaining({ outcome: "metadata", code: "launch-layer", source: "app image" }),
    });
    expect(report.warnings).toMatchObject([{ code: "layer-refused", buildpack: "bp", layer: "bad" }]);
    expect(stderr).toBe(`Warning: ${withShortDigests(report.warnings[0].text)}\n`);
  });

  test("is written of a run that fails, too, with the reason", async () => {
    using made = scene();
    const report = made.dir.join("report.json");
    unlinkSync(made.cache.metadataPath);
    writeFileSync(made.cache.metadataPath, "not JSON");
    const { exitCode } = await made.run(["-strict", "-report", report]);
    expect(exitCode).toBe(42);
    const { error, exitCode: reported, layers } = JSON.parse(readFileSync(report, "utf8"));
    expect(error).toEqual({
      code: "cache-trouble",
      text: expect.stringContaining("restore from the cache"),
      hint: "Without -strict, the build goes on without what could not be restored.",
    });
    expect(reported).toBe(42);
    expect(layers).toEqual([]);
  });

  test.each([
    { what: "an unknown flag before it", args: ["-bogus"], exitCode: 3, says: "unknown flag -bogus" },
    { what: "an unexpected argument before it", args: ["image"], exitCode: 3, says: "unexpected Args" },
    { what: "a wrong value", args: ["-uid", "-report", "-uid", "x"], exitCode: 3, says: "-uid" },
    { what: "a flag newer than the API", args: ["-daemon"], api: "0.8", exitCode: 3, says: "-daemon" },
    { what: "a Platform API that is not supported", api: "0.99", exitCode: 11, says: '"0.99"' },
    { what: "a safety switch that is not a boolean", strict: "yes", exitCode: 3, says: "CNB_RESTORE_STRICT" },
    { what: "a Buildpack API that is not supported", buildpackApi: "0.1", exitCode: 12, says: '"bp"' },
  ])("is written where the inputs are refused: $what", async ({ args = [], exitCode, says, ...rest }) => {
    const { api = "0.15", strict, buildpackApi } = rest;
    for (const how of ["flag", "flag with =", "variable"]) {
      using made = scene(buildpackApi === undefined ? {} : { group: groupToml([{ id: "bp", api: buildpackApi }]) });
      const path = made.dir.join("report.json");
      const flag = how === "flag" ? ["-report", path] : how === "variable" ? [] : [`--report=${path}`];
      const env = { CNB_PLATFORM_API: api, CNB_RESTORE_STRICT: strict };
      const variable = how === "variable" ? { CNB_RESTORE_REPORT: path } : {};
      const result = await made.run([...args, ...flag], { env: { ...env, ...variable } });
      expect(result.exitCode).toBe(exitCode);
      expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({
        platformApi: api,
        layers: [],
        exitCode,
        error: { text: expect.stringContaining(says) },
      });
    }
  });

  test("of - goes to stdout, alone, and the log to stderr", async () => {
    using made = scene();
    const byFlag = await made.run(["-report", "-", "-log-level", "debug"]);
    expect(JSON.parse(byFlag.stdout).layers).toMatchObject([{ layer: "deps", outcome: "restored" }]);
    expect(byFlag.stderr).toContain('Restoring data for "bp:deps" from cache\n');
    const byVariable = await made.run(["-bogus"], { env: { CNB_RESTORE_REPORT: "-" } });
    expect(byVariable.exitCode).toBe(3);
    expect(JSON.parse(byVariable.stdout).error.text).toContain("-bogus");
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
