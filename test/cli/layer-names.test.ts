import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { differences, snapshot } from "../support/harness.ts";
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
