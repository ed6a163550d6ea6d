import { describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { disarmRuntime } from "../../lib/cli/runtime.ts";
import { RestorerError } from "../../lib/failures.ts";
import { runsAnywhere } from "../support/bare-root.ts";
import { analyzedToml, groupToml } from "../support/cache-fixture.ts";
import { file, isRoot, restorerPath, runRestorer, skipUnless, tempDir } from "../support/harness.ts";

describe("the environment", () => {
  for (const name of ["BUN_OPTIONS", "BUN_INSPECT", "BUN_INSPECT_CONNECT_TO", "BUN_INSPECT_PRELOAD"]) {
    test(`with ${name} is refused as root, and warned about as a user`, () => {
      expect(() => disarmRuntime({ [name]: "x" }, true)).toThrow(RestorerError);
      expect(() => disarmRuntime({ [name]: "x" }, true)).toThrow(name);
      expect(disarmRuntime({ [name]: "x" }, false).warnings).toEqual([expect.stringContaining(name)]);
      expect(disarmRuntime({ [name]: "" }, true).warnings).toEqual([]);
    });
  }

  test("cannot turn off the verification of certificates", () => {
    const env = { NODE_TLS_REJECT_UNAUTHORIZED: "0", PATH: "/bin" };
    expect(disarmRuntime(env, true).warnings).toEqual([expect.stringContaining("NODE_TLS_REJECT_UNAUTHORIZED")]);
    expect(env).toEqual({ PATH: "/bin" } as typeof env);
    expect(disarmRuntime({ NODE_TLS_REJECT_UNAUTHORIZED: "1" }, true).warnings).toEqual([]);
  });

  test("cannot have requests printed with their credentials", () => {
    for (const value of ["curl", "1", "true"]) {
      const env = { BUN_CONFIG_VERBOSE_FETCH: value };
      expect(disarmRuntime(env, false).warnings).toEqual([expect.stringContaining("BUN_CONFIG_VERBOSE_FETCH")]);
      expect(env.BUN_CONFIG_VERBOSE_FETCH).toBe("false");
    }
    for (const value of ["", "0", "false"]) {
      expect(disarmRuntime({ BUN_CONFIG_VERBOSE_FETCH: value }, false).warnings).toEqual([]);
    }
  });

  test("loses what the executable itself set for its runtime, and nothing that the user set", () => {
    const env: Record<string, string> = {
      BUN_JSC_useFTLJIT: "no",
      BUN_JSC_useWarmUpMarkedBlocks: "no",
      BUN_JSC_useJIT: "1",
    };
    expect(disarmRuntime(env, true).warnings).toEqual([]);
    expect(env).toEqual({ BUN_JSC_useJIT: "1" });
    const without: Record<string, string> = { BUN_JSC_useJIT: "no", BUN_JSC_useWarmUpMarkedBlocks: "no" };
    expect(disarmRuntime(without, true).warnings).toEqual([]);
    expect(without).toEqual({});
    const own = { BUN_JSC_useFTLJIT: "1" };
    expect(disarmRuntime(own, true).warnings).toEqual([]);
    expect(own).toEqual({ BUN_JSC_useFTLJIT: "1" });
  });

  test("that is ordinary is left as it is", () => {
    const env = { PATH: "/bin", HOME: "/root", CNB_PLATFORM_API: "0.15", NODE_EXTRA_CA_CERTS: "/ca.pem" };
    const before = { ...env };
    expect(disarmRuntime(env, true).warnings).toEqual([]);
    expect(env).toEqual(before);
  });
});

describe("the executable", () => {
  skipUnless(runsAnywhere, "a self-contained executable")(
    "starts its runtime with settings of its own, and the user's count more",
    async () => {
      const settings = async (env: Record<string, string>) =>
        (await runRestorer(["-version"], { env: { CNB_CACHE_DIR: "/cache", ...env, BUN_JSC_dumpOptions: "2" } }))
          .stderr;
      for (const name of ["useFTLJIT", "useWarmUpMarkedBlocks"]) {
        expect(await settings({})).toContain(` ${name}=false `);
        expect(await settings({ [`BUN_JSC_${name}`]: "1" })).toMatch(new RegExp(`^ *${name}=true`, "m"));
      }
    },
  );

  /** Whether a run had compilers; twice, where it began again with them. */
  const compilers = async (layers: string, args: readonly string[] = [], env: Record<string, string> = {}) => {
    const run = await runRestorer(["-layers", layers, ...args], { env: { ...env, BUN_JSC_dumpOptions: "2" } });
    return { exitCode: run.exitCode, seen: run.stderr.match(/\buseJIT=\w+/g) };
  };
  const [on, off] = ["useJIT=true", "useJIT=false"];

  skipUnless(runsAnywhere, "a self-contained executable")(
    "has compilers where a cache or an image is named, or a command, or where the user wants them",
    async () => {
      using dir = tempDir("compilers", { layers: { "group.toml": groupToml([]) }, cache: {} });
      const layers = dir.join("layers");
      expect((await compilers(layers)).seen).toEqual([off]);
      expect((await compilers(layers, ["-log-level", "-cached"])).seen).toEqual([on]);
      for (const flag of ["-cache-dir", "--cache-dir"]) {
        expect((await compilers(layers, [flag, dir.join("cache")])).seen).toEqual([on]);
        expect((await compilers(layers, [`${flag}=${dir.join("cache")}`])).seen).toEqual([on]);
      }
      expect((await compilers(layers, [], { CNB_CACHE_DIR: dir.join("cache") })).seen).toEqual([on]);
      for (const flag of ["-image", "--image=x", "-build-image", "--build-image=x"]) {
        expect((await compilers(layers, ["-version", flag])).seen).toEqual([on]);
      }
      expect((await compilers(layers, ["-version"], { CNB_BUILD_IMAGE: "x" })).seen).toEqual([on]);
      expect((await compilers(layers, [], { BUN_JSC_useJIT: "1" })).seen).toEqual([on]);
      const desk = await runRestorer(["inspect", dir.join("cache")], { env: { BUN_JSC_dumpOptions: "2" } });
      expect(desk.stderr).toContain(on);
    },
  );

  skipUnless(runsAnywhere, "a self-contained executable")(
    "begins again with compilers where there is much to read, unless the user wants none",
    async () => {
      const layer = { name: "one", metadata: { text: "x".repeat(100_000) } };
      const analyzed = analyzedToml({ buildpacks: [{ id: "a/b", layers: [layer] }] });
      const files = { "group.toml": groupToml([{ id: "a/b" }]), "analyzed.toml": analyzed };
      using dir = tempDir("compilers", { layers: files, again: files });
      const warned = { NODE_TLS_REJECT_UNAUTHORIZED: "0" };
      expect(await compilers(dir.join("layers"))).toEqual({ exitCode: 0, seen: [off, on] });
      expect(existsSync(dir.join("layers/a_b/one.toml"))).toBe(true);
      expect((await compilers(dir.join("again"), [], { BUN_JSC_useJIT: "0" })).seen).toEqual([off]);
      writeFileSync(dir.join("run.toml"), `# ${"x".repeat(100_000)}\n`);
      writeFileSync(dir.join("again/analyzed.toml"), "");
      expect((await compilers(dir.join("again"), ["-run", dir.join("run.toml")])).seen).toEqual([off, on]);
      const { stderr } = await runRestorer(["-layers", dir.join("layers")], { env: warned });
      expect(stderr.match(/NODE_TLS_REJECT_UNAUTHORIZED=0/g)).toHaveLength(1);
    },
  );

  skipUnless(runsAnywhere, "a self-contained executable")(
    "goes on without compilers where its file is gone, as in an emulator it may be another",
    async () => {
      const text = `${groupToml([])}#${"x".repeat(100_000)}\n`;
      using dir = tempDir("compilers", { layers: { "group.toml": text } });
      copyFileSync(restorerPath(), dir.join("gone"));
      const script = 'exec 3<"$1"; rm "$1"; exec /proc/self/fd/3 -layers "$2"';
      const run = Bun.spawn(["sh", "-c", script, "sh", dir.join("gone"), dir.join("layers")], {
        env: { CNB_PLATFORM_API: "0.15", BUN_JSC_dumpOptions: "2" },
        stdout: "ignore",
        stderr: "pipe",
      });
      const stderr = await run.stderr.text();
      expect({ exitCode: await run.exited, seen: stderr.match(/\buseJIT=\w+/g) }).toEqual({ exitCode: 0, seen: [off] });
    },
  );

  skipUnless(runsAnywhere, "a self-contained executable")(
    "goes on without compilers, and without the runtime's words, where the system refuses that it begins again",
    async () => {
      const text = `${groupToml([])}#${"x".repeat(100_000)}\n`;
      using dir = tempDir("compilers", { layers: { "group.toml": text } });
      // So small a stack leaves so little room for the environment that its own settings are too much when it begins again.
      const script = 'ulimit -s 600; exec "$@"';
      const run = async (padding: number) => {
        const half = "x".repeat(padding / 2);
        const ran = Bun.spawn(["sh", "-c", script, "sh", restorerPath(), "-layers", dir.join("layers")], {
          env: { CNB_PLATFORM_API: "0.15", BUN_JSC_dumpOptions: "2", ONE: half, OTHER: half },
          stdout: "ignore",
          stderr: "pipe",
        });
        return { exitCode: await ran.exited, stderr: await ran.stderr.text() };
      };
      let [fits, tooMuch] = [0, 256 * 1000];
      while (tooMuch - fits > 8) {
        const middle = (fits + tooMuch) / 2;
        if ((await run(middle)).exitCode === 0) fits = middle;
        else tooMuch = middle;
      }
      const { exitCode, stderr } = await run(fits);
      expect({ exitCode, seen: stderr.match(/\buseJIT=\w+/g) }).toEqual({ exitCode: 0, seen: [off] });
      expect(stderr).not.toContain("execve");
    },
  );

  test("says which file it was that cannot be looked at, with no cache too", async () => {
    using dir = tempDir("below", { layers: { "group.toml": groupToml([]) } });
    const below = dir.join("layers/group.toml/group.toml");
    const { exitCode, stderr } = await runRestorer(["-layers", dir.join("layers"), "-group", below]);
    expect(stderr).toContain(`read group file "${below}": not a directory`);
    expect(exitCode).toBe(1);
  });

  test("gives a credential helper no setting of its runtime", async () => {
    using dir = tempDir("guard", {
      layers: { "group.toml": groupToml([]) },
      bin: { "docker-credential-test": file('#!/bin/sh\nenv > "$HOME/env"\n', 0o755) },
      ".docker": { "config.json": JSON.stringify({ credsStore: "test" }) },
    });
    const env = { HOME: dir.path, PATH: `${dir.join("bin")}:${process.env.PATH}` };
    await runRestorer(["-layers", dir.join("layers"), "-cache-image", "127.0.0.1:1/no/cache"], { env });
    const seen = readFileSync(dir.join("env"), "utf8");
    expect(seen).toContain("HOME=");
    expect(seen).not.toContain("BUN_JSC");
  });

  skipUnless(isRoot, "root")("refuses as root an environment that lets other code in", async () => {
    using dir = tempDir("guard", { layers: { "group.toml": groupToml([]) } });
    const run = (env: Record<string, string>) => runRestorer(["-layers", dir.join("layers")], { env });
    for (const name of ["BUN_OPTIONS", "BUN_INSPECT_CONNECT_TO"]) {
      const { exitCode, stderr } = await run({ [name]: name === "BUN_OPTIONS" ? "--smol" : "/nowhere" });
      expect(stderr).toContain(`${name} would let other code`);
      expect(exitCode).toBe(1);
    }
    expect((await run({ BUN_CONFIG_VERBOSE_FETCH: "curl", NODE_TLS_REJECT_UNAUTHORIZED: "0" })).exitCode).toBe(0);
  });
});
