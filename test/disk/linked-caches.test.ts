import { describe, expect } from "bun:test";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { stamps } from "../support/canary.ts";
import { isRoot, runRestorer, skipUnless, writeTree } from "../support/harness.ts";
import { layoutTree } from "../support/layout-fixture.ts";
import { canMount, runWithMounts } from "../support/mounts.ts";
import { type PlantingScene, plantingScene } from "../support/planting-scene.ts";

const withMounts = skipUnless(canMount, "root who may mount (unshare)");
const withRoot = skipUnless(isRoot, "root");
const asNobody = ["-uid", "65534", "-gid", "65534"];
const dead = ".restorer-0123456789ab-1-1-000000000000";
const users: readonly (readonly [who: string, flags: readonly string[]])[] = [
  ["root", []],
  ["the user it becomes", asNobody],
];

/** A scene with a layer that is replaced, and one that is removed, for the app image has it with another digest. */
function scene(): PlantingScene {
  const here = plantingScene();
  writeTree(here.layers, { example_app: { dist: { old: "" }, "dist.toml": "", stale: {}, "stale.toml": "" } });
  const metadata = here.join("cache/committed/io.buildpacks.lifecycle.cache.metadata");
  const cache = JSON.parse(readFileSync(metadata, "utf8"));
  cache.buildpacks[0].layers.stale = { sha: `sha256:${"0".repeat(64)}`, cache: true, launch: true, data: {} };
  chmodSync(metadata, 0o644);
  writeFileSync(metadata, JSON.stringify(cache));
  return here;
}

/** A directory with a link to each file of another. */
function linkAll(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from)) symlinkSync(join(from, name), join(to, name));
}

function stampsOfFiles(dir: string): string[] {
  return readdirSync(dir).flatMap((name) => stamps(join(dir, name)));
}

describe("files that links of a cache lead to are never removed, moved or given away", () => {
  const places: readonly (readonly [what: string, place: string])[] = [
    ["a layer that is replaced", "example_app/dist/deep/inner"],
    ["a layer that is removed", "example_app/stale/inner"],
    ["the SBOM directory", "sbom/cache/inner"],
    ["what a killed run left behind", `${dead}/s1/inner`],
  ];
  for (const [who, flags] of users) {
    for (const [what, place] of places) {
      withRoot(`in ${what}, by ${who}`, async () => {
        using here = scene();
        const inner = join(here.layers, place);
        cpSync(here.join("cache/committed"), inner, { recursive: true });
        if (place.startsWith(dead)) utimesSync(join(here.layers, dead), 1, 1);
        linkAll(inner, here.join("links/committed"));
        const before = stampsOfFiles(inner);
        const { exitCode, stderr } = await runRestorer([
          ...["-layers", here.layers, "-cache-dir", here.join("links")],
          ...flags,
        ]);
        expect({ exitCode, told: stderr.includes("the cache lies at") }).toEqual({ exitCode: 0, told: true });
        expect(stampsOfFiles(inner)).toEqual(before);
      });
    }
  }

  withRoot("where one stands in the place of a layer itself", async () => {
    using here = scene();
    const blob = readdirSync(here.join("cache/committed")).find((name) => name.startsWith("sha256:")) ?? "";
    const place = join(here.layers, "example_app/dist");
    Bun.spawnSync(["rm", "-r", place]);
    Bun.spawnSync(["mv", here.join("cache/committed", blob), place]);
    symlinkSync(place, here.join("cache/committed", blob));
    const before = stamps(place);
    const args = ["-layers", here.layers, "-cache-dir", here.join("cache"), ...asNobody];
    const { exitCode, stderr } = await runRestorer(args);
    expect({ exitCode, told: stderr.includes("the cache lies at") }).toEqual({ exitCode: 0, told: true });
    expect(stamps(place)).toEqual(before);
  });

  for (const [who, flags] of users) {
    withRoot(`in the place of a layer's toml, of its SBOM file, or of the report, by ${who}`, async () => {
      const places = [
        "example_app/dist.toml",
        "example_app/dist.sbom.cdx.json",
        "example_app/stale.toml",
        "report.json",
      ];
      for (const place of places) {
        using here = scene();
        const blobs = readdirSync(here.join("cache/committed")).filter((name) => name.startsWith("sha256:"));
        const metadata = "io.buildpacks.lifecycle.cache.metadata";
        for (const moved of [blobs[0] ?? "", metadata]) {
          rmSync(join(here.layers, place), { force: true });
          const at = here.join("cache/committed", moved);
          cpSync(realpathSync(at), here.join("kept"));
          rmSync(at);
          cpSync(here.join("kept"), join(here.layers, place));
          symlinkSync(join(here.layers, place), at);
          const before = stamps(join(here.layers, place));
          const report = ["-report", join(here.layers, "report.json")];
          const run = await runRestorer([
            "-layers",
            here.layers,
            "-cache-dir",
            here.join("cache"),
            ...report,
            ...flags,
          ]);
          expect({ place, moved, stderr: run.stderr }).toMatchObject({
            stderr: expect.stringMatching(/the cache lies at|it lies in the cache/),
          });
          expect(stamps(join(here.layers, place))).toEqual(before);
          cpSync(here.join("kept"), here.join("whole"));
          rmSync(at);
          cpSync(here.join("whole"), at);
        }
      }
    });
  }

  withRoot("where the cache is an image in an OCI layout", async () => {
    using here = scene();
    writeTree(here.path, { layout: layoutTree("cache") });
    const layout = here.join("layout/cache/latest");
    const inner = join(here.layers, "sbom/cache/inner");
    mkdirSync(join(here.layers, "sbom/cache"), { recursive: true });
    Bun.spawnSync(["mv", join(layout, "blobs/sha256"), inner]);
    linkAll(inner, join(layout, "blobs/sha256"));
    const before = stampsOfFiles(inner);
    await runRestorer(["-layers", here.layers, "-cache-image", `oci:${layout}`, ...asNobody]);
    expect(stampsOfFiles(inner)).toEqual(before);
  });
});

