import { describe, expect } from "bun:test";
import { chmodSync, existsSync, linkSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { diffId, groupToml, makeCache } from "../support/cache-fixture.ts";
import { have, isRoot, restorerPath, skipUnless, tempDir } from "../support/harness.ts";
import { tarOf } from "../support/raw-tar.ts";

const nobody = 65534;
const limited = skipUnless(isRoot && have("prlimit"), "root, prlimit (util-linux)");

/** A cache of many layers with one small file each, whose blobs only root may read; gives how to restore it. */
function closedCache(count: number) {
  const dir = tempDir("ahead", { layers: { "group.toml": groupToml([{ id: "bp" }]) } });
  const layers = Array.from({ length: count }, (_, index) => ({
    name: `l${String(index).padStart(4, "0")}`,
    tar: tarOf([{ name: `/layers/bp/l${String(index).padStart(4, "0")}/file`, data: `${index}` }]),
  }));
  const cache = makeCache(dir.join("cache"), [{ id: "bp", layers }]);
  for (const { name } of layers) chmodSync(cache.blob("bp", name), 0o600);
  const restore = async (files: number) => {
    const args = ["-layers", dir.join("layers"), "-cache-dir", cache.path, "-uid", `${nobody}`, "-gid", `${nobody}`];
    const child = Bun.spawn(["prlimit", `--nofile=${files}:${files}`, restorerPath(), ...args], {
      env: { PATH: process.env.PATH, CNB_PLATFORM_API: "0.15", CNB_KANIKO_DIR: dir.join("kaniko") },
      stdout: "ignore",
      stderr: "pipe",
    });
    const [stderr, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
    return { stderr, exitCode };
  };
  return { dir, cache, layers, restore, [Symbol.dispose]: () => dir[Symbol.dispose]() };
}

function restoredIn(layers: string): string[] {
  if (!existsSync(join(layers, "bp"))) return [];
  return readdirSync(join(layers, "bp")).filter((name) => !name.endsWith(".toml"));
}

describe("a cache that only root may read", () => {
  limited("with more blobs than files may be open costs those that are too many, and says so", async () => {
    using here = closedCache(400);
    const { exitCode, stderr } = await here.restore(256);
    expect(exitCode).toBe(0);
    const restored = restoredIn(here.dir.join("layers"));
    expect(restored.length).toBeGreaterThan(100);
    const told = stderr.split("\n").filter((line) => line.includes("256 open files are too few"));
    expect(restored.length + told.length).toBe(400);
    expect(stderr).not.toMatch(/layers directory|write below/);
    expect(statSync(here.dir.join("layers/bp", restored[0] ?? "", "file")).uid).toBe(nobody);
  });

  limited("with fewer blobs than that comes back whole", async () => {
    using here = closedCache(100);
    expect(await here.restore(256)).toEqual({
      exitCode: 0,
      stderr: `Warning: No analyzed metadata found at path "${here.dir.join("layers/analyzed.toml")}"\n`,
    });
    expect(restoredIn(here.dir.join("layers"))).toHaveLength(100);
  });

  limited("comes back whole where files enough may be open for it: small layers need no more", async () => {
    using here = closedCache(285);
    const { exitCode, stderr } = await here.restore(380);
    expect({ exitCode, told: stderr.includes("open files are too few") }).toEqual({ exitCode: 0, told: false });
    expect(restoredIn(here.dir.join("layers"))).toHaveLength(285);
  });

  limited("is never an error about the layers directory, however few files may be open", async () => {
    for (const files of [70, 80, 90]) {
      using here = closedCache(40);
      const { exitCode, stderr } = await here.restore(files);
      expect({ files, exitCode }).toEqual({ files, exitCode: 0 });
      expect(stderr).not.toMatch(/layers directory|write below/);
    }
  });

  limited("a thousand names of one blob take one descriptor, and cost their layers only", async () => {
    using here = closedCache(3);
    const blob = here.cache.blob("bp", "l0000");
    const names = Array.from({ length: 1_100 }, (_, index) => ({ name: `x${index}`, sha: diffId(`${index}`) }));
    const { layers } = here;
    const again = makeCache(here.cache.path, [{ id: "bp", layers: [...names, ...layers] }]);
    for (const { name } of names) linkSync(blob, again.blob("bp", name));
    for (const { name } of layers) chmodSync(again.blob("bp", name), 0o600);
    const { exitCode, stderr } = await here.restore(256);
    expect(exitCode).toBe(0);
    expect(restoredIn(here.dir.join("layers")).toSorted()).toEqual(layers.map(({ name }) => name).toSorted());
    expect(stderr).not.toContain("open files");
    expect(stderr.match(/Not restoring "bp:x\d+"/g)).toHaveLength(1_100);
  });
});
