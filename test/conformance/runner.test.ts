/** Tests of the runner itself: whatever differs from what a case expects, it says so, and nothing else. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  readdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { areas, caseNames, type Entry, type Expectation, parseDefinition, readCase } from "./case.ts";
import { compare } from "./compare.ts";
import { place, type Scene } from "./place.ts";
import { type Outcome, recordSurroundings, run } from "./run.ts";
import { suites } from "./suites.ts";
import { isTable, type Table } from "./value.ts";

const timeoutMs = 600_000;
/** Restores one layer with files, directories and links. */
const linksCase = "tar-symlinks";
const api = "0.15";

async function start(name = linksCase): Promise<{ scene: Scene; outcome: Outcome }> {
  const scene = await place(readCase(name), false);
  return { scene, outcome: await run(scene, api) };
}

test("every area is run by exactly one file, and every such file is there", () => {
  const files = readdirSync(import.meta.dir).filter((name) => name.endsWith(".test.ts"));
  const own = ["runner.test.ts", "values.test.ts"];
  expect(files.filter((name) => !own.includes(name)).sort()).toEqual(Object.keys(suites).sort());
  expect(Object.values(suites).flat().sort()).toEqual([...areas].sort());
  const run = Object.values(suites).map((suite) => caseNames().filter((name) => has(suite, name)).length);
  expect(run.reduce((sum, count) => sum + count)).toBe(caseNames().length);
  expect(Math.min(...run)).toBeGreaterThan(0);
});

function has(suite: readonly string[], name: string): boolean {
  return suite.includes(readCase(name).definition.area);
}

test("a key that case.json does not have is refused, by name, and so is a value of another kind", () => {
  const { source } = readCase(linksCase);
  if (!isTable(source)) throw new Error("no object");
  const changed = (change: Table) => () => parseDefinition({ ...source, ...change });
  expect(changed({})).not.toThrow();
  expect(changed({ titel: "x" })).toThrow("titel");
  expect(changed({ before: { mkdirs: [] } })).toThrow("before.mkdirs");
  expect(changed({ area: "elsewhere" })).toThrow("area");
  expect(changed({ needs: ["luck"] })).toThrow("needs");
  const nothing = { exit: 0n, tree: [], kaniko: [], cacheUnchanged: true };
  expect(changed({ expect: nothing })).not.toThrow();
  expect(changed({ expect: { ...nothing, exit: "0" } })).toThrow("expect.exit");
  const twice = { path: "a", type: "file" };
  expect(changed({ expect: { ...nothing, tree: [twice, twice] } })).toThrow("expect.tree");
  const float = { ...twice, toml: { x: 1.5 } };
  expect(changed({ expect: { ...nothing, tree: [float] } })).toThrow('{"$float": "1.5"}');
});

/** Changes the entry of a path in the tree that is expected. */
function entry(path: string, change: Partial<Entry>): (expectation: Expectation) => Expectation {
  return (expectation) => ({
    ...expectation,
    tree: (expectation.tree ?? []).map((each) => (each.path === path ? { ...each, ...change } : each)),
  });
}

function without(path: string): (expectation: Expectation) => Expectation {
  return (expectation) => ({ ...expectation, tree: (expectation.tree ?? []).filter((each) => each.path !== path) });
}

function plus(added: Entry): (expectation: Expectation) => Expectation {
  return (expectation) => ({ ...expectation, tree: [...(expectation.tree ?? []), added] });
}

function also(change: Partial<Expectation>): (expectation: Expectation) => Expectation {
  return (expectation) => ({ ...expectation, ...change });
}

const dist = "example_node/dist";
const sha = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
const toml = { metadata: { ok: true, version: "20.20.2" } };
const is = 'layers: example_node/dist.toml toml is {"metadata": {"ok": true, "version": "20.20.2"}}, should be';
const me = `${process.getuid?.()}:${process.getgid?.()}`;

