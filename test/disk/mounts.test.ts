import { describe, expect } from "bun:test";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import { stamps } from "../support/canary.ts";
import { skipUnless, snapshot, type TempDir, writeTree } from "../support/harness.ts";
import { layoutTree } from "../support/layout-fixture.ts";
import { canMount, runWithMounts } from "../support/mounts.ts";
import { plantingScene } from "../support/planting-scene.ts";

const withMounts = skipUnless(canMount, "root who may mount (unshare)");
const nobody = 65534;
const dead = ".restorer-0123456789ab-1-1-000000000000";

/** Where something is mounted, and what a restore would do to what holds it if it were not. */
const places: readonly [what: string, place: string, reason: RegExp][] = [
  ["a layer that is replaced", "example_app/dist/inner", /Not restoring "example\/app:dist": something is mounted at/],
  ["a layer that is replaced, deep inside", "example_app/dist/a/b/c/inner", /Not restoring "example\/app:dist"/],
  ["a layer that is replaced, and is the mount", "example_app/dist", /Not restoring "example\/app:dist"/],
  ["a layer that is removed", "example_app/stale/inner", /"example\/app:stale": something is mounted at/],
  ["the SBOM directory", "sbom/launch/inner", /sbom": something is mounted at/],
  ["what a killed run left behind", `${dead}/s1/inner`, /left behind by a run that was killed: something is mounted/],
];

function sceneWithMount(place: string): TempDir & { readonly layers: string; readonly canary: string } {
  const here = plantingScene();
  const path = join(here.layers, place);
  mkdirSync(path, { recursive: true });
  writeTree(here.layers, { example_app: { "stale.toml": "" } });
  if (place.startsWith("example_app/dist")) writeTree(here.layers, { example_app: { "dist.toml": "" } });
  if (place.startsWith(dead)) utimesSync(join(here.layers, dead), 1, 1);
  // A cached layer that the app image has with another digest is removed.
  const metadata = here.join("cache/committed/io.buildpacks.lifecycle.cache.metadata");
  const cache = JSON.parse(readFileSync(metadata, "utf8"));
  cache.buildpacks[0].layers.stale = { sha: `sha256:${"0".repeat(64)}`, cache: true, launch: true, data: {} };
  chmodSync(metadata, 0o644);
  Bun.write(metadata, JSON.stringify(cache));
  return here;
}

describe("a mount of the same disk", () => {
  for (const user of ["root", "the user it becomes"]) {
    for (const [what, place, reason] of places) {
      withMounts(`in ${what} is never emptied, moved, given or changed by ${user}`, async () => {
        using here = sceneWithMount(place);
        const before = stamps(here.canary);
        const own = user === "root" ? [] : ["-uid", String(nobody), "-gid", String(nobody)];
        const { exitCode, stderr } = await runWithMounts(
          [[here.canary, join(here.layers, place)]],
          ["-layers", here.layers, "-cache-dir", here.join("cache"), ...own],
          { CNB_KANIKO_DIR: here.join("kaniko") },
        );
        expect(stamps(here.canary)).toEqual(before);
        expect(stderr).toMatch(reason);
        expect(exitCode).toBe(0);
        expect(existsSync(join(here.layers, place))).toBe(true);
        // What holds a mount stays whole, its toml too.
        if (place.startsWith("example_app/")) {
          const layer = place.split("/").slice(0, 2).join("/");
          expect(existsSync(join(here.layers, `${layer}.toml`))).toBe(true);
        }
      });
    }
  }

  for (const place of ["example_app/dist/inner", "example_app/dist", "example_app/stale/inner", "sbom/launch/inner"]) {
    withMounts(
      `is not moved with what it covers where the layers directory is another mount of that: ${place}`,
      async () => {
        using here = sceneWithMount(place);
        mkdirSync(here.join("alias"));
        const before = stamps(here.canary);
        const covered = statSync(join(here.layers, place)).ino;
        const { exitCode, stderr } = await runWithMounts(
          [
            [here.canary, join(here.layers, place)],
            // Without what is mounted in it.
            [here.layers, here.join("alias")],
          ],
          ["-layers", here.join("alias"), "-cache-dir", here.join("cache")],
        );
        expect(stderr).toContain(`something is mounted at "${join(here.layers, place)}"`);
        expect({ exitCode, after: stamps(here.canary) }).toEqual({ exitCode: 0, after: before });
        expect(statSync(join(here.layers, place)).ino).toBe(covered);
        expect(readdirSync(here.layers).filter((name) => name.startsWith(".restorer-"))).toEqual([]);
      },
    );
  }

  withMounts("keeps its owner when the layers directory around it is given to a user", async () => {
    using here = plantingScene();
    mkdirSync(join(here.layers, "other/volume"), { recursive: true });
    const { exitCode, stderr } = await runWithMounts(
      [[here.canary, join(here.layers, "other/volume")]],
      ["-layers", here.layers, "-cache-dir", here.join("cache"), "-uid", String(nobody), "-gid", String(nobody)],
    );
    expect({ exitCode, told: stderr.includes("something is mounted there") }).toEqual({ exitCode: 0, told: true });
    for (const [path, { uid }] of snapshot(here.canary)) expect([path, uid]).toEqual([path, 0]);
    expect(statSync(join(here.layers, "other")).uid).toBe(nobody);
  });
});

describe("a file that is a mount point", () => {
  for (const name of ["example_app/other.toml", "example_app/store.toml", "example_app/dist.toml", "file"]) {
    withMounts(`keeps its owner when the layers directory is given to a user: ${name}`, async () => {
      using here = plantingScene();
      writeTree(here.layers, { [name]: "" });
      const outside = here.join("canary/file");
      const before = stamps(here.canary);
      const { stderr } = await runWithMounts(
        [[outside, join(here.layers, name)]],
        ["-layers", here.layers, "-cache-dir", here.join("cache"), "-uid", String(nobody), "-gid", String(nobody)],
      );
      expect(stamps(here.canary)).toEqual(before);
      expect(stderr).toContain(`${name}" to user ${nobody}: something is mounted there`);
    });
  }
});

describe("the cache is never removed or moved", () => {
  const places: readonly (readonly [what: string, place: string])[] = [
    ["a layer that is replaced", "example_app/dist/inner"],
    ["a layer that is removed", "example_app/stale/inner"],
    ["the SBOM directory", "sbom/cache/inner"],
    ["what a killed run left behind", `${dead}/s1/inner`],
  ];
  for (const user of ["root", "the user it becomes"]) {
    for (const [what, place] of places) {
      withMounts(`where it lies in ${what}, by ${user}`, async () => {
        using here = sceneWithMount(place);
        const cache = join(here.layers, place);
        Bun.spawnSync(["cp", "-a", `${here.join("cache")}/.`, cache]);
        if (place.startsWith(dead)) utimesSync(join(here.layers, dead), 1, 1);
        const before = stamps(cache);
        const own = user === "root" ? [] : ["-uid", String(nobody), "-gid", String(nobody)];
        const { exitCode, stderr } = await runWithMounts([], ["-layers", here.layers, "-cache-dir", cache, ...own]);
        expect(exitCode).toBe(0);
        expect(stderr).toContain("the cache lies at");
        expect(stamps(cache)).toEqual(before);
      });
    }
  }

  withMounts("where an image in an OCI layout is the cache, and lies in the SBOM directory", async () => {
    using here = sceneWithMount("sbom/cache/inner");
    writeTree(join(here.layers, "sbom/cache/inner"), layoutTree("cache"));
    const layout = join(here.layers, "sbom/cache/inner/cache/latest");
    const before = stamps(layout);
    const { stderr } = await runWithMounts(
      [],
      ["-layers", here.layers, "-cache-image", `oci:${layout}`, "-uid", String(nobody), "-gid", String(nobody)],
    );
    expect(stderr).toContain("the cache lies at");
    expect(stamps(layout)).toEqual(before);
  });
});

describe("nothing is made in what a cache holds", () => {
  withMounts("where the layers directory lies in it", async () => {
    using here = plantingScene();
    const layers = here.join("cache/committed/l");
    Bun.spawnSync(["cp", "-a", here.layers, layers]);
    const before = stamps(here.join("cache"));
    const { exitCode, stderr } = await runWithMounts([], ["-layers", layers, "-cache-dir", here.join("cache")]);
    expect({ exitCode, told: stderr.includes("it lies in the cache, which is never written") }).toEqual({
      exitCode: 42,
      told: true,
    });
    expect(stamps(here.join("cache"))).toEqual(before);
  });

  withMounts("where the directory of a buildpack is the cache's own, by a mount", async () => {
    using here = plantingScene();
    mkdirSync(join(here.layers, "example_app"), { recursive: true });
    const before = stamps(here.join("cache"));
    const { exitCode } = await runWithMounts(
      [[here.join("cache/committed"), join(here.layers, "example_app")]],
      ["-layers", here.layers, "-cache-dir", here.join("cache")],
    );
    expect(exitCode).toBe(42);
    expect(stamps(here.join("cache"))).toEqual(before);
  });
});

describe("the cache keeps its owners", () => {
  const nested: readonly [what: string, layers: string, kaniko: string, cache: string][] = [
    ["below the kaniko directory", "l", "k", "k/cache-of-layers"],
    ["below the layers directory", "l", "k", "l/cache-of-layers"],
    ["as the kaniko directory", "l", "c", "c"],
    ["around the layers directory", "c/l", "k", "c"],
    ["around the kaniko directory", "l", "c/committed/k", "c"],
  ];
  for (const [what, layers, kaniko, cache] of nested) {
    withMounts(`where it lies ${what}`, async () => {
      using here = plantingScene();
      for (const path of [layers, kaniko, cache]) mkdirSync(here.join(path), { recursive: true });
      const copy = Bun.spawnSync(["cp", "-a", `${here.join("cache")}/.`, here.join(cache)]);
      Bun.spawnSync(["cp", "-a", `${here.layers}/.`, here.join(layers)]);
      expect(copy.exitCode).toBe(0);
      const before = snapshot(here.join(cache, "committed"));
      const rootBefore = statSync(here.join(cache));
      const { exitCode } = await runWithMounts(
        [],
        ["-layers", here.join(layers), "-cache-dir", here.join(cache), "-uid", String(nobody), "-gid", String(nobody)],
        { CNB_KANIKO_DIR: here.join(kaniko) },
      );
      expect(exitCode).toBe(0);
      expect(snapshot(here.join(cache, "committed"))).toEqual(before);
      expect(statSync(here.join(cache))).toMatchObject({ uid: rootBefore.uid, gid: rootBefore.gid });
    });
  }

  withMounts("where it is reached through a link or another mount", async () => {
    using here = plantingScene();
    mkdirSync(join(here.layers, "by-mount/volume"), { recursive: true });
    chownSync(dirname(here.layers), 0, 0);
    const before = snapshot(here.join("cache"));
    await runWithMounts(
      [[here.join("cache"), join(here.layers, "by-mount/volume")]],
      [
        ...["-layers", here.layers, "-cache-dir", join(here.layers, "by-mount/volume")],
        ...["-uid", String(nobody), "-gid", String(nobody)],
      ],
    );
    expect(snapshot(here.join("cache"))).toEqual(before);
  });
});
