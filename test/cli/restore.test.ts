import { describe, expect, test } from "bun:test";
import { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { groupToml } from "../support/cache-fixture.ts";
import { differences, directory, runRestorer, snapshot } from "../support/harness.ts";
import { expectPlain, expectWhole, scene } from "./scene.ts";

describe("what is restored", () => {
  test("takes the place of what stood there", async () => {
    using made = scene({
      standing: {
        bp: {
          deps: { stale: "", bin: "a file in the way", deep: directory({ er: directory({ f: "" }, 0o555) }, 0o555) },
          "deps.toml": "stale = true\n",
          "deps.sbom.cdx.json": "{}",
          "deps.sha": "",
          "neighbour.toml": "mine = true\n",
        },
      },
    });
    const { exitCode, stderr } = await made.run();
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expectWhole(made);
    expect(readdirSync(join(made.layers, "bp")).sort()).toEqual(["deps", "deps.toml", "neighbour.toml"]);
    expect(readFileSync(join(made.layers, "bp/deps.toml"), "utf8")).toBe('[metadata]\nname = "deps"\n');
  });

  test("a buildpack's store comes back, whole numbers as integers, also with -skip-layers", async () => {
    const analyzed = { buildpacks: [{ id: "a/b", store: { n: 1n, f: 2, half: 1.5 } }] };
    using made = scene({ group: groupToml([{ id: "a/b" }]), buildpacks: () => [], analyzed });
    expect((await made.run(["-skip-layers"])).exitCode).toBe(0);
    expect(readFileSync(join(made.layers, "a_b/store.toml"), "utf8")).toBe("[metadata]\nn = 1\nf = 2\nhalf = 1.5\n");
  });

  test("-skip-layers touches no layer", async () => {
    using made = scene({ standing: { bp: { deps: { old: "" }, "deps.toml": "" }, sbom: { launch: {} } } });
    const before = snapshot(made.layers);
    const { exitCode, stderr } = await made.run(["-skip-layers"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(differences(snapshot(made.layers), before)).toEqual([]);
  });

  test("an unusable analyzed.toml is a warning, and stays as it is", async () => {
    using made = scene();
    writeFileSync(join(made.layers, "analyzed.toml"), "not = [toml");
    const result = await made.run();
    expect(result.exitCode).toBe(0);
    expect(result.stderr).toContain("Warning: Not using analyzed data");
    expectPlain(result);
    expectWhole(made);
    expect(readFileSync(join(made.layers, "analyzed.toml"), "utf8")).toBe("not = [toml");
  });

  test("a layers directory that does not exist is made", async () => {
    using made = scene();
    const layers = made.dir.join("new/layers");
    const args = ["-layers", layers, "-cache-dir", made.cache.path, "-group", join(made.layers, "group.toml")];
    const { exitCode } = await runRestorer(args, { umask: 0o027 });
    expect(exitCode).toBe(0);
    expect(lstatSync(layers).mode & 0o7777).toBe(0o750);
    expect(existsSync(join(layers, "bp/deps.toml"))).toBe(true);
  });
});
