import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { differences, snapshot, tempDir } from "../support/harness.ts";
import { tarOf } from "../support/raw-tar.ts";
import { expectPlain, expectWhole, scene } from "./scene.ts";

describe("names", () => {
  test.each(["toString", "__proto__", "constructor", "a.b", "a b", "ünï", "-x", "\n"])(
    "a layer named %j comes back whole",
    async (name) => {
      using made = scene({ layers: [name] });
      const { exitCode, stderr } = await made.run();
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      expectWhole(made, `bp/${name}`);
      expect(readFileSync(join(made.layers, "bp", `${name}.toml`), "utf8")).toStartWith("[metadata]\n");
    },
  );

  test.each(["../x", "a/../../x", "/x", "..", "store"])(
    "a layer named %j is refused, exit 0, and nothing appears anywhere",
    async (name) => {
      const tar = Buffer.alloc(1024);
      using made = scene({ buildpacks: () => [{ id: "bp", layers: [{ name, tar }] }] });
      const before = snapshot(made.dir.path);
      const result = await made.run();
      expect(result.exitCode).toBe(0);
      expect(result.stderr).toContain(`Warning: Not restoring ${JSON.stringify(`bp:${name}`)}: `);
      expectPlain(result);
      expect(differences(snapshot(made.dir.path), before)).toEqual([]);
    },
  );

  test("layers x and x.toml: the one keeps its toml though the other is refused", async () => {
    using made = scene({
      layers: ["x.toml"],
      analyzed: { buildpacks: [{ id: "bp", layers: [{ name: "x", metadata: { a: 1 } }] }] },
    });
    const { exitCode, stderr } = await made.run();
    expect(exitCode).toBe(0);
    expect(stderr).toContain('"bp:x.toml"');
    expect(readdirSync(join(made.layers, "bp"))).toEqual(["x.toml"]);
    expect(readFileSync(join(made.layers, "bp/x.toml"), "utf8")).toBe("[metadata]\na = 1\n");
  });

  test("layers of 241 to 250 bytes come back, SBOM files where they have room for them", async () => {
    const names = [241, 247, 250].map((length) => "n".repeat(length));
    using made = scene({ layers: names });
    expect(await made.run()).toMatchObject({ exitCode: 0, stderr: "" });
    for (const name of names) expectWhole(made, `bp/${name}`);
  });

  test("a layer whose SBOM file's name would be too long is refused, with what stands of it", async () => {
    const [fits, tooLong] = ["f".repeat(241), "t".repeat(242)];
    const files = { "sbom.cdx.json": "{}" };
    using boms = tempDir("sbom", { tree: { bp: { [fits]: files, [tooLong]: files } } });
    const standing = { bp: { [tooLong]: { old: "" }, [`${tooLong}.toml`]: "" } };
    using made = scene({ layers: [fits, tooLong], sbom: { tree: boms.join("tree") }, standing });
    const { exitCode, stderr } = await made.run();
    expect(exitCode).toBe(0);
    expect(stderr).toContain('with ".sbom.cdx.json" behind it the layer name is longer than 255 bytes\n');
    expect(readdirSync(join(made.layers, "bp")).sort()).toEqual([fits, `${fits}.sbom.cdx.json`, `${fits}.toml`]);
  });

  test("layers x and x.sbom.cdx.json stand together unless x has that SBOM file", async () => {
    using boms = tempDir("sbom", { tree: { bp: { x: { "sbom.spdx.json": "{}" }, y: { "sbom.cdx.json": "{}" } } } });
    const layers = ["x", "x.sbom.cdx.json", "y", "y.sbom.cdx.json"];
    using made = scene({ layers, sbom: { tree: boms.join("tree") } });
    const { exitCode, stderr } = await made.run();
    expect({ exitCode, stderr }).toEqual({
      exitCode: 0,
      stderr: 'Warning: Not restoring "bp:y.sbom.cdx.json": another layer of this build has the same place\n',
    });
    for (const name of ["x", "x.sbom.cdx.json", "y"]) expectWhole(made, `bp/${name}`);
    expect(readFileSync(join(made.layers, "bp/y.sbom.cdx.json"), "utf8")).toBe("{}");
  });

  test("a layer whose name the archive spells in another Unicode normalization is refused with both shown", async () => {
    const tar = tarOf([{ name: "/layers/bp/caf\u0065\u0301/file", data: "x" }]);
    using made = scene({ buildpacks: () => [{ id: "bp", layers: [{ name: "caf\u00e9", tar }] }] });
    const { exitCode, stderr } = await made.run();
    expect(exitCode).toBe(0);
    expect(stderr).toContain('it holds nothing below "bp/caf\\u00e9", but "bp/cafe\\u0301", which differ only');
  });

  test("layers x and x.sha are two layers", async () => {
    using made = scene({ layers: ["x", "x.sha"] });
    for (let run = 0; run < 2; run++) {
      const { exitCode, stderr } = await made.run();
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      expectWhole(made, "bp/x");
      expectWhole(made, "bp/x.sha");
    }
  });

  test("control characters of names reach no terminal", async () => {
    using made = scene({ layers: ["\x1b[31mred\x07"] });
    const result = await made.run();
    expect(result.exitCode).toBe(0);
    expect(result.stdout).toContain('"bp:\\x1b[31mred\\x07"');
    expectPlain(result);
  });
});
