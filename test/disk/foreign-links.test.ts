import { describe, expect } from "bun:test";
import {
  chmodSync,
  cpSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { isRoot, runRestorer, skipUnless, snapshot } from "../support/harness.ts";
import { type PlantingScene, plantingScene } from "../support/planting-scene.ts";

const withRoot = skipUnless(isRoot, "root");
const nobody = 65534;
const metadataName = "io.buildpacks.lifecycle.cache.metadata";

/** A cache of root's that nobody else may read, with a layer of a telling name, and one of somebody else's that links into it. */
function scene(linksOwner: number, link: (from: string, to: string) => void): PlantingScene {
  const here = plantingScene();
  const hidden = here.join("private");
  cpSync(here.join("cache/committed"), hidden, { recursive: true });
  const metadata = JSON.parse(readFileSync(join(hidden, metadataName), "utf8"));
  metadata.buildpacks.push({ key: "hunter2-secret", version: "1", layers: {} });
  writeFileSync(join(hidden, metadataName), JSON.stringify(metadata));
  for (const name of readdirSync(hidden)) chmodSync(join(hidden, name), 0o600);
  chmodSync(hidden, 0o700);
  rmSync(here.join("cache"), { recursive: true });
  mkdirSync(here.join("cache"));
  link(hidden, here.join("cache/committed"));
  for (const path of [here.join("cache"), here.join("cache/committed")]) lchownSync(path, linksOwner, linksOwner);
  return here;
}

const kinds: readonly (readonly [what: string, link: (from: string, to: string, owner: number) => void])[] = [
  ["its directory", (from, to) => symlinkSync(from, to)],
  [
    "its files",
    (from, to, owner) => {
      mkdirSync(to);
      for (const name of readdirSync(from)) {
        symlinkSync(join(from, name), join(to, name));
        lchownSync(join(to, name), owner, owner);
      }
    },
  ],
];

describe("of a cache that somebody else's links make of root's own files nothing comes back, and nothing is told", () => {
  for (const [what, link] of kinds) {
    for (const flags of [[], ["-uid", `${nobody}`, "-gid", `${nobody}`]]) {
      withRoot(`by links in the place of ${what}${flags.length === 0 ? "" : ", by the user it becomes"}`, async () => {
        using here = scene(nobody, (from, to) => link(from, to, nobody));
        const args = ["-layers", here.layers, "-cache-dir", here.join("cache"), "-report", "-", ...flags];
        const { stdout, stderr } = await runRestorer(args);
        expect(stdout + stderr).not.toContain("hunter2");
        // The user it becomes may not read it by himself.
        expect(stderr).toMatch(/a link that is not root's leads to what not everybody may read|permission denied/);
        expect(snapshot(here.layers).has("example_app/dist/data")).toBe(false);
      });
    }

    withRoot(`by root's own links in the place of ${what} all comes back`, async () => {
      using here = scene(0, (from, to) => link(from, to, 0));
      await runRestorer(["-layers", here.layers, "-cache-dir", here.join("cache")]);
      expect(snapshot(here.layers).has("example_app/dist/data")).toBe(true);
    });
  }

  withRoot("by links to blobs alone", async () => {
    using here = plantingScene();
    const blob = readdirSync(here.join("cache/committed")).find((name) => name.startsWith("sha256:")) ?? "";
    mkdirSync(here.join("private"), { mode: 0o700 });
    for (const name of readdirSync(here.join("cache/committed")).filter((one) => one.startsWith("sha256:"))) {
      cpSync(here.join("cache/committed", name), here.join("private", name));
      chmodSync(here.join("private", name), 0o600);
      rmSync(here.join("cache/committed", name));
      symlinkSync(here.join("private", name), here.join("cache/committed", name));
      lchownSync(here.join("cache/committed", name), nobody, nobody);
    }
    expect(blob).not.toBe("");
    const { stderr } = await runRestorer(["-layers", here.layers, "-cache-dir", here.join("cache")]);
    expect(stderr).toContain("a link that is not root's leads to what not everybody may read");
    expect(snapshot(here.layers).has("example_app/dist/data")).toBe(false);
  });
});
