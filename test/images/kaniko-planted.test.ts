import { expect, describe as group } from "bun:test";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { groupToml } from "../support/cache-fixture.ts";
import { canaryTree, stamps } from "../support/canary.ts";
import { isRoot, runRestorer, skipUnless, type TempDir, tempDir } from "../support/harness.ts";
import { blobOf, buildImage, expectComplete, large, placeOf, served } from "../support/kaniko-scene.ts";
import { canMount, runWithMounts } from "../support/mounts.ts";
import { digestOf } from "../support/test-image.ts";

const asRoot = skipUnless(isRoot, "root");

/** The places in a kaniko directory; what lies below `base` is ours to replace. */
const places: readonly [what: string, path: (dir: TempDir) => string, isOurs: boolean][] = [
  ["cache", (dir) => dir.join("kaniko/cache"), false],
  ["cache/base", (dir) => dir.join("kaniko/cache/base"), false],
  ["an image", (dir) => placeOf(dir, buildImage), true],
  ["an image's blobs", (dir) => `${placeOf(dir, buildImage)}/blobs`, true],
  ["an image's index.json", (dir) => `${placeOf(dir, buildImage)}/index.json`, true],
  ["a blob", (dir) => blobOf(dir, buildImage, digestOf(large)), true],
];

/** What is planted there, and what is said where it cannot be replaced. */
const plants: readonly [what: string, plant: (path: string, dir: TempDir) => void, says: RegExp][] = [
  ["a link to a directory", (path, dir) => symlinkSync(dir.join("canary/dir"), path), /is a symbolic link/],
  ["a link to a file", (path, dir) => symlinkSync(dir.join("canary/closed"), path), /is a symbolic link/],
  ["a dangling link", (path, dir) => symlinkSync(dir.join("canary/not-yet"), path), /is a symbolic link/],
  ["a fifo", (path) => void Bun.spawnSync(["mkfifo", path]), /is a fifo/],
  ["a file", (path) => writeFileSync(path, ""), /is a file/],
];

function sceneOf(): TempDir {
  return tempDir("kaniko", {
    canary: canaryTree,
    layers: { "group.toml": groupToml([{ id: "bp" }]), "analyzed.toml": "" },
  });
}

const argsOf = (dir: TempDir, host: string) => ["-layers", dir.join("layers"), "-build-image", `${host}/build`];

group("what is planted in the kaniko directory", () => {
  for (const [place, pathOf, isOurs] of places) {
    for (const [what, plant, says] of plants) {
      asRoot(`${place} that is ${what} is ${isOurs ? "replaced" : "refused"}, never followed, by root`, async () => {
        await using server = await served();
        using dir = sceneOf();
        const env = { CNB_KANIKO_DIR: dir.join("kaniko") };
        if (isOurs) expect(await runRestorer(argsOf(dir, server.host), { env })).toMatchObject({ exitCode: 0 });
        const path = pathOf(dir);
        rmSync(path, { recursive: true, force: true });
        mkdirSync(dirname(path), { recursive: true });
        plant(path, dir);
        writeFileSync(dir.join("layers/analyzed.toml"), "");
        const before = stamps(dir.join("canary"));
        const { exitCode, stderr } = await runRestorer(argsOf(dir, server.host), { env });
        expect(stamps(dir.join("canary"))).toEqual(before);
        expect({ exitCode, stderr }).toMatchObject({ exitCode: isOurs ? 0 : 1 });
        if (isOurs) expectComplete(dir, buildImage);
        else {
          expect(stderr).toContain(path);
          expect(stderr).toMatch(says);
        }
      });
    }
  }

  skipUnless(canMount, "root who may mount (unshare)")(
    "a mount in the place of an image is left as it is",
    async () => {
      await using server = await served();
      using dir = sceneOf();
      mkdirSync(placeOf(dir, buildImage), { recursive: true });
      const before = stamps(dir.join("canary"));
      const { exitCode, stderr } = await runWithMounts(
        [[dir.join("canary"), placeOf(dir, buildImage)]],
        argsOf(dir, server.host),
        { CNB_KANIKO_DIR: dir.join("kaniko") },
      );
      expect(stamps(dir.join("canary"))).toEqual(before);
      expect(exitCode).toBe(1);
      expect(stderr).toContain("something is mounted at");
      expect(readFileSync(dir.join("canary/file"), "utf8")).toBe("precious");
    },
  );
});
