import { describe, expect } from "bun:test";
import { makeCache } from "../support/cache-fixture.ts";
import { hangMs, have, restorerPath, skipUnless, tempDir } from "../support/harness.ts";
import { runWrapped, scene } from "./scene.ts";

describe("on a terminal", () => {
  const onTerminal = skipUnless(have("script"), "script (util-linux)");

  /** Runs with stdout and stderr on one pseudo-terminal; gives what was written to it. */
  async function runOnTerminal(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
    const quoted = [restorerPath(), ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
    const { stdout } = await runWrapped(["script", "-qec", quoted, "/dev/null"], { TERM: "xterm", ...env });
    return stdout;
  }

  onTerminal("prefixes of warnings and errors are coloured", async () => {
    using made = scene();
    expect(await runOnTerminal(["-layers", made.layers])).toContain("\x1b[33;1mWarning: \x1b[0mNo cached data");
    expect(await runOnTerminal(["-bogus"])).toContain("ERROR: ");
    expect(await runOnTerminal(["-layers", made.dir.join("absent")])).toContain("\x1b[31;1mERROR: \x1b[0mread group");
  });

  const plain: readonly [string, string[], Record<string, string>][] = [
    ["-no-color", ["-no-color"], {}],
    ["CNB_NO_COLOR=true", [], { CNB_NO_COLOR: "true" }],
    ["NO_COLOR=1", [], { NO_COLOR: "1" }],
    ["TERM=dumb", [], { TERM: "dumb" }],
  ];
  for (const [what, args, env] of plain) {
    onTerminal(`nothing is with ${what}`, async () => {
      using made = scene();
      const output = await runOnTerminal(["-layers", made.layers, ...args], env);
      expect(output).toContain("Warning: No cached data");
      expect(output).not.toContain("\x1b");
    });
  }

  onTerminal("the names of layers bring no colour in", async () => {
    using made = scene({ layers: ["\x1b[31mred"] });
    const output = await runOnTerminal(["-layers", made.layers, "-cache-dir", made.cache.path, "-no-color"]);
    expect(output).toContain('"bp:\\x1b[31mred"');
    expect(output).not.toContain("\x1b");
  });

  // A restore is made slow by holding up its system calls, for progress is only shown of one that takes long.
  const canTrace = have("script") && have("strace") && Bun.spawnSync(["strace", "-o", "/dev/null", "true"]).success;
  skipUnless(canTrace, "script (util-linux) and a strace that may trace")(
    "a restore that takes long shows how far it is, and clears that away; elsewhere it does not",
    async () => {
      const slowly = ["strace", "-f", "-qq", "-o", "/dev/null"];
      const holdUp = ["-e", "trace=mkdir,mkdirat", "-e", "inject=mkdir,mkdirat:delay_enter=200000"];
      using made = scene();
      const directories = Object.fromEntries([...Array(8).keys()].map((i) => [`d${i}`, {}]));
      // Small layers are done at once, and show nothing.
      using many = tempDir("many", { tree: { ...directories, large: new Uint8Array(100_000) } });
      makeCache(made.dir.join("cache"), [{ id: "bp", layers: [{ name: "deps", tree: many.join("tree") }] }]);
      const args = ["-layers", made.layers, "-cache-dir", made.dir.join("cache")];
      const command = [...slowly, ...holdUp, restorerPath(), ...args];

      const { stdout, stderr, exitCode } = await runWrapped(command);
      expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
      expect(stdout).not.toContain("Restoring: ");

      const onPty = await runWrapped(["script", "-qec", command.join(" "), "/dev/null"], { TERM: "xterm" });
      expect(onPty.stdout).toMatch(/\rRestoring: 0 of 1 layer, .*%\x1b\[K/);
      expect(onPty.stdout).toMatch(/\r\x1b\[KRestored 1 layer [^\r\n]*\r\n$/);
    },
    hangMs,
  );
});
