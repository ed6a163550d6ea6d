// Runs alone: it fills disks.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { have, isRoot, runRestorer, skipUnless, tempDir } from "../support/harness.ts";
import { mount, withMounts } from "./mounts.ts";
import { all, buildpack, Caches, directory, layerNames, layersDir, leftovers } from "./versions.ts";

describe("a disk that fails", () => {
  let caches: Caches;
  beforeAll(() => {
    caches = new Caches(200, 1 << 20);
  });
  afterAll(() => caches[Symbol.dispose]());

  function expectWhole(layers: string, states: readonly string[] = ["red", "blue", "absent"]): void {
    expect(caches.states(layers).filter((state) => !states.includes(state))).toEqual([]);
    expect(leftovers(layers)).toEqual([]);
  }

  for (const options of ["size=256k", "size=1200k", "size=3m", "size=4300k", "nr_inodes=60", "nr_inodes=260"]) {
    withMounts(`of ${options} that is full ends with exit 42, nothing half, and no staging`, async () => {
      using dir = tempDir("full");
      mkdirSync(dir.join("layers"));
      using _ = mount(dir.join("layers"), "-t", "tmpfs", "-o", `${options},mode=755`, "tmpfs");
      const layers = layersDir(dir);
      const { exitCode, stderr } = await runRestorer(caches.args(layers, "red"));
      expect(stderr).toContain("no space left on device");
      expect(exitCode).toBe(42);
      expectWhole(layers, ["red", "absent"]);
    });
  }

  withMounts("that is full keeps older layers that are whole, or removes them", async () => {
    using dir = tempDir("full");
    mkdirSync(dir.join("layers"));
    using _ = mount(dir.join("layers"), "-t", "tmpfs", "-o", "size=6m,mode=755", "tmpfs");
    const layers = layersDir(dir);
    expect((await runRestorer(caches.args(layers, "red"))).exitCode).toBe(0);
    const fill = openSync(join(layers, "filler"), "w");
    try {
      for (;;) writeFileSync(fill, Buffer.alloc(64 << 10));
    } catch {
    } finally {
      closeSync(fill);
    }
    expect((await runRestorer(caches.args(layers, "blue"))).exitCode).toBe(42);
    expectWhole(layers);
  });

  withMounts("a read-only layers directory: exit 42", async () => {
    using dir = tempDir("read-only");
    const layers = layersDir(dir);
    using _ = mount(layers, "--bind", "-o", "ro", layers);
    const { exitCode, stderr } = await runRestorer(caches.args(layers, "red"));
    expect(stderr).toContain("read-only file system");
    expect(exitCode).toBe(42);
    expect(readdirSync(layers).sort()).toEqual(["analyzed.toml", "group.toml"]);
  });

  skipUnless(!isRoot || have("setpriv"), "setpriv")(
    "a layers directory that is not ours to write: exit 42",
    async () => {
      using dir = tempDir("not-ours");
      const layers = layersDir(dir);
      chmodSync(layers, 0o555);
      const { exitCode, stderr } = await runRestorer(caches.args(layers, "red"), isRoot ? { uid: 65534 } : {});
      expect(stderr).toContain("permission denied");
      expect(exitCode).toBe(42);
      expect(readdirSync(layers).sort()).toEqual(["analyzed.toml", "group.toml"]);
    },
  );

  withMounts("a read-only cache restores as any other", async () => {
    using dir = tempDir("read-only");
    const layers = layersDir(dir);
    const { path } = caches.cache("red");
    mkdirSync(dir.join("cache"));
    using _ = mount(dir.join("cache"), "--bind", "-o", "ro", path);
    const result = await runRestorer(["-layers", layers, "-cache-dir", dir.join("cache")]);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expect(caches.states(layers)).toEqual(all("red"));
  });

  const spoilt: Readonly<Record<string, (blob: string) => void>> = {
    "cut off in the middle": (blob) => truncateSync(blob, Math.floor(lstatSync(blob).size / 1024) * 512),
    "a directory": (blob) => {
      rmSync(blob);
      mkdirSync(blob);
    },
    "a fifo": (blob) => {
      rmSync(blob);
      Bun.spawnSync(["mkfifo", blob]);
    },
    "a link to nowhere": (blob) => {
      rmSync(blob);
      symlinkSync("nowhere", blob);
    },
    // Reading at its start is an input/output error.
    "unreadable (EIO)": (blob) => {
      rmSync(blob);
      symlinkSync("/proc/self/mem", blob);
    },
    "endless zeros (a device)": (blob) => {
      rmSync(blob);
      symlinkSync("/dev/zero", blob);
    },
    absent: (blob) => rmSync(blob),
  };
  for (const [how, spoil] of Object.entries(spoilt)) {
    test(`a blob that is ${how} costs its layer only`, async () => {
      using dir = tempDir("spoilt");
      const layers = layersDir(dir);
      Bun.spawnSync(["cp", "-a", caches.cache("red").path, dir.join("cache")]);
      const sha = caches.cache("red").sha(buildpack, "links");
      spoil(dir.join("cache", "committed", `${sha}.tar`));
      const { exitCode, stderr } = await runRestorer(["-layers", layers, "-cache-dir", dir.join("cache")]);
      expect(exitCode).toBe(0);
      expect(stderr).toContain('"example/app:links"');
      expect(caches.states(layers)).toEqual(layerNames.map((name) => (name === "links" ? "absent" : "red")));
      expect(existsSync(join(layers, directory, "links"))).toBe(false);
      expectWhole(layers);
    });
  }
});
