import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import * as v from "valibot";
import { reportSchema } from "../../lib/layers/report-schema.ts";
import { analyzedToml, type CachedLayer, type CacheFixture, groupToml, makeCache } from "../support/cache-fixture.ts";
import { have, restorerPath, runRestorer, skipUnless, type TempDir, tempDir, writeTree } from "../support/harness.ts";
import { tarOf } from "../support/raw-tar.ts";

/** More than are told another thread at a time, in several buildpacks. */
const buildpacks = ["some/a", "some/b", "some/c"];
const perBuildpack = 50;

function layerOf(id: string, index: number): CachedLayer {
  const name = `layer-${index}`;
  const root = `/layers/${id.replace("/", "_")}/${name}`;
  const entries = [
    { name: root, type: "directory" as const, mode: 0o750 },
    { name: `${root}/file`, data: `${id} ${name}` },
    { name: `${root}/link`, type: "symlink" as const, linkname: "file" },
  ];
  if (index === 7) return { name, tar: tarOf([...entries, { name: "/elsewhere", data: "out" }]) };
  // One that goes by way of threads.
  if (index === 23) return { name, tar: tarOf([...entries, { name: `${root}/large`, data: "x".repeat(100_000) }]) };
  return { name, tar: tarOf(entries) };
}

/** A cache where in each buildpack one archive leads outside, one blob is another's, and one is missing. */
function cacheWithFaults(dir: TempDir): CacheFixture {
  const cache = makeCache(
    dir.join("cache"),
    buildpacks.map((id) => ({ id, layers: Array.from({ length: perBuildpack }, (_, index) => layerOf(id, index)) })),
  );
  for (const id of buildpacks) {
    writeFileSync(cache.blob(id, "layer-11"), readFileSync(cache.blob(id, "layer-12")));
    rmSync(cache.blob(id, "layer-31"));
  }
  return cache;
}

async function restore(dir: TempDir, args: readonly string[], command: readonly string[] = [restorerPath()]) {
  writeTree(dir.path, {
    layers: { "group.toml": groupToml(buildpacks.map((id) => ({ id }))), "analyzed.toml": analyzedToml() },
  });
  const all = ["-layers", dir.join("layers"), "-report", dir.join("report.json"), ...args];
  const { exitCode } = await runRestorer(all, { command });
  const report = v.parse(reportSchema, JSON.parse(readFileSync(dir.join("report.json"), "utf8")));
  const results = report.layers.map(
    ({ buildpack, layer, outcome, code }) => `${buildpack}:${layer} ${outcome} ${code}`,
  );
  return { exitCode, results: results.sort() };
}

const bad: Readonly<Record<number, string>> = { 7: "blob-unusable", 11: "blob-unusable", 31: "blob-unavailable" };

function expected(): string[] {
  const lines = buildpacks.flatMap((id) =>
    Array.from({ length: perBuildpack }, (_, index) => {
      const code = bad[index];
      return `${id}:layer-${index} ${code === undefined ? "restored cached" : `refused ${code}`}`;
    }),
  );
  return lines.sort();
}

function expectWhole(dir: TempDir, refused: (index: number) => boolean): void {
  for (const id of buildpacks) {
    const place = dir.join("layers", id.replace("/", "_"));
    for (let index = 0; index < perBuildpack; index += 1) {
      const [root, isRefused] = [`${place}/layer-${index}`, refused(index)];
      expect([index, existsSync(root), existsSync(`${root}.toml`)]).toEqual([index, !isRefused, !isRefused]);
      if (!isRefused) expect(readFileSync(`${root}/link`, "utf8")).toBe(`${id} layer-${index}`);
    }
  }
  expect(existsSync(dir.join("elsewhere"))).toBe(false);
}

describe("many small layers", () => {
  test("each come back, or are refused with their own reason, whoever extracts them", async () => {
    using dir = tempDir("small");
    const cache = cacheWithFaults(dir);
    expect(await restore(dir, ["-cache-dir", cache.path])).toEqual({ exitCode: 0, results: expected() });
    expectWhole(dir, (index) => index in bad);
  });

  skipUnless(have("taskset") && availableParallelism() > 1, "taskset and two cores")(
    "also where there is one core",
    async () => {
      using dir = tempDir("small");
      const cache = cacheWithFaults(dir);
      const command = ["taskset", "-c", "0", restorerPath()];
      expect(await restore(dir, ["-cache-dir", cache.path], command)).toEqual({ exitCode: 0, results: expected() });
      expectWhole(dir, (index) => index in bad);
    },
  );

  test("also where few files may be open", async () => {
    using dir = tempDir("small");
    const cache = cacheWithFaults(dir);
    const command = ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh", restorerPath()];
    expect(await restore(dir, ["-cache-dir", cache.path], command)).toEqual({ exitCode: 0, results: expected() });
    expectWhole(dir, (index) => index in bad);
  });

  test("come from the next cache where this one's are bad", async () => {
    using dir = tempDir("small");
    const cache = cacheWithFaults(dir);
    const layers = (id: string) => Array.from({ length: perBuildpack }, (_, index) => layerOf(id, index));
    makeCache(
      dir.join("next"),
      buildpacks.map((id) => ({ id, layers: layers(id) })),
    );
    const args = ["-cache-dir", cache.path, "-cache-from", dir.join("next")];
    const { exitCode, results } = await restore(dir, args);
    expect(exitCode).toBe(0);
    expect(results.filter((line) => line.includes("refused"))).toEqual(
      buildpacks.map((id) => `${id}:layer-7 refused blob-unusable`),
    );
    expectWhole(dir, (index) => index === 7);
  });
});
