import { describe, expect, test } from "bun:test";
import { chmodSync, chownSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isRoot, runRestorer, snapshot } from "../support/harness.ts";
import { asUser, expectPlain, expectWhole, give, plainUser, type Scene, scene } from "./scene.ts";

describe("trouble with the cache costs the cache, not the run", () => {
  interface Trouble {
    readonly what: string;
    readonly says: string;
    readonly change: (scene: Scene) => void;
  }
  const table: readonly Trouble[] = [
    {
      what: "a cache that is a file",
      says: "is not a directory",
      change: ({ cache }) => {
        rmSync(cache.path, { recursive: true });
        writeFileSync(cache.path, "");
      },
    },
    {
      what: "metadata that is not JSON",
      says: "read cache metadata",
      change: ({ cache }) => writeFileSync(cache.metadataPath, "\x00\x01"),
    },
    {
      what: "a missing blob",
      says: '"bp:deps"',
      change: ({ cache }) => rmSync(cache.blob("bp", "deps")),
    },
    {
      what: "a corrupt blob",
      says: "digest",
      change: ({ cache }) => {
        const bytes = readFileSync(cache.blob("bp", "deps"));
        bytes[bytes.length - 1] = 1;
        writeFileSync(cache.blob("bp", "deps"), bytes);
      },
    },
  ];

  test.each(table)("$what: a warning and exit 0; with -strict, exit 42", async ({ says, change }) => {
    for (const strict of [false, true]) {
      using made = scene({ standing: { bp: { deps: { stale: "" }, "deps.toml": "" } } });
      change(made);
      const result = await made.run(strict ? ["-strict"] : []);
      expect(result.exitCode).toBe(strict ? 42 : 0);
      expect(result.stderr).toContain(strict ? "ERROR: restore from the cache: " : "Warning: ");
      expect(result.stderr).toContain(says);
      expectPlain(result);
      // Both or neither: whatever is left of the layer, it is not its toml without its contents.
      const left = [...snapshot(join(made.layers, "bp")).keys()];
      expect([[], ["deps", "deps/stale", "deps.toml"]]).toContainEqual(left);
    }
  });

  asUser("a cache that may not be read: a warning and exit 0; with -strict, exit 42", async () => {
    using made = scene();
    give(made.layers);
    chmodSync(made.cache.committed, 0o000);
    if (isRoot) chownSync(made.cache.committed, 0, 0);
    const result = await made.run([], plainUser);
    expect(result.exitCode).toBe(0);
    expect(result.stderr).toMatch(/^Warning: Not using the cache: .*permission denied$/m);
    expectPlain(result);
    expect((await made.run(["-strict"], plainUser)).exitCode).toBe(42);
    chmodSync(made.cache.committed, 0o755);
  });

  test("one bad layer costs this layer only, and -strict still leaves the good ones", async () => {
    for (const args of [[], ["-strict"]]) {
      using made = scene({
        buildpacks: (tree) => [
          {
            id: "bp",
            layers: [
              { name: "deps", tree },
              { name: "bad", tar: Buffer.from("not a tar") },
            ],
          },
        ],
      });
      const result = await made.run(args);
      expect(result.exitCode).toBe(args.length === 0 ? 0 : 42);
      expect(result.stderr).toContain('"bp:bad"');
      if (args.length > 0)
        expect(result.stderr).toContain("ERROR: restore from the cache: 1 of 2 layers refused, see above\n");
      const silent = await made.run([...args, "-log-level", "error"]);
      const summary = "ERROR: restore from the cache: 1 of 2 layers refused, see -log-level warn\n";
      if (args.length > 0) expect(silent.stderr).toStartWith(summary);
      else expect(silent.stderr).toBe("");
      expectWhole(made);
      expect(readdirSync(join(made.layers, "bp")).sort()).toEqual(["deps", "deps.toml"]);
    }
  });

  test("no cache at all is a warning", async () => {
    using made = scene();
    const { exitCode, stderr } = await runRestorer(["-layers", made.layers]);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 0,
      stderr: "Warning: No cached data will be used, no cache specified.\n",
    });
  });
});
