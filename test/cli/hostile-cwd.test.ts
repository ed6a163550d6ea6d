import { expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { groupToml, makeCache } from "../support/cache-fixture.ts";
import { have, restorerPath, skipUnless, type TempDir, type Tree, tempDir, writeTree } from "../support/harness.ts";

/*
 * The current directory may be an application's source, and the restorer runs as root: nothing in it may be read, let
 * alone run. Bun, left to itself, does both.
 */

/** Code that leaves a mark wherever it runs. */
function trap(canary: string): string {
  return `try { require("node:fs").writeFileSync(${JSON.stringify(canary)}, "caught"); } catch {}\n`;
}

/** What a directory may hold that a runtime, a bundler or a package would look for. */
function hostileTree(canary: string): Tree {
  const code = trap(canary);
  const env =
    "CNB_LOG_LEVEL=poisoned\nCNB_PLATFORM_API=6.6\nCNB_LAYERS_DIR=/poisoned\nBUN_OPTIONS=--preload=./preload.js\n";
  const bunfig =
    'preload = ["./preload.js"]\nlogLevel = "debug"\n[test]\npreload = ["./preload.js"]\n[run]\nbun = true\n';
  const packages = ["ky", "smol-toml", "tar-fs", "valibot", "yargs", "y18n", "cliui"];
  const scripts = ["restorer", "worker", "layer-thread", "blob-thread", "preload", "index", "help", "connect", "setup"];
  const names = scripts.flatMap((name) => [`${name}.ts`, `${name}.js`]);
  const sources = Object.fromEntries(names.map((name) => [name, code]));
  return {
    ...sources,
    lib: { ...sources, registry: { ...sources } },
    ".env": env,
    ".env.local": env,
    ".env.production": env,
    ".env.development": env,
    "bunfig.toml": bunfig,
    ".bunfig.toml": bunfig,
    "package.json": JSON.stringify({
      name: "x",
      version: "6.6.6",
      type: "commonjs",
      main: "index.js",
      bin: "index.js",
    }),
    "tsconfig.json": JSON.stringify({ extends: "./base.json", compilerOptions: { paths: { "*": ["./index.js"] } } }),
    "base.json": "{",
    ".npmrc": "node-options=--require ./preload.js\n",
    ".node_repl_history": "",
    "restorer.map": "{}",
    "group.toml": "poisoned",
    "analyzed.toml": "poisoned",
    locales: { "en.json": "{", "en_US.json": "{" },
    node_modules: Object.fromEntries(
      packages.map((name) => [
        name,
        { "package.json": JSON.stringify({ name, version: "6.6.6", main: "index.js" }), "index.js": code },
      ]),
    ),
  };
}

interface Trap extends Disposable {
  readonly cwd: string;
  readonly canary: string;
  readonly dir: TempDir;
  /** Command lines that go through all that is loaded at run time: workers, help, errors, the registry. */
  readonly runs: readonly (readonly string[])[];
}

function setTrap(): Trap {
  const dir = tempDir("hostile", { cwd: {}, layers: {}, tree: { file: "content" } });
  const canary = dir.join("canary");
  writeTree(dir.join("cwd"), hostileTree(canary));
  makeCache(dir.join("cache"), [{ id: "bp", layers: [{ name: "deps", tree: dir.join("tree") }] }]);
  writeTree(dir.join("layers"), { "group.toml": groupToml([{ id: "bp" }]) });
  const restore = ["-layers", dir.join("layers"), "-log-level", "debug"];
  return {
    cwd: dir.join("cwd"),
    canary,
    dir,
    runs: [
      [...restore, "-cache-dir", dir.join("cache")],
      [...restore, "-cache-image", "127.0.0.1:1/no/cache"],
      [...restore, "-group", dir.join("absent.toml")],
      ["-help"],
      ["-version"],
      ["-bogus"],
    ],
    [Symbol.dispose]: () => dir[Symbol.dispose](),
  };
}

function run(argv: readonly string[], { cwd, dir }: Trap) {
  mkdirSync(dir.join("home"), { recursive: true });
  const { exitCode, stdout, stderr } = Bun.spawnSync([...argv], {
    cwd,
    env: {
      PATH: process.env.PATH,
      HOME: dir.join("home"),
      CNB_PLATFORM_API: "0.13",
      CNB_KANIKO_DIR: dir.join("kaniko"),
    },
  });
  return { exitCode, output: `${stdout}${stderr}` };
}

test("the trap is set: Bun itself, run in that directory, walks into it", () => {
  using set = setTrap();
  run([process.execPath, "run", "./innocent.ts"], set);
  writeTree(set.cwd, { "innocent.ts": "" });
  run([process.execPath, "run", "./innocent.ts"], set);
  expect(existsSync(set.canary)).toBe(true);
});

test("nothing of a hostile current directory is run or believed", () => {
  using set = setTrap();
  for (const args of set.runs) {
    const { exitCode, output } = run([restorerPath(), ...args], set);
    expect({ args, caught: existsSync(set.canary) }).toEqual({ args, caught: false });
    expect(output).not.toContain("poisoned");
    expect(output).not.toContain("6.6");
    expect([0, 1, 3, 42]).toContain(exitCode);
  }
  expect(readFileSync(set.dir.join("layers/bp/deps/file"), "utf8")).toBe("content");
});

const canTrace = have("strace") && Bun.spawnSync(["strace", "-o", "/dev/null", "true"], { stderr: "ignore" }).success;
skipUnless(canTrace, "a strace that may trace")("none of its files is even looked for", () => {
  using set = setTrap();
  const log = set.dir.join("trace");
  for (const args of set.runs) {
    run(["strace", "-f", "-qq", "-s", "4096", "-e", "trace=%file", "-o", log, restorerPath(), ...args], set);
    const calls = readFileSync(log, "utf8").split("\n");
    // getcwd only tells its name.
    const looked = calls.filter((call) => !/^[0-9]+ +(getcwd|exit|\+\+\+|---)/.test(call) && isInside(call, set.cwd));
    expect({ args, looked }).toEqual({ args, looked: [] });
    expect(calls.some((call) => call.includes("execve("))).toBe(true);
    rmSync(log);
  }
});

/** Whether a system call names something in a directory, or something relative to it. */
function isInside(call: string, cwd: string): boolean {
  const paths = [...call.matchAll(/(\(|AT_FDCWD, |, )"((?:[^"\\]|\\.)*)"/g)];
  return paths.some(([, before, path = ""]) => {
    // An empty path names nothing.
    const isRelative =
      path !== "" && !path.startsWith("/") && (before === "(" || before === "AT_FDCWD, ") && !/execve\(/.test(call);
    return isRelative || path === cwd || path.startsWith(`${cwd}/`) || path.startsWith("/proc/self/cwd");
  });
}

test("a current directory that may not be read does not matter", () => {
  using set = setTrap();
  chmodSync(set.cwd, 0o111);
  const [restore = []] = set.runs;
  expect(run([restorerPath(), ...restore], set).exitCode).toBe(0);
  chmodSync(set.cwd, 0o755);
});
