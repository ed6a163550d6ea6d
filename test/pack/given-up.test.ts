import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { mount, withMounts } from "../layers/mounts.ts";
import { groupToml } from "../support/cache-fixture.ts";
import { eventually } from "../support/eventually.ts";
import {
  canRunAs,
  isRoot,
  runRestorer,
  skipUnless,
  startRestorer,
  type TempDir,
  type Tree,
  tempDir,
} from "../support/harness.ts";

const cached = "[types]\ncache = true\n";

/** A layers directory of one layer, whose tree is given. */
function layersOf(tree: Tree): TempDir {
  return tempDir("given-up", {
    layers: { "group.toml": groupToml([{ id: "bp" }]), bp: { deps: tree, "deps.toml": cached } },
  });
}

const make = (dir: TempDir, to = dir.join("new")) => ["make-cache", "-layers", dir.join("layers"), "-cache-dir", to];

/** Waits until a process has a file open. */
function opened(pid: number, path: string): Promise<true> {
  const fds = `/proc/${pid}/fd`;
  return eventually(`${path} to be read`, () => {
    try {
      return readdirSync(fds).some((fd) => existsSync(`${fds}/${fd}`) && readlinkSync(`${fds}/${fd}`) === path)
        ? true
        : undefined;
    } catch {
      // A descriptor was closed meanwhile.
      return undefined;
    }
  });
}

describe("packing is given up", () => {
  for (const [signal, exitCode] of [
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const) {
    test(`in the middle of a large file at ${signal}, and leaves nothing`, async () => {
      using dir = layersOf({ large: "" });
      // No machine gets through that before the signal comes.
      const large = dir.join("layers/bp/deps/large");
      truncateSync(large, 64 * 2 ** 30);
      mkdirSync(dir.join("empty"));
      for (const args of [make(dir), ["diff", dir.join("empty"), `layers:${dir.join("layers")}`]]) {
        const run = startRestorer(args);
        await opened(run.pid, large);
        run.kill(signal);
        const result = await run.result;
        expect(result).toMatchObject({ exitCode, stdout: "" });
        expect(result.stderr).toEndWith(`Warning: stopped by ${signal}\n`);
      }
      expect(readdirSync(dir.path).sort()).toEqual(["empty", "layers"]);
    });
  }

  withMounts("on a full disk, with one sentence", async () => {
    using dir = layersOf(Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`f${n}`, "x".repeat(20_000)])));
    mkdirSync(dir.join("small"));
    using _ = mount(dir.join("small"), "-t", "tmpfs", "-o", "size=3m", "tmpfs");
    const { exitCode, stdout, stderr } = await runRestorer(make(dir, dir.join("small/new")));
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr).toMatch(/^\S+ make cache "\S+new": no space left on device\n.*\n$/);
    expect(readdirSync(dir.join("small"))).toEqual([]);
  });

  const mayNotRead = skipUnless(!isRoot || canRunAs(1234), "who may run as another user");

  for (const [what, mode] of [
    ["file", 0o200],
    ["directory", 0o300],
  ] as const) {
    mayNotRead(`for a ${what} that may not be read, which is named`, async () => {
      using dir = layersOf({ a: {}, b: {} });
      const place = dir.join("layers/bp/deps/lib");
      if (what === "file") writeFileSync(place, "x");
      else mkdirSync(place);
      chmodSync(place, mode);
      mkdirSync(dir.join("open"));
      chmodSync(dir.join("open"), 0o777);
      const { exitCode, stderr } = await runRestorer(make(dir, dir.join("open/new")), isRoot ? { uid: 1234 } : {});
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(/^\S+ make cache "\S+new": "bp\/deps\/lib": permission denied\n.*\n$/);
      expect(readdirSync(dir.join("open"))).toEqual([]);
    });
  }

  test("keeps an empty directory that was there before", async () => {
    using dir = layersOf({});
    mkdirSync(dir.join("new"));
    Bun.spawnSync(["mkfifo", dir.join("layers/bp/deps/pipe")]);
    expect((await runRestorer(make(dir))).exitCode).toBe(1);
    expect(readdirSync(dir.join("new"))).toEqual([]);
    unlinkSync(dir.join("layers/bp/deps/pipe"));
    expect((await runRestorer(make(dir))).exitCode).toBe(0);
  });
});
