import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import {
  type Analyzed,
  analyzedToml,
  type CachedBuildpack,
  type CacheFixture,
  type CacheOptions,
  groupToml,
  makeCache,
} from "../support/cache-fixture.ts";
import {
  differences,
  directory,
  file,
  have,
  isRoot,
  link,
  type RunOptions,
  type RunResult,
  restorerPath,
  runRestorer,
  skipUnless,
  snapshot,
  type TempDir,
  type Tree,
  tempDir,
  writeTree,
} from "../support/harness.ts";

/** A directory with `layers`, `cache` and what was packed into it, ready for a run. */
interface Scene extends Disposable {
  readonly dir: TempDir;
  readonly layers: string;
  readonly cache: CacheFixture;
  run(args?: readonly string[], options?: RunOptions): Promise<RunResult>;
}

const layerTree: Tree = {
  bin: { tool: file("#!/bin/sh\n", 0o755) },
  "read-only": directory({ module: "text" }, 0o555),
  empty: {},
  latest: link("bin/tool"),
};

interface SceneOptions extends CacheOptions {
  /** Names of the layers in the cache, all of buildpack `bp` and with the same tree. */
  readonly layers?: readonly string[];
  readonly buildpacks?: (tree: string) => readonly CachedBuildpack[];
  readonly analyzed?: Analyzed;
  readonly group?: string;
  /** What stands in the layers directory before. */
  readonly standing?: Tree;
}

function scene({ layers = ["deps"], buildpacks, analyzed, group, standing, ...options }: SceneOptions = {}): Scene {
  const dir = tempDir("cli", { tree: layerTree, layers: standing ?? {}, cache: {} });
  const tree = dir.join("tree");
  const packed = buildpacks?.(tree) ?? [{ id: "bp", layers: layers.map((name) => ({ name, tree, data: { name } })) }];
  const cache = makeCache(dir.join("cache"), packed, options);
  writeTree(dir.join("layers"), {
    "group.toml": group ?? groupToml(packed.map(({ id }) => ({ id }))),
    "analyzed.toml": analyzedToml(analyzed),
  });
  const base = ["-layers", dir.join("layers"), "-cache-dir", dir.join("cache")];
  return {
    dir,
    layers: dir.join("layers"),
    cache,
    run: (args = [], runOptions) => runRestorer([...base, ...args], runOptions),
    [Symbol.dispose]: () => dir[Symbol.dispose](),
  };
}

