import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chownSync, existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { smallBytes } from "../../lib/archive/source.ts";
import { analyzedToml, type CachedLayer, groupToml, makeCache } from "../support/cache-fixture.ts";
import { canaryTree, stamps } from "../support/canary.ts";
import {
  have,
  isRoot,
  link,
  type RunResult,
  runRestorer,
  skipUnless,
  snapshot,
  type TempDir,
  tempDir,
  writeTree,
} from "../support/harness.ts";
import { attacks } from "./attack-table.ts";
import type { Attack, Scene } from "./attacks/attack.ts";

const buildpack = "attack/table";
const directory = "attack_table";
const nobody = 65534;

const rows = Object.values(attacks).flat();

/** A layer as the table writes it: one line an entry, sorted. */
function listing(root: string, canary: string): string[] {
  const lines = [...snapshot(root)].map(([name, entry]) => {
    if (entry.type === "symlink") return `${name} -> ${entry.target === canary ? "CANARY" : entry.target}`;
    if (entry.type === "directory") return `${name}/ ${entry.mode}`;
    if (entry.sameFileAs !== undefined && entry.sameFileAs !== name) return `${name} = ${entry.sameFileAs}`;
    if (entry.type !== "file") return `${name} is of type ${entry.type}`;
    const content = entry.size <= 40 ? JSON.stringify(contentOf(root, name)) : `${entry.size} bytes`;
    return `${name} ${entry.mode} ${content}`;
  });
  const mode = (lstatSync(root).mode & 0o7777).toString(8).padStart(4, "0");
  return [...lines, ...(mode === "0755" ? [] : [`./ ${mode}`])].sort();
}

function contentOf(root: string, shown: string): string {
  const name = Buffer.from(shown, "utf8").toString("latin1");
  const raw = name.replace(/\\\\|\\x([0-9a-f]{2})/g, (all, hex) =>
    hex === undefined ? all.slice(1) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return readFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from(raw, "latin1")]), "latin1");
}

function giveAll(path: string, uid: number): void {
  chownSync(path, uid, uid);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) giveAll(join(path, entry.name), uid);
    else if (entry.isFile()) chownSync(join(path, entry.name), uid, uid);
  }
}

/** One run over a cache with a layer for each row, every one of which stands in an older version. */
class Stage {
  readonly dir: TempDir;
  readonly layers: string;
  readonly canary: string;
  readonly #uid: number | undefined;
  #result: RunResult | undefined;
  #before: string[] = [];
  #after: string[] = [];

  constructor(uid: number | undefined) {
    this.#uid = uid;
    this.dir = tempDir("attack", {
      canary: canaryTree,
      layers: { "group.toml": groupToml([{ id: buildpack }]), "analyzed.toml": analyzedToml() },
    });
    this.layers = this.dir.join("layers");
    this.canary = this.dir.join("canary");
  }

  get result(): RunResult {
    if (this.#result === undefined) throw new Error("the run has not ended");
    return this.#result;
  }

  place(name: string): string {
    return join(this.layers, directory, name);
  }

  async run(): Promise<void> {
    const scene = (layer: string): Scene => ({
      at: `/layers/${directory}/${layer}`,
      buildpack: `/layers/${directory}`,
      layer,
      layersDir: this.layers,
      canary: this.canary,
    });
    const cached: CachedLayer[] = rows.map((row) => ({
      name: row.name,
      tar: this.#uid === undefined ? padded(row, scene(row.name)) : row.archive(scene(row.name)),
      data: { of: row.name },
    }));
    writeTree(this.dir.path, { neighbour: { data: "good", link: link("data") }, sbom: {} });
    for (const name of [...rows.map((row) => row.name), "neighbour"]) {
      writeTree(this.dir.join("sbom"), { [directory]: { [name]: { "sbom.cdx.json": `{"of":"${name}"}` } } });
      writeTree(join(this.layers, directory), {
        [name]: { old: "old" },
        [`${name}.toml`]: "[metadata]\nold = true\n",
        [`${name}.sbom.spdx.json`]: '"old"',
      });
    }
    writeTree(this.layers, { bystander: { layer: { data: "not of this build" }, "layer.toml": "" } });
    makeCache(
      this.dir.join("cache"),
      [{ id: buildpack, layers: [{ name: "neighbour", tree: this.dir.join("neighbour") }, ...cached] }],
      { sbom: { tree: this.dir.join("sbom") } },
    );
    if (this.#uid !== undefined) giveAll(this.layers, this.#uid);
    this.#before = this.#bystanders();
    this.#result = await runRestorer(["-layers", this.layers, "-cache-dir", this.dir.join("cache")], {
      ...(this.#uid === undefined ? {} : { uid: this.#uid }),
    });
    this.#after = this.#bystanders();
  }

  /** What no layer of the group may touch. */
  #bystanders(): string[] {
    return ["canary", "layers/group.toml", "layers/analyzed.toml", "layers/bystander", "cache"].flatMap((name) =>
      stamps(this.dir.join(name)),
    );
  }

