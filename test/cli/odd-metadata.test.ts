import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { data } from "../desk/run.ts";
import { groupToml } from "../support/cache-fixture.ts";
import { expectPlain, expectWhole, type Scene, scene } from "./scene.ts";

interface Layer {
  sha: unknown;
}

interface Metadata {
  buildpacks: unknown[];
  sbom: unknown;
}

/** Changes what the cache's metadata says; `layer` is what stands for the layer `odd`. */
function change({ cache }: Scene, act: (metadata: Metadata, layers: Record<string, unknown>) => void): void {
  const metadata: Metadata & { buildpacks: { layers: Record<string, Layer> }[] } = JSON.parse(
    readFileSync(cache.metadataPath, "utf8"),
  );
  act(metadata, metadata.buildpacks[0]?.layers ?? {});
  writeFileSync(cache.metadataPath, JSON.stringify(metadata));
}

describe("something odd in a cache's metadata costs no more than what it is about:", () => {
  test.each([
    [{ sha: 7, cache: true }, "sha: expected a string, found a number"],
    [{ cache: "yes" }, "cache: expected a boolean, found a string"],
    ["text", "expected an object, found a string"],
  ])("one layer, %j", async (odd, words) => {
    using made = scene({ layers: ["deps", "odd"], standing: { bp: { odd: { stale: "" }, "odd.toml": "" } } });
    change(made, (_, layers) => {
      layers.odd = odd;
    });
    const report = made.dir.join("report.json");
    const result = await made.run(["-report", report]);
    expectPlain(result);
    expectWhole(made);
    expect(result.exitCode).toBe(0);
    expect(result.stderr).toBe(
      `Warning: Not restoring "bp:odd": the cache's metadata of it cannot be used: ${words}\n`,
    );
    expect(JSON.parse(readFileSync(report, "utf8")).layers).toMatchObject([
      { layer: "deps", outcome: "restored" },
      { layer: "odd", outcome: "refused", code: "bad-metadata" },
    ]);
    expect((await made.run(["-strict"])).exitCode).toBe(42);
  });

  const two = (tree: string) => ["odd", "bp"].map((id) => ({ id, layers: [{ name: "deps", tree }] }));

  test("one buildpack, in the group or not", async () => {
    for (const isInGroup of [true, false]) {
      using made = scene({
        buildpacks: two,
        group: groupToml((isInGroup ? ["odd", "bp"] : ["bp"]).map((id) => ({ id }))),
      });
      change(made, ({ buildpacks }) => {
        buildpacks[0] = { key: "odd", layers: [] };
      });
      const { exitCode, stdout, stderr } = await made.run();
      expect(exitCode).toBe(0);
      expectWhole(made);
      const words = "layers: expected a table of layers, found an array";
      if (isInGroup) {
        const told = 'Warning: What the cache\'s metadata says of buildpack "odd" cannot be used';
        expect(stderr).toBe(`${told}: ${words}\n`);
      } else {
        expect(stderr).toBe("");
        expect(stdout).toContain(`The cache also holds odd (its layers cannot be read, ${words}), which is not in`);
      }
      expect((await made.run(["-strict"])).exitCode).toBe(isInGroup ? 42 : 0);
    }
  });

  test("an entry that is nobody's, told by its place", async () => {
    using made = scene();
    change(made, ({ buildpacks }) => {
      buildpacks.push(null, 7);
    });
    const { exitCode, stderr } = await made.run();
    expect(exitCode).toBe(0);
    expect(stderr).toBe(
      "Warning: An entry of the cache's metadata cannot be used: buildpacks.2: expected an object, found a number\n",
    );
    expectWhole(made);
  });

  test("a second entry of a buildpack, which explain and inspect tell, too", async () => {
    using made = scene();
    change(made, ({ buildpacks }) => {
      buildpacks.push(buildpacks[0]);
    });
    const { exitCode, stderr } = await made.run();
    const text = 'The cache\'s metadata lists buildpack "bp" 2 times: only the first entry is used';
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: `Warning: ${text}\n` });
    expectWhole(made);
    const told = { unreadable: [{ buildpack: "bp", code: "bad-metadata", text }] };
    const explained = await data("explain", "-layers", made.layers, "-cache-dir", made.cache.path);
    expect(explained.found).toMatchObject(told);
    expect((await data("inspect", made.cache.path)).found).toMatchObject(told);
  });

  test("the SBOM files", async () => {
    using made = scene();
    change(made, (metadata) => {
      metadata.sbom = { sha: 7 };
    });
    const { exitCode, stderr } = await made.run();
    expect(exitCode).toBe(0);
    expect(stderr).toContain(
      "Warning: Not restoring SBOM files from cache: what the cache names is not a sha256 digest",
    );
    expectWhole(made);
  });

  test("in analyzed.toml: one layer, and nothing else of the file", async () => {
    using made = scene();
    const layers = '"odd" = "text"\n"launched" = { sha = "sha256:1", launch = true }';
    writeFileSync(
      `${made.layers}/analyzed.toml`,
      `[[metadata.buildpacks]]\nkey = "bp"\n[metadata.buildpacks.layers]\n${layers}\n`,
    );
    const { exitCode, stdout, stderr } = await made.run();
    expect(exitCode).toBe(0);
    expect(stderr).toBe(
      'Warning: Not restoring "bp:odd": the app image\'s metadata of it cannot be used: expected an object, found a string\n',
    );
    expect(stdout).toContain('Restoring metadata for "bp:launched" from app image');
    expectWhole(made);
  });
});
