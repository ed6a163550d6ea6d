import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Scene, scene } from "../cli/scene.ts";
import { tempDir } from "../support/harness.ts";
import { zerosLayout } from "../support/zeros-layout.ts";
import { data, desk } from "./run.ts";

describe("inspect tells what stands in the place of a blob, and is none:", () => {
  const is = "is not a regular file";
  test.each<[string, string, (path: string) => unknown]>([
    ["a directory", is, (path) => mkdirSync(path)],
    ["a fifo", is, (path) => Bun.spawnSync(["mkfifo", path])],
    ["a link to a device", is, (path) => symlinkSync("/dev/zero", path)],
    ["a link to nothing", "no such file or directory", (path) => symlinkSync("nothing", path)],
  ])("%s", async (_, problem, put) => {
    using made = scene({ layers: ["one", "two"] });
    const path = made.cache.blob("bp", "one");
    rmSync(path);
    put(path);
    put(join(made.cache.committed, `sha256:${"0".repeat(64)}.tar`));
    const { exitCode, found } = await data("inspect", made.cache.path);
    expect(exitCode).toBe(0);
    const problems = [{ code: "blob-unavailable", text: problem }];
    const held = { state: "held", problems: [] };
    expect(found.buildpacks[0].layers).toMatchObject([{ state: "unusable", size: 0, problems }, held]);
    expect(found.orphans).toMatchObject([{ size: 0, problems }]);
    const { stdout } = await desk("inspect", made.cache.path);
    expect(stdout).toMatch(new RegExp(`one .*${problem}`));
    expect(stdout).toMatch(new RegExp(`^Orphan: .*${problem}`, "m"));
    const verified = await data("verify", made.cache.path, "one");
    expect(verified).toMatchObject({ exitCode: 42, found: { layers: [{ code: "blob-unavailable" }] } });
    expect(verified.found.layers[0].reason).toContain(problem);
  });

  test("a link to a blob is one, and of an image the size is what lies there", async () => {
    using made = scene();
    const path = made.cache.blob("bp", "deps");
    const bytes = readFileSync(path);
    writeFileSync(made.dir.join("elsewhere"), bytes);
    rmSync(path);
    symlinkSync(made.dir.join("elsewhere"), path);
    const { found } = await data("inspect", made.cache.path);
    expect(found.buildpacks[0].layers).toMatchObject([{ state: "held", size: bytes.length }]);

    using dir = tempDir("layout");
    zerosLayout(dir.join("layout"), 1);
    const cache = `oci:${dir.join("layout")}`;
    const [{ sha }] = (await data("inspect", cache)).found.buildpacks[0].layers;
    truncateSync(dir.join(`layout/blobs/sha256/${sha.slice(7)}`), 1000);
    const cut = (await data("inspect", cache)).found.buildpacks[0].layers[0];
    const problem = { code: "blob-unusable", text: expect.stringContaining("has 1,000 bytes") };
    expect(cut).toMatchObject({ state: "unusable", size: 1000, problems: [problem] });
  });

  test("a directory that an export left is told as one", async () => {
    using made = scene();
    mkdirSync(made.dir.join("cache/staging/begun"), { recursive: true });
    expect((await data("inspect", made.cache.path)).found.leftovers).toEqual([{ path: "staging/begun/", bytes: 0 }]);
  });
});

