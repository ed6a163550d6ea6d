import { describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { groupToml, makeCache } from "../support/cache-fixture.ts";
import { isRoot, restorerPath, runRestorer, skipUnless, tempDir } from "../support/harness.ts";

const names = Array.from({ length: 8 }, (_, index) => `layer-${index}`);
const rounds = Number(process.env["ROUNDS"] ?? 10);
const asRoot = skipUnless(isRoot, "root");

/** A cache that a process commits to all the time: two builds in turn, of the same layers with other contents, or with the same. */
async function movingCache({ isReused = false } = {}) {
  const trees = Object.fromEntries(
    ["old", "new"].map((build) => [
      build,
      Object.fromEntries(names.map((name) => [name, { file: `${isReused ? "same" : build} ${name}` }])),
    ]),
  );
  const dir = tempDir("moving", { trees, cache: {}, layers: { "group.toml": groupToml([{ id: "bp" }]) } });
  for (const build of ["old", "new"]) {
    const layers = names.map((name) => ({ name, tree: dir.join("trees", build, name) }));
    makeCache(dir.join(build), [{ id: "bp", layers }]);
  }
  mkdirSync(dir.join("cache/committed"));
  cpSync(dir.join("old/committed"), dir.join("cache/committed"), { recursive: true });
  const script = join(import.meta.dir, "../support/busy-exporter.ts");
  const generations = ["old", "new"].map((build) => dir.join(build, "committed"));
  const exporter = Bun.spawn([process.execPath, script, dir.join("cache"), ...generations], { stdout: "pipe" });
  await exporter.stdout.getReader().read();
  return {
    dir,
    isAlive: () => exporter.exitCode === null,
    async [Symbol.asyncDispose]() {
      exporter.kill();
      await exporter.exited;
      dir[Symbol.dispose]();
    },
  };
}

/** Which build each layer is of; undefined for one that did not come back. */
function buildsIn(layers: string): (string | undefined)[] {
  const found = names
    .map((name) => join(layers, "bp", name, "file"))
    .map((path) => existsSync(path) && readFileSync(path, "utf8"));
  return found.map((text) => (text === false ? undefined : text.split(" ")[0]));
}

describe("a volume cache that an exporter commits to all the time", () => {
  const whole: (string | undefined)[][] = [names.map(() => "old"), names.map(() => "new")];

  async function expectWholeBuilds(here: Awaited<ReturnType<typeof movingCache>>, ...args: string[]): Promise<void> {
    const layers = here.dir.join("layers");
    const all = ["-layers", layers, "-cache-dir", here.dir.join("cache"), "-strict", ...args];
    for (let round = 0; round < rounds; round++) {
      const { exitCode, stderr } = await runRestorer(all);
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: expect.not.stringContaining("Not ") });
      expect(whole).toContainEqual(buildsIn(layers));
      rmSync(join(layers, "bp"), { recursive: true });
    }
    expect(here.isAlive()).toBe(true);
  }

  test("loses no layer, and all are of one build", async () => {
    await using here = await movingCache();
    await expectWholeBuilds(here);
  });

  test("loses no layer that every export reuses, where descriptors do not reach for all of them", async () => {
    await using here = await movingCache({ isReused: true });
    const layers = here.dir.join("layers");
    const command = ["sh", "-c", 'ulimit -n 66 && exec "$@"', "sh", restorerPath()];
    for (let round = 0; round < rounds; round++) {
      const { exitCode, stderr } = await runRestorer(["-layers", layers, "-cache-dir", here.dir.join("cache")], {
        command,
      });
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: expect.not.stringContaining("Not ") });
      expect(buildsIn(layers)).toEqual(names.map(() => "same"));
      rmSync(join(layers, "bp"), { recursive: true });
    }
  });

  asRoot("nor where only root may read it, and becomes a user", async () => {
    await using here = await movingCache();
    for (const build of ["old", "new"]) Bun.spawnSync(["chmod", "-R", "go-rwx", here.dir.join(build)]);
    await expectWholeBuilds(here, "-uid", "65534", "-gid", "65534");
  });
});
