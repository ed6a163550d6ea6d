import { describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { makeCache } from "../support/cache-fixture.ts";
import { file, runRestorer, type TempDir, type Tree, tempDir } from "../support/harness.ts";

const group = '[[group]]\nid = "bp"\nversion = "1"\napi = "0.10"\n';
const digest = `sha256:${"0".repeat(64)}`;

interface Given {
  readonly what: string;
  /** What stands in the directory `place`, which is what `-cache-dir` names unless `given` does. */
  readonly place?: Tree;
  readonly given?: string;
  readonly change?: (dir: TempDir) => void;
}

/** A scene with a good cache at `good/cache`, and what is given. */
async function restore({ place = {}, given = "place", change }: Given, ...args: readonly string[]) {
  using dir = tempDir("cache-dir", { tree: { a: "b" }, good: { cache: {} }, layers: { "group.toml": group }, place });
  makeCache(dir.join("good/cache"), [{ id: "bp", layers: [{ name: "deps", tree: dir.join("tree") }] }]);
  change?.(dir);
  const result = await runRestorer(["-layers", dir.join("layers"), "-cache-dir", dir.join(given), ...args]);
  return { ...result, stderr: result.stderr.replaceAll(dir.path, "") };
}

describe("a cache directory that is", () => {
  test.each<Given & { readonly says: string }>([
    { what: "one too deep", given: "good/cache/committed", says: 'did you mean "/good/cache"?' },
    { what: "one too high", given: "good", says: 'did you mean "/good/cache"?' },
    { what: "full of other files", place: { b: "", a: "", c: {}, d: "" }, says: '"a", "b", "c" and 1 other entry' },
    { what: "full of blobs", place: { [`${digest}.tar`]: "" }, says: 'it holds 1 layer itself, and no "committed"' },
    { what: "blobs without metadata", place: { committed: { [`${digest}.tar`]: "" } }, says: "but no io.buildpacks" },
    { what: "an image layout", place: { "oci-layout": "{}", blobs: {} }, says: "-cache-image" },
    { what: "the layers directory", given: "layers", says: "it looks like a layers directory" },
    { what: "a cache's metadata alone", place: { "io.buildpacks.lifecycle.cache.metadata": "{}" }, says: "metadata" },
  ])("$what: a warning says so, and a strict run fails", async ({ says, ...given }) => {
    const relaxed = await restore(given);
    expect(relaxed.exitCode).toBe(0);
    expect(relaxed.stderr).toContain("Warning: Not using the cache: cache directory ");
    expect(relaxed.stderr).toContain(says);
    const strict = await restore(given, "-strict");
    expect(strict.exitCode).toBe(42);
    expect(strict.stderr).toContain(says);
  });

  test.each<Given>([
    { what: "absent", given: "nowhere" },
    { what: "empty" },
    { what: "a fresh file system", place: { "lost+found": {} } },
    { what: "fresh", place: { committed: {}, staging: {} } },
    {
      what: "what an export left that was killed",
      place: { committed: {}, staging: { [`${digest}.tar`]: file("x") } },
    },
    { what: "gone again", given: "good/cache", change: (dir) => rmSync(dir.join("good/cache"), { recursive: true }) },
  ])("$what: a first build, also for a strict run", async (given) => {
    for (const args of [[], ["-strict"]]) {
      const { exitCode, stdout, stderr } = await restore(given, ...args);
      expect(exitCode).toBe(0);
      expect(`${stdout}${stderr}`).toMatch(/Layer cache not found|no such file or directory/);
      expect(stderr).not.toContain("did you mean");
    }
  });
});
