import { describe, expect, test } from "bun:test";
import { chmodSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expectPlain, type Scene, scene } from "../cli/scene.ts";
import { canRunAs, isRoot, runRestorer, skipUnless, snapshot } from "../support/harness.ts";
import { data, desk } from "./run.ts";

/** Nobody's files here. */
const other = 54_321;
const withTwo = (): Scene => scene({ layers: ["one", "two"] });

describe("inspect", () => {
  test("lists the layers of a cache, one a line", async () => {
    using made = withTwo();
    const { exitCode, stdout, stderr } = await desk("inspect", made.cache.path);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatch(/^bp +\S+ +one +cache +\S+ kB +[0-9a-f]{12}$/m);
    expect(stdout.split("\n").filter((line) => line.startsWith("bp "))).toHaveLength(2);
    expectPlain({ stdout, stderr });
  });

  test("takes the first that exists of those to fall back on", async () => {
    using made = withTwo();
    const args = ["-cache-from", join(made.dir.path, "nowhere"), "-cache-from", made.cache.path];
    const { exitCode, stdout } = await desk("inspect", ...args, "bp:one");
    expect(exitCode).toBe(0);
    expect(stdout).toContain("Layer:    bp:one");
  });

  test("tells missing and orphan blobs, and what an export left", async () => {
    using made = withTwo();
    rmSync(made.cache.blob("bp", "one"));
    const orphan = `sha256:${"0".repeat(64)}`;
    writeFileSync(join(made.cache.committed, `${orphan}.tar`), "x");
    writeFileSync(join(made.cache.committed, "notes"), "12345");
    const { found } = await data("inspect", made.cache.path);
    const layers = found.buildpacks[0].layers.map(({ name, state }: Record<string, string>) => [name, state]);
    expect(layers).toEqual([
      ["one", "missing"],
      ["two", "held"],
    ]);
    expect(found.orphans).toEqual([{ sha: orphan, size: 1, problems: [] }]);
    expect(found.leftovers).toEqual([{ path: "committed/notes", bytes: 5 }]);
  });

  skipUnless(isRoot && canRunAs(other), "root, setpriv, and an executable that other users may run")(
    "tells blobs that the user who looks may not read",
    async () => {
      using made = withTwo();
      chmodSync(made.dir.path, 0o755);
      chmodSync(made.cache.blob("bp", "one"), 0o600);
      const { exitCode, stdout } = await runRestorer(["inspect", made.cache.path], { uid: other });
      expect(exitCode).toBe(0);
      expect(stdout).toMatch(/^bp .* one .*permission denied/m);
      expect(stdout).not.toMatch(/^bp .* two .*permission denied/m);
    },
  );

  test("lists a layer like tar, sums up its directories, and gives one file's bytes", async () => {
    using made = withTwo();
    const { stdout } = await desk("inspect", made.cache.path, "bp:one");
    expect(stdout).toMatch(/^-rwxr-xr-x +10 bin\/tool$/m);
    expect(stdout).toMatch(/^lrwxrwxrwx +0 latest -> bin\/tool$/m);
    expect(stdout).toContain('name = "one"');
    expect((await desk("inspect", made.cache.path, "two", "-tree")).stdout).toMatch(/10 bytes +1 +bin\/$/m);
    expect((await desk("inspect", made.cache.path, "two", "bin/tool")).stdout).toBe("#!/bin/sh\n");
    const link = await desk("inspect", made.cache.path, "two", "latest");
    expect(link).toMatchObject({ exitCode: 1, stdout: "" });
    expect(link.stderr).toContain('it is a symbolic link to "bin/tool"');
  });

  test("counts the entries that it lists, and not the directories above the layer", async () => {
    using made = withTwo();
    const { found } = await data("inspect", made.cache.path, "one");
    expect(found.contents.entries).toBe(found.entries.length);
    const { stdout } = await desk("inspect", "-tree", made.cache.path, "one");
    expect(stdout).toContain(`\n${found.entries.length} entries, `);
  });

  test("gives nothing of a file whose layer is not sound", async () => {
    using made = withTwo();
    truncateSync(made.cache.blob("bp", "one"), 4096);
    const { exitCode, stdout, stderr } = await desk("inspect", made.cache.path, "one", "bin/tool");
    expect({ exitCode, stdout }).toEqual({ exitCode: 42, stdout: "" });
    expect(stderr).toContain("ends early");
  });

  test("says that nothing was exported to an empty directory, and that an absent one is not there", async () => {
    using made = scene();
    rmSync(made.cache.committed, { recursive: true });
    expect((await desk("inspect", made.cache.path)).stdout).toContain("nothing yet");
    const absent = await desk("inspect", join(made.dir.path, "nowhere"));
    expect(absent).toMatchObject({ exitCode: 1, stdout: "" });
    expect(absent.stderr).toContain("no such file or directory");
    const word = await desk("inspect", "nowhere");
    expect(word.exitCode).toBe(1);
    expect(word.stderr).toContain("cannot open cache directory");
  });
});

