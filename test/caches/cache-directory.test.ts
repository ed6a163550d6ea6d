import { describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { makeCache } from "../support/cache-fixture.ts";
import { file, link, runRestorer, type TempDir, type Tree, tempDir } from "../support/harness.ts";

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
    { what: "full of blobs", place: { [`${digest}.tar`]: "" }, says: 'a cache has them in a directory "committed"' },
    {
      what: "the metadata of one",
      given: "good/cache/committed/io.buildpacks.lifecycle.cache.metadata",
      says: 'did you mean "/good/cache"?',
    },
    { what: "blobs without metadata", place: { committed: { [`${digest}.tar`]: "" } }, says: "but no io.buildpacks" },
    { what: "an image layout", place: { "oci-layout": "{}", blobs: {} }, says: "-cache-image" },
    { what: "the layers directory", given: "layers", says: "it looks like a layers directory" },
    { what: "a file with the name of one", place: { committed: "" }, says: 'its "committed" is not a directory' },
    { what: "a link to nothing inside", place: { committed: link("gone") }, says: '"committed" is a link to "gone"' },
    { what: "a cache's metadata alone", place: { "io.buildpacks.lifecycle.cache.metadata": "{}" }, says: "metadata" },
  ])("$what: a warning says so, and a strict run fails", async ({ says, ...given }) => {
    const relaxed = await restore(given);
    expect(relaxed.exitCode).toBe(0);
    expect(relaxed.stderr).toMatch(/Warning: Not using the cache: (cannot open )?cache directory /);
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
    { what: "a link to a volume that is not there", given: "place/cache", place: { cache: link("gone") } },
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

describe("what is not where it was said to be", () => {
  interface Mixed {
    readonly what: string;
    /** The flag and what it names; `~` is the directory of the scene, which is also the current one. */
    readonly args: readonly [flag: string, word: string];
    readonly place?: Tree;
    readonly says: string;
  }
  test.each<Mixed>([
    {
      what: "a directory as an image",
      args: ["-cache-image", "~/good/cache"],
      says: "a cache directory is given with -cache-dir",
    },
    { what: "a relative one", args: ["-cache-image", "./good"], says: "an OCI image layout as oci:./good" },
    { what: "a URL as an image", args: ["-cache-image", "https://reg.io/a/b"], says: 'leave out "https://"' },
    { what: "skopeo's name as an image", args: ["-cache-image", "docker://reg.io/a"], says: 'leave out "docker://"' },
    {
      what: "a cache directory as a layout",
      args: ["-cache-image", "oci:~/good/cache"],
      says: "it is a cache directory: give it as -cache-dir ~/good/cache",
    },
    {
      what: "other files as a layout",
      args: ["-cache-image", "oci:~/place"],
      place: { a: "" },
      says: 'is not an OCI image layout: it holds "a", but no index.json',
    },
    {
      what: "a file as a layout",
      args: ["-cache-image", "oci:~/layers/group.toml"],
      says: "is not a directory",
    },
    {
      what: "a layout as a directory",
      args: ["-cache-dir", "oci:place"],
      says: "if it is an image, give it as -cache-image oci:place",
    },
    {
      what: "an image as a directory",
      args: ["-cache-dir", "reg.example.com/a/b"],
      says: "if it is an image, give it as -cache-image reg.example.com/a/b",
    },
  ])("$what is told, with what was meant", async ({ args: [flag, word], place = {}, says }) => {
    using dir = tempDir("cache-mixed", { good: { cache: { committed: {} } }, layers: { "group.toml": group }, place });
    writeFileSync(dir.join("good/cache/committed/io.buildpacks.lifecycle.cache.metadata"), "{}");
    const args = ["-layers", dir.join("layers"), flag, word.replace("~", dir.path)];
    const { exitCode, stderr } = await runRestorer(args, { cwd: dir.path });
    expect(exitCode).toBe(0);
    expect(stderr.replaceAll(dir.path, "~")).toContain(says);
  });

  test("an empty directory for a layout is a first build", async () => {
    using dir = tempDir("cache-mixed", { layers: { "group.toml": group }, place: {} });
    const args = ["-layers", dir.join("layers"), "-cache-image", `oci:${dir.join("place")}`, "-strict"];
    const { exitCode, stderr } = await runRestorer(args);
    expect({ exitCode, told: stderr.includes("Not using the cache") }).toEqual({ exitCode: 0, told: false });
  });
});