/** No stack trace, and nothing of the program's insides. */
function expectPlain({ stdout, stderr }: { stdout: string; stderr: string }): void {
  expect(`${stdout}${stderr}`).not.toMatch(/^ +at |\.ts:|bunfs|\[object |undefined|TypeError|valibot/m);
  expect(`${stdout}${stderr}`).not.toContain("\x1b");
}

/** That a layer came back as it was packed. */
function expectWhole({ dir, layers }: Scene, place = "bp/deps"): void {
  expect(differences(snapshot(join(layers, place)), snapshot(dir.join("tree")), { ignore: ["uid", "gid"] })).toEqual(
    [],
  );
  expect(existsSync(join(layers, `${place}.toml`))).toBe(true);
}

/** The user that root becomes for what root could always do, and whether the executable is within that user's reach. */
const other = 65534;
const plainUser: RunOptions = isRoot ? { uid: other, gid: other } : {};
const canBeOther =
  !isRoot ||
  (have("setpriv") &&
    Bun.spawnSync(
      ["setpriv", `--reuid=${other}`, `--regid=${other}`, "--clear-groups", "--", restorerPath(), "-version"],
      { stderr: "ignore" },
    ).exitCode === 0);
const asUser = skipUnless(canBeOther, "setpriv, and an executable that other users may run");

function give(path: string): void {
  if (!isRoot) return;
  for (const name of [...snapshot(path).keys()]) chownSync(join(path, name), other, other);
  chownSync(path, other, other);
}

const canMount = isRoot && have("unshare") && Bun.spawnSync(["unshare", "-m", "true"]).exitCode === 0;
const withMounts = skipUnless(canMount, "root, and mount namespaces (unshare)");

/** Runs a command that ends in the executable, in the environment of {@link runRestorer}. */
async function runWrapped(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<RunResult> {
  using home = tempDir("home");
  const child = Bun.spawn([...argv], {
    cwd: home.path,
    env: { PATH: process.env.PATH, HOME: home.path, CNB_PLATFORM_API: "0.13", CNB_KANIKO_DIR: home.path, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { exitCode: child.exitCode, signal: null, stdout, stderr };
}

describe("-help", () => {
  const sections = ["Inputs", "Cache", "Images", "User", "Output", "Other"];
  /** Flag, section, what its line must say beside its meaning. */
  const table: readonly [string, string, string[]][] = [
    ["analyzed", "Inputs", ["$CNB_ANALYZED_PATH", "default <layers>/analyzed.toml"]],
    ["build-image", "Images", ["$CNB_BUILD_IMAGE", "0.10"]],
    ["cache-dir", "Cache", ["$CNB_CACHE_DIR"]],
    ["cache-image", "Cache", ["$CNB_CACHE_IMAGE"]],
    ["cache-volume", "Cache", ["-cache-dir"]],
    ["daemon", "Images", ["$CNB_USE_DAEMON", "0.12"]],
    ["generated", "Inputs", ["$CNB_GENERATED_DIR", "default <layers>/generated", "0.12"]],
    ["gid", "User", ["$CNB_GROUP_ID", "default current group"]],
    ["group", "Inputs", ["$CNB_GROUP_PATH", "default <layers>/group.toml"]],
    ["help", "Other", []],
    ["image", "Inputs", []],
    ["insecure-registry", "Images", ["$CNB_INSECURE_REGISTRIES", "0.13"]],
    ["kaniko-dir", "Images", ["$CNB_KANIKO_DIR", "default /kaniko"]],
    ["layers", "Inputs", ["$CNB_LAYERS_DIR", "default /layers"]],
    ["layout", "Images", ["$CNB_USE_LAYOUT", "0.12"]],
    ["layout-dir", "Images", ["$CNB_LAYOUT_DIR", "0.12"]],
    ["log-level", "Output", ["$CNB_LOG_LEVEL", "default info"]],
    ["no-color", "Output", ["$CNB_NO_COLOR", "$NO_COLOR"]],
    ["platform", "Inputs", ["$CNB_PLATFORM_DIR"]],
    ["report", "Output", ["$CNB_RESTORE_REPORT"]],
    ["run", "Images", ["$CNB_RUN_PATH", "default /cnb/run.toml", "0.14"]],
    ["skip-layers", "Inputs", ["$CNB_SKIP_LAYERS", "$CNB_SKIP_RESTORE"]],
    ["strict", "Cache", ["$CNB_RESTORE_STRICT"]],
    ["uid", "User", ["$CNB_USER_ID", "default current user"]],
    ["version", "Other", []],
  ];

  test("lists every flag in its section, with default, environment variable and Platform API", async () => {
    const { exitCode, stdout, stderr } = await runRestorer(["-help"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    const positions = sections.map((section) => stdout.indexOf(`\n${section}:\n`));
    expect(positions).toEqual([...positions].sort((a, b) => a - b));
    expect(positions).not.toContain(-1);

    const found: string[] = [];
    for (const [at, section] of sections.entries()) {
      const body = stdout.slice(positions[at], positions[at + 1] ?? stdout.indexOf("\n\nFlags may"));
      for (const [, name = "", text = ""] of body.matchAll(/^ +-([a-z-]+) +((?:.|\n {8,})+)$/gm)) {
        found.push(name);
        const wanted = table.find(([flag]) => flag === name);
        const said = text.replace(/\s+/g, " ");
        expect({ name, section: wanted?.[1] }).toEqual({ name, section });
        for (const part of wanted?.[2] ?? []) expect(said).toContain(part);
      }
    }
    expect(found.sort()).toEqual(table.map(([flag]) => flag).sort());
    expect(stdout).toContain("Usage: restorer");
    for (const code of ["1 failed", "3 bad arguments", "11 or 12", "42", "128+n"]) expect(stdout).toContain(code);
  });

  test.each(["-help", "--help", "-h", "restore -help", "-layers /x -help"])(
    "is answered whatever else is wrong: %s",
    async (line) => {
      const env = { CNB_PLATFORM_API: "nonsense", CNB_LOG_LEVEL: "nonsense", CNB_USER_ID: "-5" };
      const { exitCode, stdout } = await runRestorer(line.split(" "), { env });
      expect(exitCode).toBe(0);
      expect(stdout).toContain("Usage: restorer");
    },
  );
});

describe("-version", () => {
  test.each(["-version", "--version"])("%s is answered before the Platform API is looked at", async (flag) => {
    const { exitCode, stdout, stderr } = await runRestorer([flag], { env: { CNB_PLATFORM_API: "99.9" } });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatch(/^restorer [0-9]+\.[0-9]+\.[0-9]+(\+[0-9a-f]{7,40})?\n$/);
  });
});

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
      says: ["group.toml", "no UTF-8 text"],
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
      says: ['buildpack "bp"', "names no Buildpack API"],
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
    { what: "-uid abc", exitCode: 3, says: ['-uid: "abc"', "Usage:"], args: () => ["-uid", "abc"] },
    { what: "-gid -1", exitCode: 3, says: ['-gid: "-1"'], args: () => ["-gid", "-1"] },
    { what: "CNB_USER_ID=-1", exitCode: 3, says: ['CNB_USER_ID: "-1"'], env: { CNB_USER_ID: "-1" } },
    { what: "a bad log level", exitCode: 3, says: ['log level "loud"'], args: () => ["-log-level", "loud"] },
    { what: "an unexpected positional", exitCode: 3, says: ['unexpected Args: "image"'], args: () => ["image"] },
    { what: "a flag without its value", exitCode: 3, says: ["-group needs a value"], args: () => ["-group"] },
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
      expect(result.stderr).toMatch(/^(Warning: Not using analyzed data, .*\n)?ERROR: /);
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
      what: "a missing cache",
      says: "no such file or directory",
      change: ({ cache }) => rmSync(cache.path, { recursive: true }),
    },
    {
      what: "metadata that is no JSON",
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
              { name: "bad", tar: Buffer.from("no tar at all") },
            ],
          },
        ],
      });
      const result = await made.run(args);
      expect(result.exitCode).toBe(args.length === 0 ? 0 : 42);
      expect(result.stderr).toContain('"bp:bad"');
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

describe("what people see", () => {
  test("a line for each layer and a summary on stdout; nothing on stderr", async () => {
    using made = scene({
      buildpacks: (tree) => [
        {
          id: "a/b",
          layers: [
            { name: "deps", tree },
            { name: "not-cached", cache: false },
          ],
        },
      ],
      analyzed: { buildpacks: [{ id: "a/b", layers: [{ name: "app" }] }] },
    });
    // Later ones also look at the run image.
    const { exitCode, stdout, stderr } = await made.run([], { env: { CNB_PLATFORM_API: "0.13" } });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    const lines = stdout.trimEnd().split("\n");
    expect(lines.slice(0, -1).sort()).toEqual([
      'Not restoring "a/b:not-cached": cache=false in the cache',
      'Restoring data for "a/b:deps" from cache',
      'Restoring metadata for "a/b:app" from app image',
      'Restoring metadata for "a/b:deps" from cache',
    ]);
    expect(lines.at(-1)).toMatch(
      /^Restored 1 layer \(3 files, [0-9]+ bytes\) in [0-9.]+ s, 1 metadata only, 1 skipped$/,
    );
  });

  test("a removed layer is named with its reason", async () => {
    const sha = `sha256:${"0".repeat(64)}`;
    using made = scene({
      buildpacks: (tree) => [{ id: "bp", layers: [{ name: "deps", tree, launch: true }] }],
      analyzed: { buildpacks: [{ id: "bp", layers: [{ name: "deps", sha, cache: true }] }] },
      standing: { bp: { deps: { old: "" }, "deps.toml": "", "deps.sha": "", "deps.sbom.cdx.json": "{}" } },
    });
    const { stdout, stderr } = await made.run();
    expect(stderr).toBe("");
    expect(stdout).toContain('Removing "bp:deps", wrong sha: ');
    expect(readdirSync(join(made.layers, "bp"))).toEqual([]);
  });

  test("-log-level error is silent where all is well, and debug says no less than info", async () => {
    using made = scene();
    expect(await made.run(["-log-level", "error"])).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
    const info = (await made.run()).stdout.split("\n").filter((line) => !line.startsWith("Restored"));
    const debug = (await made.run(["-log-level", "DEBUG"])).stdout.split("\n");
    for (const line of info) expect(debug).toContain(line);
  });

  test("`restore` as the first argument stands for `lifecycle restore`", async () => {
    using made = scene();
    const args = ["restore", "-layers", made.layers, "-cache-dir", made.cache.path];
    expect(await runRestorer(args)).toMatchObject({ exitCode: 0, stderr: "" });
    expectWhole(made);
    expect((await runRestorer(["restore", "restore"])).exitCode).toBe(3);
  });

  test("without CNB_PLATFORM_API there is a warning, and the newest", async () => {
    using made = scene();
    const { exitCode, stderr } = await made.run([], { env: { CNB_PLATFORM_API: undefined } });
    expect({ exitCode, stderr }).toEqual({
      exitCode: 0,
      stderr: "Warning: CNB_PLATFORM_API is not set, assuming the newest, 0.15\n",
    });
    expectWhole(made);
  });

  test("everything may come from the environment", async () => {
    using made = scene();
    const env = { CNB_LAYERS_DIR: made.layers, CNB_CACHE_DIR: made.cache.path, CNB_LOG_LEVEL: "error" };
    expect(await runRestorer([], { env })).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
    expectWhole(made);
  });

  test("-report writes what happened to each layer as JSON", async () => {
    using made = scene({
      buildpacks: (tree) => [
        {
          id: "bp",
          layers: [
            { name: "deps", tree },
            { name: "bad", tar: Buffer.from("x") },
            { name: "no", cache: false },
          ],
        },
      ],
      analyzed: { buildpacks: [{ id: "bp", layers: [{ name: "app" }] }] },
    });
    const path = made.dir.join("report.json");
    const { stderr } = await made.run(["-report", path]);
    const report = JSON.parse(readFileSync(path, "utf8"));
    expect(report).toMatchObject({ reportVersion: 1, platformApi: "0.15", seconds: expect.any(Number) });
    expect(report.cache).toContain(made.cache.path);
    const byName = Object.fromEntries(report.layers.map((layer: { layer: string }) => [layer.layer, layer]));
    expect(byName).toEqual({
      deps: {
        buildpack: "bp",
        layer: "deps",
        outcome: "restored",
        code: "cached",
        reason: "cached",
        source: "cache",
        sha: made.cache.sha("bp", "deps"),
        files: 3,
        bytes: expect.any(Number),
      },
      bad: expect.objectContaining({ outcome: "refused", code: "blob-unusable", reason: expect.any(String) }),
      no: expect.objectContaining({ outcome: "skipped", code: "cache-false", reason: "cache=false in the cache" }),
      app: expect.objectContaining({ outcome: "metadata", code: "launch-layer", source: "app image" }),
    });
    expect(report.troubles).toHaveLength(1);
    expect(stderr).toBe(`Warning: ${report.troubles[0]}\n`);
  });
});

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
      using many = tempDir("many", { tree: Object.fromEntries([...Array(8).keys()].map((i) => [`d${i}`, {}])) });
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
    30_000,
  );
});