describe("verify", () => {
  test("finds every bad blob, and calls no sound one bad", async () => {
    using made = scene({ layers: ["cut", "gone", "sound"] });
    truncateSync(made.cache.blob("bp", "sound"), 4096);
    const all = await data("verify", made.cache.path);
    // All three have one tree, under different names.
    const states = all.found.layers.map(({ layer, state }: Record<string, string>) => [layer, state]);
    expect(states).toEqual([
      ["cut", "sound"],
      ["gone", "sound"],
      ["sound", "bad"],
    ]);
    expect(all.exitCode).toBe(42);
    rmSync(made.cache.blob("bp", "gone"));
    const one = await desk("verify", made.cache.path, "gone");
    expect(one.exitCode).toBe(42);
    expect(one.stdout).toMatch(/^bad +bp:gone .*no such file or directory/m);
    expect((await desk("verify", made.cache.path, "cut")).exitCode).toBe(0);
  });

  test("changes nothing in the cache", async () => {
    using made = withTwo();
    const before = snapshot(made.cache.path);
    expect((await desk("verify", made.cache.path)).exitCode).toBe(0);
    expect(snapshot(made.cache.path)).toEqual(before);
  });
});

describe("diff", () => {
  test("says that equal caches have no differences, and reads no blob of them", async () => {
    using a = withTwo();
    using b = withTwo();
    truncateSync(b.cache.blob("bp", "one"), 0);
    const { exitCode, stdout } = await desk("diff", "-exit-code", a.cache.path, b.cache.path);
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: "No differences.\n" });
  });

  test("names layers, files and keys that differ", async () => {
    using a = scene({ layers: ["one", "gone"] });
    using b = scene({
      buildpacks: (tree) => [
        {
          id: "bp",
          layers: [
            { name: "one", tree: join(tree, "bin"), data: { name: "other" } },
            { name: "new", tree },
          ],
        },
      ],
    });
    const { exitCode, found } = await data("diff", "-exit-code", a.cache.path, b.cache.path);
    expect(exitCode).toBe(1);
    const changes = found.layers.map(({ layer, change }: Record<string, string>) => [layer, change]);
    expect(changes).toEqual([
      ["gone", "removed"],
      ["new", "added"],
      ["one", "changed"],
    ]);
    expect(found.layers[2].metadata).toEqual(["metadata.name"]);
    expect(found.layers[2].files).toContainEqual({ change: "added", path: "tool", what: [] });
    expect(found.layers[2].files).toContainEqual({ change: "removed", path: "bin/tool", what: [] });
    expect((await desk("diff", a.cache.path, b.cache.path)).exitCode).toBe(0);
  });
});

describe("explain", () => {
  test("needs no group, and says so", async () => {
    using made = withTwo();
    const args = ["-layers", join(made.dir.path, "none"), "-cache-dir", made.cache.path];
    const { exitCode, stdout } = await desk("explain", ...args);
    expect(exitCode).toBe(0);
    expect(stdout).toContain("every buildpack of cache and app image");
    expect(stdout).toMatch(/^restore +bp:one /m);
  });

  test("tells one layer in sentences, with what can be changed", async () => {
    using made = withTwo();
    const { stdout } = await desk("explain", "-layers", made.layers, "-cache-dir", made.cache.path, "bp:one");
    expect(stdout).toContain("bp:one would be restored");
    expect(stdout).toContain(`Writes        ${join(made.layers, "bp/one.toml")}`);
  });

  test("changes nothing, neither layers nor cache, and makes no layers directory", async () => {
    using made = withTwo();
    const before = snapshot(made.dir.path);
    const none = join(made.dir.path, "none");
    for (const layers of [made.layers, none]) {
      const { exitCode } = await desk("explain", "-layers", layers, "-cache-dir", made.cache.path, "-uid", "1000");
      expect(exitCode).toBe(0);
    }
    expect(snapshot(made.dir.path)).toEqual(before);
  });

  test("shows codes, and what would be removed", async () => {
    const sha = `sha256:${"0".repeat(64)}`;
    using made = scene({
      buildpacks: (tree) => [{ id: "bp", layers: [{ name: "deps", tree, launch: true }] }],
      analyzed: { buildpacks: [{ id: "bp", layers: [{ name: "deps", sha, cache: true }] }] },
      standing: { bp: { deps: { old: "" }, "deps.toml": "" } },
    });
    const { stdout } = await desk("explain", "-layers", made.layers, "-cache-dir", made.cache.path);
    expect(stdout).toMatch(/^remove +bp:deps .* stale +wrong sha/m);
    expect(stdout).toContain(`Would remove ${join(made.layers, "bp/deps.toml")}\n`);
  });

  test("foresees a blob that is missing", async () => {
    using made = withTwo();
    rmSync(made.cache.blob("bp", "two"));
    const { found } = await data("explain", "-layers", made.layers, "-cache-dir", made.cache.path);
    expect(found.layers.map(({ code }: Record<string, string>) => code)).toEqual(["cached", "blob-unavailable"]);
  });
});

