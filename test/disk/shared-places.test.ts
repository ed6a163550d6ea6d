import { describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Directory } from "../../lib/disk/directory.ts";
import { openOrMakeNested } from "../../lib/disk/nested.ts";
import { privateName } from "../../lib/disk/private-names.ts";
import { Staging } from "../../lib/disk/staging.ts";
import { stamps } from "../support/canary.ts";
import { isRoot, runRestorer, skipUnless, snapshot, tempDir, writeTree } from "../support/harness.ts";
import { canMount, runWithMounts } from "../support/mounts.ts";
import { type PlantingScene, plantingScene } from "../support/planting-scene.ts";

const withMounts = skipUnless(canMount, "root who may mount (unshare)");
const withRoot = skipUnless(isRoot, "root");
const asNobody = ["-uid", "65534", "-gid", "65534"];

describe("a link in a directory that others write to", () => {
  withRoot("does not lead the hand-over out: the kaniko directory below the layers directory", async () => {
    using here = plantingScene();
    symlinkSync(here.canary, join(here.layers, "kaniko"));
    const before = stamps(here.canary);
    const args = ["-layers", here.layers, "-cache-dir", here.join("cache"), "-kaniko-dir", join(here.layers, "kaniko")];
    const { exitCode, stderr } = await runRestorer([...args, ...asNobody]);
    expect(stamps(here.canary)).toEqual(before);
    expect({ exitCode, told: stderr.includes("links are not followed there") }).toEqual({ exitCode: 1, told: true });
  });

  withRoot("does not lead the hand-over out: the layers directory below the kaniko directory", async () => {
    using here = plantingScene();
    mkdirSync(here.join("k"));
    symlinkSync(here.canary, here.join("k/layers"));
    const before = stamps(here.canary);
    const args = ["-layers", here.join("k/layers"), "-cache-dir", here.join("cache"), "-kaniko-dir", here.join("k")];
    const group = ["-group", join(here.layers, "group.toml")];
    const { exitCode } = await runRestorer([...args, ...group, ...asNobody]);
    expect({ exitCode, after: stamps(here.canary) }).toEqual({ exitCode: 42, after: before });
  });

  test.each([
    ["by its own name", "shared/x/y"],
    ["by another name", "alias/x/y"],
    ["behind a link into it", "into/y"],
  ])("is not followed to a directory that is made: %s", (_, path) => {
    using dir = tempDir("nested", { shared: { real: {} }, outside: {} });
    symlinkSync(dir.join("outside"), dir.join("shared/x"));
    symlinkSync(dir.join("shared"), dir.join("alias"));
    symlinkSync(dir.join("shared/real"), dir.join("into"));
    symlinkSync(dir.join("outside"), dir.join("shared/real/y"));
    expect(() => openOrMakeNested(dir.join(path), [dir.join("shared")], 0o755)).toThrow("links are not followed there");
    expect(readdirSync(dir.join("outside"))).toEqual([]);
  });

  test("leads on where it lies outside: mounted volumes are reached so", () => {
    using dir = tempDir("nested", { volume: {}, shared: {} });
    symlinkSync(dir.join("volume"), dir.join("link"));
    openOrMakeNested(dir.join("link/made"), [dir.join("shared")], 0o755).close();
    expect(readdirSync(dir.join("volume"))).toEqual(["made"]);
  });

  interface Place {
    readonly report: (here: PlantingScene) => string;
    readonly prepare: (here: PlantingScene, target: string) => void;
    readonly mounts?: (here: PlantingScene) => [string, string][];
  }
  const places: Record<string, Place> = {
    "in the kaniko directory": {
      report: ({ join }) => join("kaniko/report.json"),
      prepare: ({ join }, target) => symlinkSync(target, join("kaniko/report.json")),
    },
    "of a directory in the kaniko directory": {
      report: ({ join }) => join("kaniko/out/file"),
      prepare: ({ join, canary }) => symlinkSync(canary, join("kaniko/out")),
    },
    "in the cache directory": {
      report: ({ join }) => join("cache/report.json"),
      prepare: ({ join }, target) => symlinkSync(target, join("cache/report.json")),
    },
    "in the layers directory, by another mount of it": {
      report: ({ join }) => join("alias/report.json"),
      prepare({ layers, join }, target) {
        mkdirSync(join("alias"));
        symlinkSync(target, `${layers}/report.json`);
      },
      mounts: ({ layers, join }) => [[layers, join("alias")]],
    },
    "that a link by another name of the layers directory leads to": {
      report: ({ join }) => join("report.json"),
      prepare: ({ layers, join }, target) => {
        symlinkSync(layers, join("alias"));
        symlinkSync(target, `${layers}/r`);
        symlinkSync(join("alias/r"), join("report.json"));
      },
    },
    "to what is mounted in the layers directory": {
      report: ({ layers }) => `${layers}/report.json`,
      prepare({ layers }) {
        mkdirSync(`${layers}/vol`);
        symlinkSync("vol/file", `${layers}/report.json`);
      },
      mounts: ({ layers, canary }) => [[canary, `${layers}/vol`]],
    },
  };
  for (const [what, { report, prepare, mounts }] of Object.entries(places)) {
    withMounts(`does not lead a report out: one ${what}`, async () => {
      using here = plantingScene();
      mkdirSync(here.join("kaniko"));
      prepare(here, here.join("canary/file"));
      const before = stamps(here.canary);
      const args = ["-layers", here.layers, "-cache-dir", here.join("cache"), "-report", report(here)];
      const { exitCode, stderr } = await runWithMounts(mounts?.(here) ?? [], args, {
        CNB_KANIKO_DIR: here.join("kaniko"),
      });
      expect(stamps(here.canary)).toEqual(before);
      expect({ exitCode, told: /leads out of the (layers|kaniko|cache) directory/.test(stderr) }).toEqual({
        exitCode: 1,
        told: true,
      });
    });
  }

  withMounts("does not lead a report into the cache", async () => {
    using here = plantingScene();
    cpSync(here.join("cache"), join(here.layers, "cache"), { recursive: true });
    const metadata = "cache/committed/io.buildpacks.lifecycle.cache.metadata";
    symlinkSync(metadata, join(here.layers, "report.json"));
    const before = snapshot(join(here.layers, "cache"));
    for (const report of ["report.json", metadata, "cache/committed/new.json"]) {
      const args = [
        "-layers",
        here.layers,
        "-cache-dir",
        join(here.layers, "cache"),
        "-report",
        join(here.layers, report),
      ];
      expect((await runRestorer(args)).exitCode).toBe(1);
      expect(snapshot(join(here.layers, "cache"))).toEqual(before);
    }
  });
});