describe("the cache is only ever read", () => {
  /** Names, contents, modes and times of all that the cache holds. */
  function everything(path: string): unknown {
    const entries = [...snapshot(path)];
    return entries.map(([name, entry]) => [name, entry, lstatSync(join(path, name), { bigint: true }).mtimeNs]);
  }

  test("nothing in it changes, leftovers of an exporter included", async () => {
    using made = scene();
    writeTree(made.cache.path, { staging: { "half.tar": "x" }, "committed-backup": { old: "" } });
    const before = everything(made.cache.path);
    expect((await made.run()).exitCode).toBe(0);
    expect(everything(made.cache.path)).toEqual(before);
    expectWhole(made);
  });

  test("after a crash between the exporter's renames it is read from committed-backup, which stays", async () => {
    using made = scene({ directory: "committed-backup" });
    const before = everything(made.cache.path);
    const { exitCode, stderr } = await made.run();
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expectWhole(made);
    expect(everything(made.cache.path)).toEqual(before);
  });

  withMounts("it may be mounted read-only", async () => {
    using made = scene();
    const script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && ! touch "$0/x" 2>/dev/null && exec "$@"';
    const args = [restorerPath(), "-layers", made.layers, "-cache-dir", made.cache.path];
    const result = await runWrapped(["unshare", "-m", "sh", "-c", script, made.cache.path, ...args]);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expectWhole(made);
  });

  asUser("it may belong to another user, and be closed to writers", async () => {
    using made = scene();
    give(made.layers);
    chmodSync(made.cache.blob("bp", "deps"), 0o444);
    chmodSync(made.cache.committed, 0o555);
    const result = await made.run([], plainUser);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expectWhole(made);
    chmodSync(made.cache.committed, 0o755);
  });
});