describe("-output json", () => {
  test("tells a failure as data, with its code and exit code", async () => {
    using made = withTwo();
    const { found, exitCode } = await data("inspect", join(made.dir.path, "nowhere"));
    expect(found).toMatchObject({
      command: "inspect",
      exitCode,
      error: { code: "no-cache", text: expect.any(String) },
    });
    truncateSync(made.cache.blob("bp", "one"), 4096);
    const cut = await data("inspect", made.cache.path, "one");
    expect(cut).toMatchObject({ exitCode: 42, found: { exitCode: 42, error: { code: "blob-unusable" } } });
  });

  test("tells what can be done about a failure, as the text does", async () => {
    using made = withTwo();
    const { path } = made.cache;
    const hintOf = async (...args: string[]) => (await data(...args)).found.error.hint;
    expect(await hintOf("inspect", path, "three")).toBe('There are "bp:one" and "bp:two".');
    expect(await hintOf("inspect", "nowhere")).toStartWith("A cache is a directory, ");
    expect(await hintOf("verify", "-tree", path)).toBe(
      "Usage: restorer verify [flag]... [CACHE] [LAYER]; see restorer help verify",
    );
    expect(await hintOf("verfy", path)).toContain("Usage: restorer [COMMAND]");
  });

  test("is for version, help and completion, too", async () => {
    expect((await data("version")).found.tool.name).toBe("restorer");
    const { flags, arguments: meanings } = (await data("help", "verify")).found;
    expect(meanings.map(({ name }: Record<string, string>) => name)).toEqual(["CACHE", "LAYER"]);
    expect(flags).toContainEqual(expect.objectContaining({ name: "cache-dir", variables: ["CNB_CACHE_DIR"] }));
    expect((await data("completion", "bash")).found.script).toContain("complete ");
  });
});

describe("restore -only", () => {
  test("restores one layer, and leaves the others as they are", async () => {
    using made = scene({ layers: ["one", "two"], standing: { bp: { two: { old: "" }, "two.toml": "" } } });
    expect((await made.run(["-only", "bp:one"])).exitCode).toBe(0);
    const after = [...snapshot(join(made.layers, "bp")).keys()];
    expect(after).toContain("one/bin/tool");
    expect(after).toContain("two/old");
    expect(after).not.toContain("two/bin");
  });
});

describe("the command line of the desk", () => {
  const wrong: readonly [what: string, args: string[], says: string][] = [
    ["a misspelled command", ["inspekt"], "did you mean inspect?\nUsage: restorer [COMMAND] [flag]...; see"],
    ["an unknown flag", ["inspect", "-bogus", "x"], "unknown flag -bogus\n"],
    ["a misspelled flag", ["inspect", "-depht", "3"], "unknown flag -depht, did you mean -depth?\n"],
    ["a misspelled command to help with", ["help", "verfy"], '"verfy" is not a command; did you mean verify?\n'],
    ["a flag of another command", ["verify", "-tree", "x"], "verify does not take it"],
    ["one word too many", ["verify", "a", "b", "c"], '"c" is one too many'],
    ["a word that is missing", ["diff", "a"], "diff needs two caches, A and B"],
    ["a format that is not known", ["inspect", "-output", "xml", "x"], "neither text nor json"],
    ["a shell that is not known", ["completion", "csh"], "not one of bash, zsh and fish"],
  ];
  test.each(wrong)("%s ends with 3 and a sentence", async (_, args, says) => {
    const { exitCode, stderr, stdout } = await desk(...args);
    expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: "" });
    expect(stderr).toContain(says);
    expect(stderr.split("\n")).toHaveLength(3);
    expect(stderr).toContain(`\nUsage: restorer ${args.length === 1 ? "[COMMAND]" : args[0]} `);
  });

  test("a layer that is not there, or not the only one, is told with those there are", async () => {
    using made = withTwo();
    const none = await desk("inspect", made.cache.path, "three");
    expect(none.stderr).toContain('There are "bp:one" and "bp:two".');
    const several = await desk("inspect", made.cache.path, "bp");
    expect(several).toMatchObject({ exitCode: 3 });
    expect(several.stderr).toContain('"bp" fits "bp:one" and "bp:two"');
  });

  test.each([
    [["-tree"], "-tree shows a layer, and none is named"],
    [["one", "-depth", "1"], "-depth is for -tree, which is not given"],
    [["one", "file", "-tree"], "-tree shows a layer, not a file of it"],
    [["one", "file", "more"], 'takes no more than 3 words ([CACHE] [LAYER] [PATH]); "more" is one too many'],
  ])("inspect refuses what would be left out of account: %j", async (rest, message) => {
    using made = withTwo();
    const { exitCode, stderr } = await desk("inspect", made.cache.path, ...rest);
    expect(exitCode).toBe(3);
    expect(stderr).toContain(message);
  });
});
