// Runs alone: what it has the executable read takes much memory here, too.
import { describe, expect, test } from "bun:test";
import { readdirSync, truncateSync, writeFileSync } from "node:fs";
import { many, manyKeys, runSignalledAt, runWithinBounds } from "../support/bounds.ts";
import { have, type RunResult, skipUnless, type TempDir, tempDir } from "../support/harness.ts";

const names = ["group.toml", "analyzed.toml", "run.toml"] as const;
type Name = (typeof names)[number];

/** What each file must hold to be of use; what is hostile comes after it. */
const begins: Readonly<Record<Name, string>> = {
  "group.toml": '[[group]]\nid = "bp"\napi = "0.10"\n',
  "analyzed.toml": '[[metadata.buildpacks]]\nkey = "bp"\n[metadata.buildpacks.layers.l]\nlaunch = true\nsha = "x"\n',
  "run.toml": '[[images]]\nimage = "host.test/run"\n',
};

interface Scene extends Disposable {
  readonly dir: TempDir;
  readonly args: readonly string[];
  /** Names in the directory of the buildpack `bp`. */
  restored(): string[];
}

function scene(): Scene {
  const dir = tempDir("bounds", { layers: { ...begins, bp: {} } });
  const args = ["-layers", dir.join("layers"), "-run", dir.join("layers", "run.toml")];
  const restored = () => readdirSync(dir.join("layers", "bp"));
  return { dir, args, restored, [Symbol.dispose]: () => dir[Symbol.dispose]() };
}

/** That a file was not used, for a reason: only analyzed.toml is not needed. */
function expectRefused({ exitCode, stderr }: RunResult, name: Name, says: string): void {
  expect(exitCode).toBe(name === "analyzed.toml" ? 0 : 1);
  const begin = {
    "group.toml": "ERROR: read group file ",
    "analyzed.toml": "Warning: Not using analyzed data: ",
    "run.toml": "ERROR: read run file ",
  };
  expect(stderr).toContain(begin[name]);
  expect(stderr).toContain(says);
  expect(stderr.length).toBeLessThan(1000);
}

const values = "more than the 200,000 values allowed (lines and escapes count as well)";
const pieces = 2_000_000;

const refused: readonly (readonly [what: string, text: string, says: string])[] = [
  ["numbers", `a = [${many("1", pieces)}]`, values],
  ["arrays", `a = [${many("[]", pieces)}]`, values],
  ["inline tables", `a = [${many("{}", pieces)}]`, values],
  ["strings", `a = [${many('""', pieces)}]`, values],
  ["dates", `a = [${many("1979-05-27", pieces / 2)}]`, values],
  ["keys", manyKeys(pieces / 4, (at) => `k${at} = 1`, "\n"), values],
  ["tables", manyKeys(pieces / 4, (at) => `[t${at}]`, "\n"), values],
  ["tables of an array", "[[t]]\n".repeat(pieces / 2), values],
  ["lines", "\n".repeat(4 * pieces), values],
  ["lines of a string", `a = """${"\n".repeat(4 * pieces)}"""`, values],
  ["escapes", `a = "${"\\n".repeat(2 * pieces)}"`, values],
  ["comments", "#\n".repeat(2 * pieces), values],
  ["parts of a key", `${"a.".repeat(pieces)}a = 1`, "is nested deeper than 200 levels"],
  ["arrays in each other", `a = ${"[".repeat(pieces / 20)}`, "nest"],
  ["digits", `a = ${"1".repeat(2 * pieces)}`, "holds a number or bare key of 4,000,000 bytes"],
  ["letters of a key", `${"k".repeat(2 * pieces)} = 1`, "holds a number or bare key of 4,000,000 bytes"],
  ["the same key", "k = 1\n".repeat(95_000), "already defined"],
  ["keys before one that is wrong", `${manyKeys(95_000, (at) => `k${at}=1`, "\n")}\n]`, "illegal"],
];

describe("a TOML file that holds thousands or millions of", () => {
  for (const [what, text, says] of refused) {
    test(`${what} is refused, and says why`, async () => {
      for (const name of names) {
        using made = scene();
        writeFileSync(made.dir.join("layers", name), `${begins[name]}[hostile]\n${text}\n`);
        expectRefused(await runWithinBounds(made.args), name, says);
      }
    });
  }

  test("bytes more than allowed is not read", async () => {
    for (const name of names) {
      using made = scene();
      truncateSync(made.dir.join("layers", name), 2 ** 40);
      expectRefused(await runWithinBounds(made.args), name, "is larger than 16777216 bytes");
    }
  });
});

describe("more than a build has", () => {
  test("of buildpacks in group.toml is refused", async () => {
    using made = scene();
    writeFileSync(made.dir.join("layers", "group.toml"), begins["group.toml"].repeat(1001));
    expectRefused(await runWithinBounds(made.args), "group.toml", "lists 1,001 buildpacks, more than the 1,000");
  });

  test("of buildpacks or layers in analyzed.toml costs its metadata", async () => {
    const buildpack = '[[metadata.buildpacks]]\nkey = "bp"\n';
    const layers = `${buildpack}${manyKeys(10_001, (at) => `[metadata.buildpacks.layers.l${at}]\n`, "")}`;
    const table = { "lists 1,001 buildpacks": buildpack.repeat(1001), "lists 10,001 layers": layers };
    for (const [says, text] of Object.entries(table)) {
      using made = scene();
      writeFileSync(made.dir.join("layers", "analyzed.toml"), text);
      expectRefused(await runWithinBounds(made.args), "analyzed.toml", says);
    }
  });
});

const accepted: readonly (readonly [what: string, text: string])[] = [
  ["tables", manyKeys(95_000, (at) => `[t${at}]`, "\n")],
  ["keys", `[hostile]\n${manyKeys(95_000, (at) => `"${"k".repeat(60)}${at}" = 1`, "\n")}`],
  ["dates", `[hostile]\na = [${many("1979-05-27T07:32:00Z", 190_000)}]`],
  ["text", `[hostile]\na = "${"中".repeat(5_400_000)}"`],
];

describe("the most that is accepted, in all three files, stays within memory:", () => {
  test.each(accepted)("%s", async (_, text) => {
    using made = scene();
    for (const name of names) writeFileSync(made.dir.join("layers", name), `${begins[name]}${text}\n`);
    const { exitCode, stderr } = await runWithinBounds(made.args);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    expect(made.restored()).toEqual(["l.toml"]);
  });
});

describe("a run that is told to stop while it parses", () => {
  for (const name of names) {
    for (const [signal, code] of [
      ["SIGTERM", 143],
      ["SIGINT", 130],
    ] as const) {
      skipUnless(have("strace"), "strace")(`${name} ends with ${code}, and restores nothing (${signal})`, async () => {
        using made = scene();
        const path = made.dir.join("layers", name);
        writeFileSync(path, `${begins[name]}${manyKeys(90_000, (at) => `[t${at}]`, "\n")}\n`);
        const { exitCode, stderr } = await runSignalledAt(path, signal, made.args);
        expect({ exitCode, stderr }).toMatchObject({ exitCode: code });
        expect(stderr).toEndWith(`Warning: stopped by ${signal}\n`);
        expect(made.restored()).toEqual([]);
      });
    }
  }
});