describe("SBOM files", () => {
  const bom = (text: string) => JSON.stringify({ bom: text });

  test("come back beside their layers: from the cache, and from what the analyzer put into <layers>/sbom", async () => {
    using boms = tempDir("sbom", {
      tree: {
        bp: {
          deps: { "sbom.cdx.json": bom("cached deps"), "sbom.spdx.json": bom("cached deps spdx") },
          absent: { "sbom.cdx.json": bom("of no layer") },
        },
        "not-in-group": { x: { "sbom.cdx.json": bom("of no buildpack") } },
      },
    });
    using made = scene({
      sbom: { tree: boms.join("tree") },
      analyzed: { buildpacks: [{ id: "bp", layers: [{ name: "app" }] }] },
      standing: {
        sbom: {
          launch: { bp: { app: { "sbom.syft.json": bom("launch app") }, gone: { "sbom.cdx.json": bom("gone") } } },
        },
      },
    });
    const { exitCode, stderr } = await made.run();
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expectWhole(made);
    const files = readdirSync(join(made.layers, "bp")).filter((name) => name.includes(".sbom."));
    expect(files.sort()).toEqual(["app.sbom.syft.json", "deps.sbom.cdx.json", "deps.sbom.spdx.json"]);
    expect(readFileSync(join(made.layers, "bp/app.sbom.syft.json"), "utf8")).toBe(bom("launch app"));
    expect(readFileSync(join(made.layers, "bp/deps.sbom.cdx.json"), "utf8")).toBe(bom("cached deps"));
    expect(readdirSync(made.layers).sort()).toEqual(["analyzed.toml", "bp", "group.toml"]);
  });

  test("a launch layer's win over the cache's", async () => {
    using boms = tempDir("sbom", { tree: { bp: { deps: { "sbom.cdx.json": bom("cache") } } } });
    using made = scene({
      sbom: { tree: boms.join("tree") },
      standing: { sbom: { launch: { bp: { deps: { "sbom.cdx.json": bom("launch") } } } } },
    });
    expect((await made.run()).exitCode).toBe(0);
    expect(readFileSync(join(made.layers, "bp/deps.sbom.cdx.json"), "utf8")).toBe(bom("launch"));
  });

  test("that cannot be read are a warning, and the layers come back without them", async () => {
    using made = scene({ sbom: { tar: Buffer.from("no tar") } });
    const result = await made.run();
    expect(result.exitCode).toBe(0);
    expect(result.stderr).toContain("Warning: Not restoring SBOM files from cache: ");
    expectPlain(result);
    expectWhole(made);
  });

  test("that are none are a warning", async () => {
    using made = scene({ standing: { sbom: { launch: { bp: { deps: { "sbom.cdx.json": directory({}) } } } } } });
    const result = await made.run();
    expect(result.exitCode).toBe(0);
    expect(result.stderr).toContain(
      `Warning: Not restoring SBOM file "${made.layers}/sbom/launch/bp/deps/sbom.cdx.json": it is not a regular file`,
    );
    expectWhole(made);
  });

  test("are none of Platform API 0.7's", async () => {
    using boms = tempDir("sbom", { tree: { bp: { deps: { "sbom.cdx.json": bom("cache") } } } });
    using made = scene({ sbom: { tree: boms.join("tree") }, standing: { sbom: { launch: {} } } });
    expect((await made.run([], { env: { CNB_PLATFORM_API: "0.7" } })).exitCode).toBe(0);
    expect(readdirSync(join(made.layers, "bp")).sort()).toEqual(["deps", "deps.toml"]);
    expect(existsSync(join(made.layers, "sbom"))).toBe(true);
  });
});

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

  asUser("belongs to whoever runs; another user asked for by one who is not root is a warning", async () => {
    using made = scene();
    give(made.layers);
    const { exitCode, stderr } = await made.run(["-uid", "12345", "-gid", "12345"], plainUser);
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/^Warning: cannot become user 12345:12345, only root can/);
    expectWhole(made);
  });

  skipUnless(isRoot && canBeOther, "root")("belongs to the user that root is asked to become", async () => {
    using made = scene();
    mkdirSync(join(made.layers, "bp"));
    const { exitCode, stderr } = await made.run(["-uid", String(other), "-gid", String(other)]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expectWhole(made);
    for (const [path, { uid, gid }] of snapshot(made.layers))
      expect({ path, uid, gid }).toEqual({ path, uid: other, gid: other });
  });
});