  expectUntouched(): void {
    expect(this.#before).not.toEqual([]);
    expect(this.#after).toEqual(this.#before);
    expect(existsSync("/etc/restorer-was-here")).toBe(false);
    expect(existsSync("/dev/restorer-was-here")).toBe(false);
  }

  expectRow({ name, outcome }: Attack): void {
    const warning = this.result.stderr.split("\n").find((line) => line.includes(`"${buildpack}:${name}"`)) ?? "";
    if ("refused" in outcome) {
      expect(standing(this.place(name))).toEqual([]);
      expect(warning).toContain(outcome.refused);
      return;
    }
    expect(warning).toBe("");
    expect(listing(this.place(name), this.canary)).toEqual([...outcome]);
    expect(readFileSync(this.place(`${name}.toml`), "utf8")).toContain(`of = "${name}"`);
    expect(standing(this.place(name))).toEqual(["", ".sbom.cdx.json", ".toml"]);
  }
}

/** An archive with more zeros behind its end, where it has one: too large to be extracted without threads. */
function padded({ archive, others }: Attack, scene: Scene): Uint8Array {
  const bytes = archive(scene);
  const isComplete = bytes.length >= 1024 && bytes.subarray(-1024).every((byte) => byte === 0);
  return isComplete && others !== "all run out of input" ? Buffer.concat([bytes, Buffer.alloc(smallBytes)]) : bytes;
}

/** What stands of a layer: suffixes behind its name. */
function standing(place: string): string[] {
  const suffixes = ["", ".sbom.cdx.json", ".sbom.spdx.json", ".sha", ".toml"];
  return suffixes.filter((suffix) => lstatSync(`${place}${suffix}`, { throwIfNoEntry: false }) !== undefined);
}

const runs: readonly { who: string; uid?: number; canRun: boolean; needs: string }[] = [
  { who: "root", canRun: isRoot, needs: "root" },
  isRoot
    ? { who: "a user", uid: nobody, canRun: have("setpriv"), needs: "setpriv" }
    : { who: "a user", canRun: true, needs: "nothing" },
];

for (const { who, uid, canRun, needs } of runs) {
  if (!canRun) {
    skipUnless(false, needs)(`the attack table as ${who}`, () => {});
    continue;
  }
  describe(`restoring hostile layers as ${who}`, () => {
    let stage: Stage;
    beforeAll(() => {
      stage = new Stage(uid);
      return stage.run();
    });
    afterAll(() => stage.dir[Symbol.dispose]());

    test("the run ends well, and without a stack trace", () => {
      expect(stage.result).toMatchObject({ exitCode: 0, signal: null });
      expect(stage.result.stderr).not.toMatch(/^\s+at /m);
      expect(stage.result.stderr).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f]/);
    });
    test("nothing outside of the layers is touched", () => stage.expectUntouched());
    test("the neighbour is restored", () => {
      expect(listing(stage.place("neighbour"), stage.canary)).toEqual(['data 0644 "good"', "link -> data"]);
      expect(standing(stage.place("neighbour"))).toEqual(["", ".sbom.cdx.json", ".toml"]);
    });
    test("no staging is left", () => {
      expect(readdirSync(stage.layers).sort()).toEqual(["analyzed.toml", directory, "bystander", "group.toml"]);
    });
    test("nothing but the table's layers stands in the buildpack's directory", () => {
      const known = new Set([...rows.map(({ name }) => name), "neighbour"]);
      const strangers = readdirSync(join(stage.layers, directory)).filter(
        (name) => !known.has(name.replace(/\.(toml|sbom\.cdx\.json)$/, "")),
      );
      expect(strangers).toEqual([]);
    });

    for (const [chapter, table] of Object.entries(attacks)) {
      describe(chapter, () => {
        for (const row of table) {
          const verdict = "refused" in row.outcome ? "is refused" : "is restored exactly";
          test(`${row.name} ${verdict} (${row.others})`, () => stage.expectRow(row));
        }
      });
    }
  });
}

test("every row of the attack table has a name of its own", () => {
  expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
});
