import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { groupToml, makeCache } from "../support/cache-fixture.ts";
import { differences, restorerPath, runRestorer, snapshot, type TempDir, tempDir } from "../support/harness.ts";
import { asUser, expectPlain, plainUser, runWrapped, scene, withMounts } from "./scene.ts";

describe("bad input", () => {
  interface Bad {
    readonly what: string;
    readonly exitCode: number;
    readonly says: readonly string[];
    readonly args?: (dir: TempDir) => readonly string[];
    readonly env?: Readonly<Record<string, string>>;
    readonly change?: (dir: TempDir) => void;
  }
  const group = (content: string | Uint8Array) => (dir: TempDir) =>
    writeFileSync(dir.join("layers/group.toml"), content);
  const table: readonly Bad[] = [
    {
      what: "a missing group.toml",
      exitCode: 1,
      says: ["group.toml", "no such file or directory", "-group"],
      change: (dir) => rmSync(dir.join("layers/group.toml")),
    },
    {
      what: "a malformed group.toml",
      exitCode: 1,
      says: ["group.toml:2:9", '\n  id = "bp\n', "^"],
      change: group('[[group]]\nid = "bp\n'),
    },
    {
      what: "a binary group.toml",
      exitCode: 1,
      says: ["group.toml", "not UTF-8 text"],
      change: group(new Uint8Array([0x1f, 0x8b, 8, 0, 0xff, 0xfe, 0x0a])),
    },
    {
      what: "a group.toml that is a directory",
      exitCode: 1,
      says: ["read group file", "is not a regular file"],
      args: (dir) => ["-group", dir.path],
    },
    {
      what: "a group without api",
      exitCode: 12,
      says: ['buildpack "bp"', "does not say its Buildpack API"],
      change: group(groupToml([{ id: "bp", api: null }])),
    },
    {
      what: "an unsupported Buildpack API",
      exitCode: 12,
      says: ['buildpack "bp"', '"0.2"'],
      change: group(groupToml([{ id: "bp", api: "0.2" }])),
    },
    {
      what: "a layers path that is a file",
      exitCode: 42,
      says: ["a-file", "not a directory"],
      args: (dir) => ["-layers", dir.join("a-file"), "-group", dir.join("layers/group.toml")],
      change: (dir) => writeFileSync(dir.join("a-file"), "precious"),
    },
    {
      what: "a layers path below a file",
      exitCode: 42,
      says: ["a-file/layers", "not a directory"],
      args: (dir) => ["-layers", dir.join("a-file/layers"), "-group", dir.join("layers/group.toml")],
      change: (dir) => writeFileSync(dir.join("a-file"), "precious"),
    },
    { what: "an unknown flag", exitCode: 3, says: ["unknown flag -bogus", "Usage:"], args: () => ["-bogus"] },
    {
      what: "a flag newer than the Platform API",
      exitCode: 3,
      says: ["-run", "since Platform API 0.14"],
      args: () => ["-run", "/x"],
      env: { CNB_PLATFORM_API: "0.13" },
    },
    { what: "-uid abc", exitCode: 3, says: ['-uid "abc"', "Usage:"], args: () => ["-uid", "abc"] },
    { what: "-gid -1", exitCode: 3, says: ['-gid "-1"'], args: () => ["-gid", "-1"] },
    { what: "CNB_USER_ID=-1", exitCode: 3, says: ['CNB_USER_ID="-1"'], env: { CNB_USER_ID: "-1" } },
    {
      what: "a bad log level",
      exitCode: 3,
      says: ['-log-level "loud" is not one of debug'],
      args: () => ["-log-level", "loud"],
    },
    { what: "an unexpected positional", exitCode: 3, says: ['unexpected Args: "image"'], args: () => ["image"] },
    { what: "a flag without its value", exitCode: 3, says: ["-group needs a value"], args: () => ["-group"] },
    {
      what: "CNB_RESTORE_STRICT=yes",
      exitCode: 3,
      says: ['CNB_RESTORE_STRICT="yes" is neither true nor false'],
      env: { CNB_RESTORE_STRICT: "yes" },
    },
    { what: "-strict=maybe", exitCode: 3, says: ["neither true nor false"], args: () => ["-strict=maybe"] },
    {
      what: "-cache-volume with -cache-image",
      exitCode: 3,
      says: ["-cache-volume and -cache-image"],
      args: () => ["-cache-volume", "/v", "-cache-image", "localhost:1/x"],
    },
    { what: "Platform API 0.6", exitCode: 11, says: ['"0.6" is not supported'], env: { CNB_PLATFORM_API: "0.6" } },
    { what: "Platform API nonsense", exitCode: 11, says: ['"x\\x1b[m"'], env: { CNB_PLATFORM_API: "x\x1b[m" } },
    {
      what: "a report that cannot be written",
      exitCode: 1,
      says: ["write report", "absent/report.json"],
      args: (dir) => ["-skip-layers", "-report", dir.join("absent/report.json")],
    },
  ];

  test.each(table)(
    "$what: exit $exitCode, a clear message on stderr, nothing lost, no stack trace",
    async ({ exitCode, says, args, env, change }) => {
      using made = scene({ standing: { bp: { old: { file: "precious" }, "old.toml": "" } } });
      change?.(made.dir);
      const before = snapshot(made.dir.path);
      const result = await made.run(args?.(made.dir) ?? [], { env: env ?? {} });
      expect({ exitCode: result.exitCode, signal: result.signal }).toEqual({ exitCode, signal: null });
      expect(result.stderr).toMatch(/^(Warning: Not using analyzed data: .*\n)?ERROR: /);
      for (const part of says) expect(result.stderr).toContain(part);
      expectPlain(result);
      expect(differences(snapshot(made.dir.path), before)).toEqual([]);
    },
  );

  test("the stack trace is there for who asks for it: at debug", async () => {
    using dir = tempDir("debug", { layers: {} });
    const { exitCode, stdout, stderr } = await runRestorer(["-layers", dir.join("layers"), "-log-level", "debug"]);
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/^ +at /m);
    expect(stderr).not.toMatch(/^ +at /m);
  });

  asUser("a layers directory that may not be written: exit 42", async () => {
    using made = scene();
    chmodSync(made.layers, 0o555);
    const result = await made.run([], plainUser);
    expect(result.exitCode).toBe(42);
    expect(result.stderr).toContain("permission denied");
    expectPlain(result);
    expect(readdirSync(made.layers).sort()).toEqual(["analyzed.toml", "group.toml"]);
    chmodSync(made.layers, 0o755);
  });

  withMounts("a full disk: exit 42, and what stood before still stands, with nothing half-made beside it", async () => {
    using made = scene({
      buildpacks: () => [],
      group: groupToml([{ id: "bp" }]),
    });
    using big = tempDir("big", { tree: { large: new Uint8Array(8 << 20) } });
    makeCache(made.dir.join("cache"), [{ id: "bp", layers: [{ name: "deps", tree: big.join("tree") }] }]);
    const script = `
      mount -t tmpfs -o size=2m tmpfs "$LAYERS" || exit 99
      mkdir -p "$LAYERS/bp/deps" && echo precious >"$LAYERS/bp/deps/file" && echo >"$LAYERS/bp/deps.toml"
      "$@"; code=$?
      echo "left:" $(cd "$LAYERS" && find . | sort)
      exit $code`;
    const args = ["-layers", made.layers, "-cache-dir", made.dir.join("cache"), "-group", made.dir.join("group.toml")];
    renameSync(join(made.layers, "group.toml"), made.dir.join("group.toml"));
    const result = await runWrapped(["unshare", "-m", "sh", "-c", script, "sh", restorerPath(), ...args], {
      LAYERS: made.layers,
    });
    expect(result.exitCode).toBe(42);
    expect(result.stderr).toContain("no space left on device");
    expectPlain(result);
    expect(result.stdout).toEndWith("left: . ./bp ./bp/deps ./bp/deps.toml ./bp/deps/file\n");
  });
});

describe("CNB_REGISTRY_AUTH", () => {
  for (const [what, value] of [
    ["text", "secret"],
    ["a number for a header", '{"registry.example": 5}'],
  ] as const) {
    test(`that is ${what} ends the run with 1, also where no registry is used, and is not shown`, async () => {
      using made = scene();
      const { exitCode, stdout, stderr } = await made.run([], { env: { CNB_REGISTRY_AUTH: value } });
      expect(exitCode).toBe(1);
      expect(stderr).toContain("CNB_REGISTRY_AUTH");
      expect(`${stdout}${stderr}`).not.toContain(value);
    });
  }

  test("that is in order changes nothing where no registry is used", async () => {
    using made = scene();
    const { exitCode } = await made.run([], { env: { CNB_REGISTRY_AUTH: '{"registry.example": "Basic dTpw"}' } });
    expect(exitCode).toBe(0);
    expect(existsSync(join(made.layers, "bp", "deps.toml"))).toBe(true);
  });
});