describe("what a run leaves for whoever looks later", () => {
  test("is a report also of a run that fails, with the reason", async () => {
    using made = scene();
    const report = made.dir.join("report.json");
    unlinkSync(made.cache.metadataPath);
    writeFileSync(made.cache.metadataPath, "no JSON");
    const { exitCode } = await made.run(["-strict", "-report", report]);
    expect(exitCode).toBe(42);
    const { error, layers } = JSON.parse(readFileSync(report, "utf8"));
    expect(error).toContain("restore from the cache");
    expect(layers).toEqual([]);
  });

  test("is no report through a link that was planted in the layers directory", async () => {
    using made = scene();
    const victim = made.dir.join("victim");
    writeFileSync(victim, "precious");
    symlinkSync(victim, join(made.layers, "report.json"));
    const { exitCode, stderr } = await made.run(["-report", join(made.layers, "report.json")]);
    expect({ exitCode, content: readFileSync(victim, "utf8") }).toEqual({ exitCode: 1, content: "precious" });
    expect(stderr).toContain("report.json");
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

describe("messages about what is not to be trusted", () => {
  test("stay on one line, whatever a digest or a wrong value is made of", async () => {
    const forged = "x\n::error::forged";
    using made = scene({
      buildpacks: (tree) => [{ id: "bp", layers: [{ name: "deps", tree, sha: forged, cache: true }] }],
      analyzed: { buildpacks: [{ id: "bp", layers: [{ name: "deps", sha: "sha256:0", launch: true, cache: true }] }] },
    });
    const { stdout, stderr } = await made.run();
    expect(`${stdout}${stderr}`).toContain("::error::forged");
    expect(`\n${stdout}\n${stderr}`).not.toContain("\n::error::");
  });

  test("name a cause once", async () => {
    using made = scene();
    unlinkSync(made.cache.blob("bp", "deps"));
    const { stderr } = await made.run();
    expect(stderr.match(/no such file or directory/g)).toHaveLength(1);
  });

  test("include variables that are no booleans", async () => {
    using made = scene();
    const { exitCode, stderr } = await made.run([], { env: { CNB_RESTORE_STRICT: "maybe" } });
    expect(exitCode).toBe(0);
    expect(stderr).toContain('CNB_RESTORE_STRICT="maybe" is neither true nor false');
  });
});