describe("a link by which the cache is reached is never removed or moved", () => {
  /** Where such a link stands, and how the cache is named by way of it. */
  const ways: readonly (readonly [what: string, link: string, way?: (here: PlantingScene) => string])[] = [
    ["in the place of a buildpack's directory", "example_app"],
    ["in the place of a layer", "example_app/dist"],
    ["in the place of a layer's toml", "example_app/dist.toml"],
    ["in the place of an SBOM file", "example_app/dist.sbom.cdx.json"],
    ["in a layer that is replaced", "example_app/dist/deep/inner"],
    ["in a layer that is removed", "example_app/stale/inner"],
    ["in the place of a layer that is removed", "example_app/stale"],
    ["in the place of the SBOM directory", "sbom"],
    ["in the SBOM directory", "sbom/cache/inner"],
    ["in what a killed run left behind", `${dead}/s1/inner`],
    ["behind a link elsewhere", "example_app/dist/deep/inner", (here) => linkElsewhere(here, "cache", "cache")],
    [
      "behind the link to its contents",
      "example_app/dist/deep/inner",
      (here) => linkElsewhere(here, "c/committed", "c"),
    ],
  ];
  function linkElsewhere(here: PlantingScene, name: string, cache: string): string {
    mkdirSync(dirname(here.join("links", name)), { recursive: true });
    const target = join(here.layers, "example_app/dist/deep/inner/cache");
    symlinkSync(name.endsWith("committed") ? join(target, "committed") : target, here.join("links", name));
    return here.join("links", cache);
  }

  for (const [who, flags] of users) {
    for (const [what, link, way] of ways) {
      withRoot(`${what}, by ${who}`, async () => {
        using here = scene();
        mkdirSync(here.join("outside"));
        Bun.spawnSync(["mv", here.join("cache"), here.join("outside/cache")]);
        const place = join(here.layers, link);
        rmSync(place, { recursive: true, force: true });
        mkdirSync(dirname(place), { recursive: true });
        symlinkSync(here.join("outside"), place);
        if (link.startsWith(dead)) utimesSync(join(here.layers, dead), 1, 1);
        const cache = way?.(here) ?? join(place, "cache");
        const before = [stamps(place), stamps(here.join("outside"))];
        const { exitCode, stderr } = await runRestorer(["-layers", here.layers, "-cache-dir", cache, ...flags]);
        expect({ exitCode, told: /the cache (lies at|is reached by the link) "/.test(stderr) }).toEqual({
          exitCode: 0,
          told: true,
        });
        expect([stamps(place), stamps(here.join("outside"))]).toEqual(before);
        expect(realpathSync(cache)).toBe(way && cache.endsWith("c") ? cache : realpathSync(here.join("outside/cache")));
      });
    }
  }
});

withRoot("a link by which a cache is reached that is empty yet is not removed either", async () => {
  using here = scene();
  const link = join(here.layers, "example_app");
  rmSync(link, { recursive: true });
  mkdirSync(here.join("outside/cache"), { recursive: true });
  symlinkSync(here.join("outside"), link);
  const { exitCode, stderr } = await runRestorer(["-layers", here.layers, "-cache-dir", join(link, "cache")]);
  expect({ exitCode, told: stderr.includes(`the cache is reached by the link "${link}"`) }).toEqual({
    exitCode: 0,
    told: true,
  });
  expect(realpathSync(link)).toBe(realpathSync(here.join("outside")));
});

describe("what a link for a cache's contents leads to is never removed, moved or given away", () => {
  for (const [who, flags] of users) {
    withRoot(`where it lies in a layer that is replaced, by ${who}`, async () => {
      using here = scene();
      const inner = join(here.layers, "example_app/dist/deep/inner");
      cpSync(here.join("cache/committed"), inner, { recursive: true });
      mkdirSync(here.join("links"));
      symlinkSync(inner, here.join("links/committed"));
      const before = stamps(inner);
      const args = ["-layers", here.layers, "-cache-dir", here.join("links"), ...flags];
      const { exitCode, stderr } = await runRestorer(args);
      expect({ exitCode, told: stderr.includes("the cache lies at") }).toEqual({ exitCode: 0, told: true });
      expect(stamps(inner)).toEqual(before);
    });

    withMounts(`where it is mounted from the kaniko directory, and that from elsewhere, by ${who}`, async () => {
      using here = scene();
      cpSync(here.join("cache/committed"), here.join("real/x/contents"), { recursive: true });
      for (const name of ["kaniko", "mounted", "links"]) mkdirSync(here.join(name));
      symlinkSync(here.join("mounted"), here.join("links/committed"));
      const before = stamps(here.join("real/x/contents"));
      const binds = [
        [here.join("real"), here.join("kaniko")],
        [here.join("real/x/contents"), here.join("mounted")],
      ] as const;
      const args = ["-layers", here.layers, "-cache-dir", here.join("links"), ...flags];
      const { exitCode } = await runWithMounts(binds, args, { CNB_KANIKO_DIR: here.join("kaniko") });
      expect(exitCode).toBe(0);
      expect(stamps(here.join("real/x/contents"))).toEqual(before);
      expect(statSync(here.join("real")).uid).toBe(flags.length > 0 ? 65534 : 0);
    });
  }
});
