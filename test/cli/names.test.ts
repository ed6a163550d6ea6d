import { describe, expect, test } from "bun:test";
import { symlinkSync } from "node:fs";
import { restorerPath, runRestorer, tempDir } from "../support/harness.ts";
import { expectWhole, scene } from "./scene.ts";

describe("whatever the executable is called, it restores", () => {
  // The reference takes its phase from the name it is called by; ours has one phase.
  test.each([
    ["restorer", []],
    ["restorer", ["restore"]],
    ["lifecycle", ["restore"]],
    ["lifecycle", []],
    ["analyzer", []],
    ["explain", []],
    ["a name with blanks", ["restore"]],
  ])("as %p with %p before the flags", async (name, words) => {
    using made = scene();
    using dir = tempDir("names");
    symlinkSync(restorerPath(), dir.join(name));
    const args = [...words, "-layers", made.layers, "-cache-dir", made.cache.path];
    expect(await runRestorer(args, { command: [dir.join(name)] })).toMatchObject({ exitCode: 0, stderr: "" });
    expectWhole(made);
  });

  test.each([
    ["by a path that does not exist", "/nowhere/restorer"],
    ["without a name", ""],
    ["as the shell of a login", "-restorer"],
    ["by the runtime's name", "bun"],
    ["as the runtime's runner", "bunx"],
    ["as another runtime", "node"],
  ])("called %s", async (_, argv0) => {
    using made = scene();
    const args = ["restore", "-layers", made.layers, "-cache-dir", made.cache.path];
    const env = { CNB_PLATFORM_API: "0.15", HOME: "/nonexistent" };
    const child = Bun.spawn([restorerPath(), ...args], { argv0, env, stdout: "pipe", stderr: "pipe" });
    const [stderr, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expectWhole(made);
  });
});