describe("an expectation that the run does not meet is reported, and only that:", () => {
  let one: { scene: Scene; outcome: Outcome };
  beforeAll(async () => {
    one = await start();
  }, timeoutMs);
  afterAll(() => one.scene[Symbol.asyncDispose]());

  test.each<[string, (expectation: Expectation) => Expectation, string[]]>([
    ["nothing changed", also({}), []],
    ["another exit code", also({ exit: [1] }), ["exit is 0, should be 1"]],
    ["two exit codes", also({ exit: [1, 0] }), []],
    ["a mode", entry(`${dist}/real`, { mode: "0755" }), [`layers: ${dist}/real mode is 0644, should be 0755`]],
    ["a directory's mode", entry(dist, { mode: "1755" }), [`layers: ${dist} mode is 0755, should be 1755`]],
    ["no mode", entry(`${dist}/real`, { mode: null }), []],
    ["an owner", entry(`${dist}/rel`, { owner: "1:2" }), [`layers: ${dist}/rel owner is ${me}, should be 1:2`]],
    [
      "a link's target",
      entry(`${dist}/rel`, { target: "./real" }),
      [`layers: ${dist}/rel target is real, should be ./real`],
    ],
    ["a type", entry(`${dist}/rel`, { type: "file" }), [`layers: ${dist}/rel is a symlink, should be a file`]],
    [
      "contents",
      entry(`${dist}/real`, { sha256: sha.replace(/^2/, "3") }),
      [`layers: ${dist}/real sha256 is ${sha}, should be ${sha.replace(/^2/, "3")}`],
    ],
    [
      "a link to the same file",
      entry(`${dist}/real`, { sameFileAs: "group.toml" }),
      [`layers: ${dist}/real is not the same file as group.toml`],
    ],
    ["a file that is not there", plus({ path: "a", type: "file" }), ["layers: a is missing, should be a file"]],
    ["a file that need not be there", plus({ path: "a", type: "file", optional: true }), []],
    ["a file fewer", without(`${dist}/real`), [`layers: ${dist}/real is an unexpected file`]],
    ["no tree", also({ tree: null }), []],
    [
      "a value of TOML",
      entry("example_node/dist.toml", { toml: { metadata: { ok: "true", version: "20.20.2" } } }),
      [`${is} {"metadata": {"ok": "true", "version": "20.20.2"}}`],
    ],
    [
      "a key of TOML more",
      entry("example_node/dist.toml", { toml: { ...toml, types: {} } }),
      [`${is} {"metadata": {"ok": true, "version": "20.20.2"}, "types": {}}`],
    ],
    [
      "what is no JSON",
      entry("example_node/dist.toml", { toml: undefined, json: {} }),
      [expect.stringMatching(/^layers: example_node\/dist\.toml json is none \(.+\), should have \{\}$/)],
    ],
    [
      "no analyzed.toml",
      also({ analyzed: {} }),
      [expect.stringMatching(/^layers\/analyzed\.toml: (is \{"|cannot be read).+, should be \{\}$/)],
    ],
    ["kaniko's directory", also({ kaniko: [{ path: "a", type: "dir" }] }), ["kaniko: a is missing, should be a dir"]],
    [
      "what is on stdout",
      also({ stdoutIncludes: ["RESTORING DATA", "no such"] }),
      [expect.stringMatching(/^stdout is ".+", should have "no such"$/)],
    ],
    [
      "what is on stderr",
      also({ stderrIncludes: ["no such"] }),
      [expect.stringMatching(/^stderr is ".*", should have "no such"$/)],
    ],
    [
      "what is not in the output",
      also({ outputExcludes: ["Restoring data"] }),
      [expect.stringMatching(/^output is ".+", should not have "Restoring data"$/)],
    ],
    ["a silent stdout", also({ silentStdout: true }), [expect.stringMatching(/^stdout is ".+", should be empty$/)]],
    ["a path that must not be", also({ absent: ["/"] }), ["outside: / appeared"]],
  ])("%s", (_, change, differences) => {
    expect(compare(one.scene, one.outcome, change(one.scene.definition.expect))).toEqual(differences);
  });

  test.each<[string, Partial<Outcome>, Partial<Expectation>, string[]]>([
    ["death by a signal", { exitCode: null, signal: "SIGSEGV" }, {}, ["exit is by SIGSEGV, should be 0"]],
    ["colours", { stderr: "\x1b[1mx" }, {}, ["output has colour codes, though it is no terminal"]],
    ["no warning", { stderr: " \n" }, { stderrNotEmpty: true }, ["stderr is empty, should have a warning"]],
    ["a warning", { stderr: "x\n" }, { silentStderr: true }, ['stderr is "x\\n", should be empty']],
    ["white space", { stderr: " \n" }, { silentStderr: true }, []],
  ])("%s", (_, streams, change, differences) => {
    const expectation = { ...one.scene.definition.expect, ...change };
    expect(compare(one.scene, { ...one.outcome, ...streams }, expectation)).toEqual(differences);
  });
});

const blob = "cache/committed/io.buildpacks.lifecycle.cache.metadata";
const changed = (path: string) => expect.stringMatching(new RegExp(`^${path} changed, is .+, was .+$`));

describe("what a run should not have done is reported, and only that:", () => {
  test.each<[string, (scene: Scene) => void, string[]]>([
    [
      "a byte more",
      ({ path }) => appendFileSync(path("layers", dist, "real"), "x"),
      [expect.stringMatching(new RegExp(`^layers: ${dist}/real sha256 is [0-9a-f]{64}, should be ${sha}$`))],
    ],
    [
      "a mode",
      ({ path }) => chmodSync(path("layers", dist, "real"), 0o4644),
      [`layers: ${dist}/real mode is 4644, should be 0644`],
    ],
    [
      "a file more",
      ({ path }) => writeFileSync(path("layers", dist, "more"), ""),
      [`layers: ${dist}/more is an unexpected file`],
    ],
    [
      "a file fewer",
      ({ path }) => unlinkSync(path("layers", dist, "real")),
      [`layers: ${dist}/real is missing, should be a file`],
    ],
    ["something for kaniko", ({ path }) => writeFileSync(path("kaniko", "x"), ""), ["kaniko: x is an unexpected file"]],
    [
      "the cache touched",
      ({ path }) => utimesSync(path(blob), 1, 1),
      [changed("cache: committed/io.buildpacks.lifecycle.cache.metadata")],
    ],
    ["the cache's mode", ({ path }) => chmodSync(path("cache"), 0o700), [changed("cache: .")]],
    [
      "the cache gone",
      ({ path }) => rmSync(path("cache"), { recursive: true }),
      expect.arrayContaining(["cache: . was removed", "cache: committed was removed"]),
    ],
    [
      "a file at work",
      ({ path }) => writeFileSync(path("work", "x"), ""),
      [changed("outside: work"), "outside: work/x appeared"],
    ],
    [
      "a link at home",
      ({ path }) => symlinkSync("x", path("work", "home", "x")),
      [changed("outside: work/home"), "outside: work/home/x appeared"],
    ],
    ["a file elsewhere", ({ top }) => writeFileSync(`${top}/x`, ""), ["outside: ../x appeared"]],
    ["a file between", ({ root }) => writeFileSync(`${root}/x`, ""), ["outside: x appeared"]],
  ])(
    "%s",
    async (_, tamper, differences) => {
      const { scene, outcome } = await start();
      await using _scene = scene;
      tamper(scene);
      expect(compare(scene, { ...outcome, after: recordSurroundings(scene) })).toEqual(differences);
    },
    timeoutMs,
  );

  test(
    "a file that may change does, and its directory with it, but no other",
    async () => {
      const { scene, outcome } = await start();
      await using _scene = scene;
      writeFileSync(scene.path("work", "may"), "");
      writeFileSync(scene.path("work", "home", "x"), "");
      const expectation = { ...scene.definition.expect, mayChange: ["work/may"] };
      expect(compare(scene, { ...outcome, after: recordSurroundings(scene) }, expectation)).toEqual([
        changed("outside: work/home"),
        "outside: work/home/x appeared",
      ]);
    },
    timeoutMs,
  );
});