describe("what is odd in a cache's metadata is told by every command, in text and JSON:", () => {
  const problem =
    'What the cache\'s metadata says of buildpack "odd" cannot be used: layers: expected a table of layers';
  const nobodys = "An entry of the cache's metadata cannot be used: buildpacks.2: expected an object, found a number";

  function odd(): Scene {
    const made = scene();
    const metadata = JSON.parse(readFileSync(made.cache.metadataPath, "utf8"));
    metadata.buildpacks.push({ key: "odd", layers: [] }, 7);
    writeFileSync(made.cache.metadataPath, JSON.stringify(metadata));
    return made;
  }

  test.each(["inspect", "verify", "explain"])("a whole buildpack, and an entry of nobody's, by %s", async (command) => {
    using made = odd();
    const args = command === "explain" ? ["-layers", made.dir.join("none"), "-cache-dir"] : [];
    const { exitCode, found } = await data(command, ...args, made.cache.path);
    const text = expect.stringContaining(problem);
    const code = "bad-metadata";
    expect(found.unreadable).toMatchObject([
      { buildpack: "odd", code, text },
      { code, text: nobodys },
    ]);
    expect(exitCode).toBe(command === "verify" ? 42 : 0);
    if (command === "verify") expect(found.bad).toBe(2);
    const summary = "1 blob named, none bad; 2 entries of the metadata cannot be used";
    const { stdout } = await desk(command, ...args, made.cache.path);
    expect(stdout).toContain(problem);
    expect(stdout).toContain(nobodys);
    if (command === "verify") expect(stdout).toContain(summary);
  });

  test("what is recorded as a digest, and is not one", async () => {
    using made = scene({ layers: ["a", "b", "c"] });
    const metadata = JSON.parse(readFileSync(made.cache.metadataPath, "utf8"));
    const { layers } = metadata.buildpacks[0];
    metadata.buildpacks[0].layers = { c: layers.c, b: { cache: true }, a: { ...layers.a, sha: "sha256:x" } };
    writeFileSync(made.cache.metadataPath, JSON.stringify(metadata));
    const problems = [
      "what is recorded as its digest is not a sha256 digest",
      "no digest is recorded for it",
      undefined,
    ];
    const { found } = await data("inspect", made.cache.path);
    const verified = (await data("verify", made.cache.path)).found.layers;
    // By name, in whatever order they are recorded.
    expect(found.buildpacks[0].layers).toMatchObject([
      { problems: [{ code: "bad-digest", text: problems[0] }] },
      { problems: [{ code: "no-digest", text: problems[1] }] },
      { problems: [] },
    ]);
    expect(verified.map(({ code }: { code: string }) => code)).toEqual(["bad-digest", "no-digest", "sound"]);
    expect(verified.map(({ reason }: { reason?: string }) => reason)).toEqual(problems);
  });

  test("a buildpack outside of the group, by explain and by a restore", async () => {
    using made = odd();
    const problem = expect.stringContaining("expected a table");
    const stranger = { buildpack: "odd", layers: 0, problem };
    const { found } = await data("explain", "-layers", made.layers, "-cache-dir", made.cache.path);
    expect(found).toMatchObject({ notInGroup: [stranger], unreadable: [{ text: nobodys }] });
    const { stdout } = await made.run(["-report", "-"]);
    expect(JSON.parse(stdout).notInGroup).toMatchObject([stranger]);
  });

  test.each([
    [{ sha: 7, cache: true, data: { kept: 1 } }, "sha: expected a string", { kept: 1 }],
    [{ build: "yes", cache: true, data: { kept: 1 } }, "build: expected a boolean", { kept: 1 }],
    [{ cache: true, data: { half: "\ud800" } }, "half", { half: "\ufffd" }],
    [{ cache: true, data: { many: Array(50_001).fill(0) } }, "50,000 values", null],
  ])("one layer", async (layer, words, shown) => {
    using made = scene({ layers: ["one", "two"] });
    const metadata = JSON.parse(readFileSync(made.cache.metadataPath, "utf8"));
    const [bp] = metadata.buildpacks;
    bp.layers.one = { sha: bp.layers.two.sha, ...layer };
    writeFileSync(made.cache.metadataPath, JSON.stringify(metadata));
    const problem = { code: "bad-metadata", text: expect.stringContaining(words) };
    const { found } = await data("inspect", made.cache.path);
    expect(found.buildpacks[0].layers[0].problems).toContainEqual(problem);
    expect((await desk("inspect", made.cache.path)).stdout).toContain(words);
    const one = await data("inspect", made.cache.path, "bp:one");
    expect(one.found.layer).toMatchObject({ problems: [problem], metadata: shown });
    const text = (await desk("inspect", made.cache.path, "bp:one")).stdout;
    expect(text).toMatch(/^Problem: /m);
    expect(text).toContain(shown === null ? "Metadata: cannot be shown" : "Metadata:");
    // It differs from anything that can be read, and from nothing that is as wrong.
    using other = scene({ layers: ["one", "two"] });
    const { found: differences } = await data("diff", made.cache.path, other.cache.path);
    expect(differences.layers.map(({ layer }: { layer: string }) => layer)).toEqual(["one"]);
    expect((await data("diff", made.cache.path, made.cache.path)).found.layers).toEqual([]);
  });
});

describe("a name that no restore takes is told by inspect and verify, with the code of the restore:", () => {
  const long = "x".repeat(252);
  test.each([
    ["bp", "store", "reserved-name"],
    ["bp", "launch", "reserved-name"],
    ["bp", "build", "reserved-name"],
    ["bp", "..", "unsafe-name"],
    ["bp", "a/b", "unsafe-name"],
    ["bp", "", "unsafe-name"],
    ["bp", long, "unsafe-name"],
    ["sbom", "deps", "reserved-name"],
  ])("%s:%s, %s", async (id, name, code) => {
    using made = scene();
    const text = readFileSync(made.cache.metadataPath, "utf8");
    writeFileSync(made.cache.metadataPath, text.replace('"bp"', `"${id}"`).replace('"deps":', `"${name}":`));
    writeFileSync(join(made.layers, "group.toml"), `[[group]]\nid = "${id}"\nversion = "1"\napi = "0.10"\n`);
    const inspected = await data("inspect", made.cache.path);
    expect(inspected.found.buildpacks[0].layers).toMatchObject([{ name, state: "held", problems: [{ code }] }]);
    const [{ text: reason }] = inspected.found.buildpacks[0].layers[0].problems;
    expect(await data("verify", made.cache.path)).toMatchObject({
      exitCode: 42,
      found: { bad: 1, layers: [{ layer: name, state: "bad", code, reason }] },
    });
    expect((await made.run()).stderr).toContain(reason);
  });
});
