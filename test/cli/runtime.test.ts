import { describe, expect, test } from "bun:test";
import { disarmRuntime } from "../../lib/cli/runtime.ts";
import { RestorerError } from "../../lib/errors.ts";
import { groupToml } from "../support/cache-fixture.ts";
import { isRoot, runRestorer, skipUnless, tempDir } from "../support/harness.ts";

describe("the environment", () => {
  for (const name of ["BUN_OPTIONS", "BUN_INSPECT", "BUN_INSPECT_CONNECT_TO", "BUN_INSPECT_PRELOAD"]) {
    test(`with ${name} is refused as root, and warned about as a user`, () => {
      expect(() => disarmRuntime({ [name]: "x" }, true)).toThrow(RestorerError);
      expect(() => disarmRuntime({ [name]: "x" }, true)).toThrow(name);
      expect(disarmRuntime({ [name]: "x" }, false)).toEqual([expect.stringContaining(name)]);
      expect(disarmRuntime({ [name]: "" }, true)).toEqual([]);
    });
  }

  test("cannot turn off the verification of certificates", () => {
    const env = { NODE_TLS_REJECT_UNAUTHORIZED: "0", PATH: "/bin" };
    expect(disarmRuntime(env, true)).toEqual([expect.stringContaining("NODE_TLS_REJECT_UNAUTHORIZED")]);
    expect(env).toEqual({ PATH: "/bin" } as typeof env);
    expect(disarmRuntime({ NODE_TLS_REJECT_UNAUTHORIZED: "1" }, true)).toEqual([]);
  });

  test("cannot have requests printed with their credentials", () => {
    for (const value of ["curl", "1", "true"]) {
      const env = { BUN_CONFIG_VERBOSE_FETCH: value };
      expect(disarmRuntime(env, false)).toEqual([expect.stringContaining("BUN_CONFIG_VERBOSE_FETCH")]);
      expect(env.BUN_CONFIG_VERBOSE_FETCH).toBe("false");
    }
    for (const value of ["", "0", "false"]) {
      expect(disarmRuntime({ BUN_CONFIG_VERBOSE_FETCH: value }, false)).toEqual([]);
    }
  });

  test("that is ordinary is left as it is", () => {
    const env = { PATH: "/bin", HOME: "/root", CNB_PLATFORM_API: "0.15", NODE_EXTRA_CA_CERTS: "/ca.pem" };
    const before = { ...env };
    expect(disarmRuntime(env, true)).toEqual([]);
    expect(env).toEqual(before);
  });
});

describe("the executable", () => {
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
