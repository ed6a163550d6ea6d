import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { earlierBuild, sbomTree } from "../demo/earlier-build.ts";
import { writeLayers } from "../demo/layers.ts";
import { groupToml } from "../support/cache-fixture.ts";
import { differences, isRoot, restorerPath, skipUnless, tempDir, writeTree } from "../support/harness.ts";
import { Build, contents, layers, reference, tomls, type User } from "./reference-build.ts";

/*
 * The proof of a restore is the next export: modes and owners of a layer, and of the directories above it, are part of its
 * digest. Where all come back as they were, the exporter reuses every cached layer. Set REFERENCE to the
 * executable of the reference implementation.
 */

const withReference = skipUnless(existsSync(reference), "REFERENCE, the path of a lifecycle executable");

const everyLayer = [
  ...layers.map(({ buildpack, name }) => `${buildpack}:${name}`),
  "buildpacksio/lifecycle:cache.sbom",
];

const self: User = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const users: readonly [string, User][] = isRoot
  ? [
      ["as root", self],
      ["dropped to uid 1000", { uid: 1000, gid: 1000 }],
      ["dropped to uid 1000, in a setgid directory", { uid: 1000, gid: 1000, setgid: 4242 }],
      ["as uid 1000, in a setgid directory", { uid: 1000, gid: 1000, setgid: 4242, isStarted: true }],
    ]
  : [["as the current user", self]];

/** What the desk foresees of the next export of a build. */
function foresee({ cache, layers }: Build): Record<string, string>[] {
  const words = ["diff", cache, `layers:${layers}`, "-output", "json"];
  const { stdout } = Bun.spawnSync([restorerPath(), ...words], { env: {} });
  return JSON.parse(stdout.toString()).layers;
}

describe("a cache that the reference exported, restored, and exported by the reference again", () => {
  for (const [who, user] of users) {
    for (const umask of [0o022, 0o077]) {
      const how = `under umask 0${umask.toString(8)}, ${who}`;
      withReference(`has every cached layer reused, ${how}`, () => {
        using dir = tempDir("round-trip");
        const build = new Build(dir.path, umask, user);
        build.buildAnew();
        const { digests } = build.export();
        const made = contents(build);
        expect(Object.keys(digests).sort()).toEqual(["sbom", ...everyLayer.slice(0, -1)].sort());

        build.startLayers();
        build.restore(restorerPath());
        expect(differences(contents(build), made)).toEqual([]);
        expect(tomls(build)).toEqual(layers.map(() => "[metadata]\nversion = 1\n"));
        build.buildAgain();
        expect(build.export()).toEqual({ reused: [...everyLayer].sort(), digests });
      });

      // Below a setgid directory the reference loses that bit of every directory, and reuses nothing.
      if (user.setgid !== undefined) continue;
      withReference(`has them reused as after the reference's own restore, ${how}`, () => {
        using dir = tempDir("round-trip");
        const build = new Build(dir.path, umask, user);
        build.buildAnew();
        // Without root the reference loses this bit; a layer that has it would be exported anew after its restore.
        rmSync(join(build.layers, "bp/deps/bin/setuid"));
        const { digests } = build.export();
        build.startLayers();
        build.restore(build.referenceRestorer);
        build.buildAgain();
        expect(build.export()).toEqual({ reused: [...everyLayer].sort(), digests });
      });
    }
  }

  withReference("has a layer exported anew that differs by one bit of a mode: the exporter would tell", () => {
    using dir = tempDir("round-trip");
    const build = new Build(dir.path, 0o022, self);
    build.buildAnew();
    build.export();
    build.startLayers();
    build.restore(restorerPath());
    build.buildAgain();
    chmodSync(join(build.layers, "bp/deps/bin/tool"), 0o775);
    const foreseen = foresee(build);
    expect(foreseen.filter(({ outcome }) => outcome !== "reused")).toEqual([
      expect.objectContaining({
        layer: "deps",
        files: [{ change: "changed", path: "bin/tool", what: ["mode 0755 → 0775"] }],
      }),
    ]);
    expect(foreseen).toHaveLength(layers.length);
    expect(build.export().reused).toEqual(everyLayer.filter((name) => name !== "bp:deps").sort());
  });

  withReference("is the same again after ten builds, and nothing is left over", () => {
    using dir = tempDir("round-trip");
    const build = new Build(dir.path, 0o022, self);
    build.buildAnew();
    const { digests } = build.export();
    for (let round = 1; round <= 10; round++) {
      build.startLayers();
      build.restore(restorerPath());
      build.buildAgain();
      expect({ round, ...build.export() }).toEqual({ round, reused: [...everyLayer].sort(), digests });
    }
    const names = readdirSync(build.layers).sort();
    expect(names).toEqual(["analyzed.toml", "bp", "config", "example_other", "group.toml", "sbom"]);
    expect(readdirSync(build.cache).sort()).toEqual(
      ["committed", "staging"].filter((name) => existsSync(join(build.cache, name))),
    );
  });
});

describe("make-cache packs layers as the reference's exporter does", () => {
  withReference("with the same digests, of what the demo restores", () => {
    using dir = tempDir("demo", { sources: {}, build: {} });
    const build = new Build(dir.join("build"), 0o022, self);
    const demo = earlierBuild(dir.join("sources"));
    writeLayers(build.layers, demo, sbomTree(dir.join("sources")));
    const group = groupToml(demo.map(({ id }) => ({ id })));
    writeTree(build.layers, { "group.toml": group, config: { "metadata.toml": "" } });
    const { digests } = build.export();
    expect(Object.keys(digests)).toHaveLength(4);
    expect(build.makeCache(dir.join("made"))).toEqual(digests);
  });

  for (const [who, user] of users) {
    for (const umask of [0o022, 0o077]) {
      const how = `under umask 0${umask.toString(8)}, ${who}`;
      withReference(`with the same digests, ${how}`, () => {
        using dir = tempDir("make-cache");
        const build = new Build(dir.path, umask, user);
        build.buildAnew();
        expect(build.makeCache(dir.join("made"))).toEqual(build.export().digests);
      });

      test(`and so has the same digests again after a restore, ${how}`, () => {
        using dir = tempDir("make-cache");
        const build = new Build(dir.path, umask, user);
        build.buildAnew();
        const digests = build.makeCache(dir.join("made"));
        expect(Object.keys(digests).sort()).toEqual(["sbom", ...everyLayer.slice(0, -1)].sort());
        build.startLayers();
        // From this Platform API on, launch layers come back without an app image.
        build.restore(restorerPath(), dir.join("made"), "0.14");
        build.buildAgain();
        expect(build.makeCache(dir.join("again"))).toEqual(digests);
      });
    }
  }
});
