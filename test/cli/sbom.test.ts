import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { directory, tempDir } from "../support/harness.ts";
import { expectPlain, expectWhole, scene } from "./scene.ts";

describe("SBOM files", () => {
  const bom = (text: string) => JSON.stringify({ bom: text });

  test("come back beside their layers: from the cache, and from what the analyzer put into <layers>/sbom", async () => {
    using boms = tempDir("sbom", {
      tree: {
        bp: {
          deps: { "sbom.cdx.json": bom("cached deps"), "sbom.spdx.json": bom("cached deps spdx") },
          absent: { "sbom.cdx.json": bom("of no layer") },
        },
        "not-in-group": { x: { "sbom.cdx.json": bom("of no buildpack") } },
      },
    });
    using made = scene({
      sbom: { tree: boms.join("tree") },
      analyzed: { buildpacks: [{ id: "bp", layers: [{ name: "app" }] }] },
      standing: {
        sbom: {
          launch: { bp: { app: { "sbom.syft.json": bom("launch app") }, gone: { "sbom.cdx.json": bom("gone") } } },
        },
      },
    });
    const { exitCode, stderr } = await made.run();
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expectWhole(made);
    const files = readdirSync(join(made.layers, "bp")).filter((name) => name.includes(".sbom."));
    expect(files.sort()).toEqual(["app.sbom.syft.json", "deps.sbom.cdx.json", "deps.sbom.spdx.json"]);
    expect(readFileSync(join(made.layers, "bp/app.sbom.syft.json"), "utf8")).toBe(bom("launch app"));
    expect(readFileSync(join(made.layers, "bp/deps.sbom.cdx.json"), "utf8")).toBe(bom("cached deps"));
    expect(readdirSync(made.layers).sort()).toEqual(["analyzed.toml", "bp", "group.toml"]);
  });

  test("a launch layer's win over the cache's", async () => {
    using boms = tempDir("sbom", { tree: { bp: { deps: { "sbom.cdx.json": bom("cache") } } } });
    using made = scene({
      sbom: { tree: boms.join("tree") },
      standing: { sbom: { launch: { bp: { deps: { "sbom.cdx.json": bom("launch") } } } } },
    });
    expect((await made.run()).exitCode).toBe(0);
    expect(readFileSync(join(made.layers, "bp/deps.sbom.cdx.json"), "utf8")).toBe(bom("launch"));
  });

  test("that cannot be read are a warning, and the layers come back without them", async () => {
    using made = scene({ sbom: { tar: Buffer.from("not a tar") } });
    const result = await made.run();
    expect(result.exitCode).toBe(0);
    expect(result.stderr).toContain("Warning: Not restoring SBOM files from cache: ");
    expectPlain(result);
    expectWhole(made);
  });

  test("that are not regular files are a warning", async () => {
    using made = scene({ standing: { sbom: { launch: { bp: { deps: { "sbom.cdx.json": directory({}) } } } } } });
    const result = await made.run();
    expect(result.exitCode).toBe(0);
    const path = `${made.layers}/sbom/launch/bp/deps/sbom.cdx.json`;
    expect(result.stderr).toContain(`Warning: Not restoring SBOM file "${path}": `);
    expect(result.stderr).toContain("regular file");
    expectWhole(made);
  });

  test("do not come back with Platform API 0.7", async () => {
    using boms = tempDir("sbom", { tree: { bp: { deps: { "sbom.cdx.json": bom("cache") } } } });
    using made = scene({ sbom: { tree: boms.join("tree") }, standing: { sbom: { launch: {} } } });
    expect((await made.run([], { env: { CNB_PLATFORM_API: "0.7" } })).exitCode).toBe(0);
    expect(readdirSync(join(made.layers, "bp")).sort()).toEqual(["deps", "deps.toml"]);
    expect(existsSync(join(made.layers, "sbom"))).toBe(true);
  });
});
