import { describe, expect, test } from "bun:test";
import { readdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { scene } from "./scene.ts";

describe("what people see", () => {
  test("a line for each layer and a summary on stdout; nothing on stderr", async () => {
    using made = scene({
      buildpacks: (tree) => [
        {
          id: "a/b",
          layers: [
            { name: "deps", tree },
            { name: "not-cached", cache: false },
          ],
        },
      ],
      analyzed: { buildpacks: [{ id: "a/b", layers: [{ name: "app" }] }] },
    });
    // Later ones also look at the run image.
    const { exitCode, stdout, stderr } = await made.run([], { env: { CNB_PLATFORM_API: "0.13" } });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    const lines = stdout.trimEnd().split("\n");
    expect(lines.slice(0, -1).sort()).toEqual([
      'Not restoring "a/b:not-cached": cache=false in the cache',
      'Restoring data for "a/b:deps" from cache',
      'Restoring metadata for "a/b:app" from app image',
      'Restoring metadata for "a/b:deps" from cache',
    ]);
    expect(lines.at(-1)).toMatch(
      /^Restored 1 layer \(3 files, [0-9]+ bytes\) in [0-9.]+ s, 1 metadata only, 1 skipped$/,
    );
  });

  test("a removed layer is named with its reason", async () => {
    const sha = `sha256:${"0".repeat(64)}`;
    using made = scene({
      buildpacks: (tree) => [{ id: "bp", layers: [{ name: "deps", tree, launch: true }] }],
      analyzed: { buildpacks: [{ id: "bp", layers: [{ name: "deps", sha, cache: true }] }] },
      standing: { bp: { deps: { old: "" }, "deps.toml": "", "deps.sha": "", "deps.sbom.cdx.json": "{}" } },
    });
    const { stdout, stderr } = await made.run();
    expect(stderr).toBe("");
    expect(stdout).toContain('Removing "bp:deps", wrong sha: ');
    expect(readdirSync(join(made.layers, "bp"))).toEqual([]);
  });

  test("-log-level error is silent where all is well, and debug says no less than info", async () => {
    using made = scene();
    expect(await made.run(["-log-level", "error"])).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
    const info = (await made.run()).stdout.split("\n").filter((line) => !line.startsWith("Restored"));
    const debug = (await made.run(["-log-level", "DEBUG"])).stdout.split("\n");
    for (const line of info) expect(debug).toContain(line);
  });
});

describe("messages about what is not to be trusted", () => {
  test("do not repeat what is recorded as a digest, and is not one", async () => {
    const forged = "x\n::error::forged";
    using made = scene({
      buildpacks: (tree) => [{ id: "bp", layers: [{ name: "deps", tree, sha: forged, cache: true }] }],
      analyzed: { buildpacks: [{ id: "bp", layers: [{ name: "deps", sha: "sha256:0", launch: true, cache: true }] }] },
    });
    const { stdout, stderr } = await made.run();
    expect(stderr).toContain("is not a sha256 digest");
    expect(`${stdout}${stderr}`).not.toContain("::error::");
  });

  test("name a cause once", async () => {
    using made = scene();
    unlinkSync(made.cache.blob("bp", "deps"));
    const { stderr } = await made.run();
    expect(stderr.match(/no such file or directory/g)).toHaveLength(1);
  });

  test("include variables that are not booleans", async () => {
    using made = scene();
    const { exitCode, stderr } = await made.run([], { env: { CNB_SKIP_LAYERS: "maybe" } });
    expect(exitCode).toBe(0);
    expect(stderr).toContain('CNB_SKIP_LAYERS="maybe" is neither true nor false');
  });
});
