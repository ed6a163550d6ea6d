import { describe, expect, test } from "bun:test";
import { existsSync, lstatSync } from "node:fs";
import { readInputs } from "../../lib/cli/inputs.ts";
import { readSituation, type Situation } from "../../lib/layers/situation.ts";
import { StreamLog } from "../../lib/log.ts";
import { Progress } from "../../lib/progress.ts";
import { analyzedToml, groupToml, makeCache } from "../support/cache-fixture.ts";
import { snapshot, type TempDir, tempDir, writeTree } from "../support/harness.ts";

/** What stands in a directory, with times of last change. */
function everything(dir: TempDir): string[] {
  return [...snapshot(dir.path)].map(([path, entry]) => {
    const { mtimeMs, ctimeMs } = lstatSync(dir.join(path));
    return JSON.stringify({ path, ...entry, mtimeMs, ctimeMs });
  });
}

/** Looks at a layers directory below `dir`; the process's own user and umask, and all that stands in `dir`, stay as they are. */
async function look(dir: TempDir, ...args: readonly string[]): Promise<Situation> {
  const env = { CNB_PLATFORM_API: "0.15" };
  const inputs = readInputs(["-layers", dir.join("layers"), "-kaniko-dir", dir.join("kaniko"), ...args], env);
  const log = new StreamLog("error");
  const { signal } = new AbortController();
  const before = { tree: everything(dir), umask: process.umask(), user: [process.geteuid?.(), process.getegid?.()] };
  const situation = await readSituation({
    inputs,
    env,
    log,
    signal,
    progress: new Progress(false),
    umask: process.umask(),
  });
  const after = { tree: everything(dir), umask: process.umask(), user: [process.geteuid?.(), process.getegid?.()] };
  expect(after).toEqual(before);
  return situation;
}

const inShort = ({ plan }: Situation) =>
  plan.layers.map(({ buildpack, layer, action, code }) => `${buildpack}:${layer} ${action}: ${code}`);

/** A cache with a layer to restore, one that was not cached, and one of which the app image has other contents. */
function writeCache(dir: TempDir): void {
  const tree = dir.join("tree");
  const layers = [
    { name: "cached", tree },
    { name: "gone", tree, cache: false },
    { name: "stale", tree, launch: true },
  ];
  makeCache(dir.join("cache"), [{ id: "a/b", layers }]);
}

const expected = ["a/b:cached restore: cached", "a/b:gone skip: cache-false", "a/b:stale remove: stale"];

const analyzed = analyzedToml({
  runImage: { reference: "127.0.0.1:1/run@sha256:0", extend: true },
  buildpacks: [{ id: "a/b", layers: [{ name: "stale", cache: true, sha: `sha256:${"0".repeat(64)}` }] }],
});

describe("looking at a situation", () => {
  test("finds what a restore would do, changes nothing, and asks for no run or build image", async () => {
    using dir = tempDir("situation", { tree: { file: "text" } });
    writeCache(dir);
    const layers = { a_b: { stale: { old: "" }, "stale.toml": "" }, ".restorer-0123456789ab-1-1-000000000000": {} };
    writeTree(dir.path, { layers: { ...layers, "group.toml": groupToml([{ id: "a/b" }]), "analyzed.toml": analyzed } });
    const images = ["-build-image", "127.0.0.1:1/build", "-uid", "1234", "-gid", "1234"];
    const situation = await look(dir, "-cache-dir", dir.join("cache"), ...images);
    expect(inShort(situation)).toEqual(expected);
    expect(situation.group?.buildpacks.map(({ id }) => id)).toEqual(["a/b"]);
    expect(situation.analyzed?.runImage?.reference).toBe("127.0.0.1:1/run@sha256:0");
    expect(situation.cached.buildpacks.map(({ id }) => id)).toEqual(["a/b"]);
    expect(situation.troubles).toEqual([]);
  });

  test("makes no layers directory where there is none: no layer stands then", async () => {
    using dir = tempDir("situation", { tree: { file: "text" }, platform: {} });
    writeCache(dir);
    writeTree(dir.path, { "group.toml": groupToml([{ id: "a/b" }]), "analyzed.toml": analyzed });
    const files = ["-group", dir.join("group.toml"), "-analyzed", dir.join("analyzed.toml")];
    const situation = await look(dir, "-cache-dir", dir.join("cache"), ...files);
    expect(inShort(situation)).toEqual(expected);
    expect(existsSync(dir.join("layers"))).toBe(false);
    expect(existsSync(dir.join("kaniko"))).toBe(false);
  });

  test("tells trouble with the cache as a restore does, and goes on without it", async () => {
    using dir = tempDir("situation");
    writeTree(dir.path, {
      layers: { "group.toml": groupToml([{ id: "a/b" }]), "analyzed.toml": analyzed },
      cache: "x",
    });
    const situation = await look(dir, "-cache-dir", dir.join("cache"));
    expect(situation.troubles).toEqual([expect.stringContaining("is not a directory")]);
    expect(inShort(situation)).toEqual(["a/b:stale skip: cache-unused"]);
  });
});