describe("a cache that is mounted from inside", () => {
  for (const place of ["example_app/dist/inner/cache", "sbom/inner/cache"]) {
    for (const user of [[], asNobody]) {
      withMounts(`${place} stays${user.length > 0 ? ", also for the user a run becomes" : ""}`, async () => {
        using here = plantingScene();
        writeTree(here.layers, { example_app: { dist: {}, "dist.toml": "" } });
        const inside = join(here.layers, place);
        cpSync(here.join("cache"), inside, { recursive: true });
        mkdirSync(here.join("volume"));
        const before = snapshot(inside);
        const args = ["-layers", here.layers, "-cache-dir", here.join("volume"), ...user];
        const { exitCode, stderr } = await runWithMounts([[inside, here.join("volume")]], args);
        expect({ exitCode, told: stderr.includes("the cache lies at") }).toEqual({ exitCode: 0, told: true });
        expect(snapshot(inside)).toEqual(before);
      });
    }
  }
});

describe("a planted mark", () => {
  const dead = ".restorer-000000000000-1-1-000000000000";

  function plant(here: PlantingScene, mark: unknown): void {
    mkdirSync(join(here.layers, dead));
    writeFileSync(join(here.layers, dead, "mark-1"), JSON.stringify(mark));
    Bun.spawnSync(["touch", "-d", "2001-01-01", join(here.layers, dead)]);
  }

  test("leaves no toml without its layer", async () => {
    using here = plantingScene();
    writeTree(here.layers, { example_app: { web: { file: "" }, "web.toml": "" } });
    plant(here, { path: ["example_app"], names: ["web"] });
    await runRestorer(["-layers", here.layers, "-cache-dir", here.join("cache"), "-skip-layers"]);
    expect(readdirSync(join(here.layers, "example_app")).filter((name) => name.startsWith("web"))).toEqual([]);
  });

  test("removes nothing of a cache", async () => {
    using here = plantingScene();
    cpSync(join(here.layers, "group.toml"), here.join("cache/group.toml"));
    const scene = Object.assign(here, { layers: here.join("cache") });
    plant(scene, { path: ["committed"], names: ["io.buildpacks.lifecycle.cache.metadata"] });
    const before = snapshot(here.join("cache/committed"));
    await runRestorer(["-layers", here.join("cache"), "-cache-dir", here.join("cache"), "-skip-layers"]);
    expect(snapshot(here.join("cache/committed"))).toEqual(before);
  });
});

test("a run that another took for dead knows it, once its staging directory has another name", () => {
  using dir = tempDir("swept", {});
  using parent = Directory.open(dir.path);
  const staging = new Staging(parent);
  expect(staging.isSwept).toBe(false);
  const [name = ""] = readdirSync(dir.path);
  renameSync(dir.join(name), dir.join(privateName()));
  expect(staging.isSwept).toBe(true);
  expect(existsSync(dir.join(name))).toBe(false);
});

withMounts("a process that /proc does not know gives no name by which it would count as dead", async () => {
  using here = plantingScene();
  const script = `
    import { privateName, isLeftBehind } from ${JSON.stringify(join(import.meta.dir, "../../lib/disk/private-names.ts"))};
    import { Directory } from ${JSON.stringify(join(import.meta.dir, "../../lib/disk/directory.ts"))};
    import { mkdirSync } from "node:fs";
    const name = privateName();
    mkdirSync(${JSON.stringify(here.path)} + "/" + name);
    console.log(isLeftBehind(Directory.open(${JSON.stringify(here.path)}), name));
  `;
  const { stdout, stderr } = Bun.spawnSync(["unshare", "--pid", "--fork", process.execPath, "-e", script]);
  expect({ stdout: stdout.toString(), stderr: stderr.toString() }).toEqual({ stdout: "false\n", stderr: "" });
});
