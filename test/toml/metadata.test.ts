import { describe, expect, spyOn, test } from "bun:test";
import { formatMetadata } from "../../lib/toml/layer-toml.ts";
import { buildpackMetadata, type ImageMetadata, noMetadata, toImageMetadata } from "../../lib/toml/metadata.ts";
import { parseMetadata } from "../../lib/toml/metadata-json.ts";
import { describeParseError } from "../../lib/toml/parse-error.ts";

const sha = `sha256:${"a".repeat(64)}`;
const parse = (text: string): ImageMetadata => parseMetadata(Buffer.from(text));

/** What is wrong with a cache's metadata, as messages say it. */
function problemOf(text: string | Uint8Array): string {
  try {
    parseMetadata(Buffer.from(text));
  } catch (error) {
    return describeParseError(error);
  }
  throw new Error("it was read");
}

test("the metadata of a cache is read as an exporter writes it", () => {
  const text = JSON.stringify({
    sbom: { sha },
    buildpacks: [
      {
        key: "some/bp",
        version: "1.2.3",
        layers: { deps: { sha, data: { n: 1, f: 1.5 }, build: true, launch: false, cache: true } },
      },
    ],
  });
  const { sbom, buildpacks } = parse(`${text}\n`);
  expect(sbom).toBe(sha);
  expect(buildpacks.map(({ id }) => id)).toEqual(["some/bp"]);
  const deps = buildpacks[0]?.layers.get("deps");
  expect(deps).toMatchObject({ sha, build: true, launch: false, cache: true });
  expect(formatMetadata(deps?.data.read())).toBe("[metadata]\nn = 1\nf = 1.5\n");
});

test("analyzed.toml names a layer's data metadata, the JSON forms data; both are read", () => {
  const layer = { sha, launch: true };
  const dataOf = (raw: object) => {
    const image = toImageMetadata({ buildpacks: [{ key: "bp", layers: { x: { ...layer, ...raw } } }] });
    return image.buildpacks[0]?.layers.get("x")?.data.read();
  };
  expect(dataOf({ metadata: { a: 1n } })).toEqual({ a: 1n });
  expect(dataOf({ data: { a: 1n } })).toEqual({ a: 1n });
  const store = { metadata: { s: "x" } };
  expect(toImageMetadata({ buildpacks: [{ key: "bp", store }] }).buildpacks[0]?.store?.read()).toEqual({ s: "x" });
});

describe("what is left out", () => {
  test("types are false, digests empty, and there are no layers", () => {
    const x = parse('{"buildpacks":[{"key":"bp","layers":{"x":{}}}]}').buildpacks[0]?.layers.get("x");
    expect(x).toMatchObject({ sha: undefined, build: false, launch: false, cache: false });
    expect(x?.data.read()).toBeUndefined();
    expect(parse('{"buildpacks":[{"key":"bp"}]}').buildpacks[0]?.layers.size).toBe(0);
  });

  test.each([
    "{}",
    "null",
    '{"buildpacks":null,"sbom":null}',
    '{"buildpacks":[],"sbom":{}}',
    '\ufeff{"buildpacks":[]}',
  ])("%s holds no metadata", (text) => expect(parse(text)).toEqual(noMetadata));

  test("null anywhere is as if left out", () => {
    const text =
      '{"buildpacks":[{"key":"bp","version":null,"layers":{"x":{"sha":null,"data":null,"cache":true}}},null]}';
    const { buildpacks } = parse(text);
    expect(buildpacks).toHaveLength(1);
    expect(buildpacks[0]?.layers.get("x")).toMatchObject({ sha: undefined, cache: true });
    expect(buildpacks[0]?.layers.get("x")?.data.read()).toBeUndefined();
  });

  test("unknown keys are ignored", () => {
    const text =
      '{"x":1,"buildpacks":[{"key":"bp","y":[],"layers":{"l":{"z":{},"cache":true}}}],"sbom":{"sha":"","w":1}}';
    expect(parse(text).buildpacks[0]?.layers.get("l")?.cache).toBe(true);
  });
});

describe("names of layers", () => {
  const names = [
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "valueOf",
    "a.b",
    "a b",
    "",
    "..",
    "0",
    "-1",
  ];

  test("any key of the object is one", () => {
    const layers = names.map((name) => `${JSON.stringify(name)}:{"cache":true,"sha":"${sha}"}`);
    const [buildpack] = parse(`{"buildpacks":[{"key":"bp","layers":{${layers}}}]}`).buildpacks;
    expect([...(buildpack?.layers.keys() ?? [])].sort()).toEqual([...names].sort());
    for (const [, layer] of buildpack?.layers ?? []) expect(layer).toMatchObject({ cache: true, sha });
  });

  test("none but those is", () => {
    const [buildpack] = parse('{"buildpacks":[{"key":"bp","layers":{}}]}').buildpacks;
    for (const name of names) expect(buildpack?.layers.get(name)).toBeUndefined();
  });

  test("a layer named __proto__ gives its types to no other", () => {
    const text = '{"buildpacks":[{"key":"bp","layers":{"__proto__":{"cache":true,"launch":true},"x":{}}}]}';
    expect(parse(text).buildpacks[0]?.layers.get("x")).toMatchObject({ cache: false, launch: false });
  });
});

test("of several entries for a buildpack the first one counts", () => {
  const metadata = parse('{"buildpacks":[{"key":"a","layers":{"x":{}}},{"key":"a","layers":{"y":{}}},{"key":"b"}]}');
  expect([...(buildpackMetadata(metadata, "a")?.layers.keys() ?? [])]).toEqual(["x"]);
  expect(buildpackMetadata(metadata, "c")).toBeUndefined();
});

test("a buildpack's own metadata may be of any kind", () => {
  for (const data of ['"text"', "[1,2]", "1", "true", "{}"]) {
    const [buildpack] = parse(`{"buildpacks":[{"key":"bp","layers":{"x":{"data":${data}}}}]}`).buildpacks;
    expect(buildpack?.layers.get("x")?.data.read()).toBeDefined();
  }
});

describe("metadata of the wrong kind is refused, with the path of what is wrong", () => {
  const table: readonly [string | Uint8Array, string][] = [
    ["", "is not JSON: "],
    ["{", "JSON"],
    ["not json", "JSON"],
    ['{"buildpacks":[]} trailing', "JSON"],
    [Buffer.from('{"sbom":{"sha":"\xe9"}}', "latin1"), "not UTF-8 text"],
    ["[]", "expected an object, found an array"],
    ["1", "expected an object, found a number"],
    ['"x"', "expected an object, found a string"],
    ['{"buildpacks":{}}', "buildpacks: expected an array, found an object"],
  ];
  test.each(table)("%s", (text, message) => {
    expect(problemOf(text)).toContain(message);
    expect(problemOf(text)).not.toContain("\n");
  });
});

describe("metadata of the wrong kind costs no more than", () => {
  const good = { key: "good", layers: { y: { sha, cache: true } } };
  const withGood = (...entries: readonly unknown[]) => {
    const found = parse(JSON.stringify({ sbom: { sha }, buildpacks: [...entries, good] }));
    expect(found.buildpacks.at(-1)?.layers.get("y")).toMatchObject({ sha, cache: true });
    expect(found.sbom).toBe(sha);
    return found;
  };

  test.each<[layer: unknown, problem: string, rest: object]>([
    [{ sha: 7, cache: true }, "sha: expected a string, found a number", { sha: undefined, cache: true }],
    [{ sha: ["x"], cache: true }, "sha: expected a string, found an array", { sha: undefined }],
    [{ sha: { a: { b: 1 } } }, "sha: expected a string, found an object", { sha: undefined, cache: false }],
    [{ sha, cache: "yes" }, "cache: expected a boolean, found a string", { sha, cache: true }],
    [{ sha, launch: 1, cache: true }, "launch: expected a boolean, found a number", { sha, launch: false }],
    [{ sha, build: [], cache: false }, "build: expected a boolean, found an array", { build: false, cache: false }],
    ["x", "expected an object, found a string", { sha: undefined, cache: true }],
    [7, "expected an object, found a number", { cache: true }],
    [[], "expected an object, found an array", { cache: true }],
    [true, "expected an object, found a boolean", { cache: true }],
  ])("one layer: %j", (layer, problem, rest) => {
    const { buildpacks, problems } = withGood({ key: "bp", layers: { x: layer, y: { sha, cache: true }, z: null } });
    const layers = buildpacks[0]?.layers;
    expect(layers?.get("x")).toMatchObject({ problem, ...rest });
    expect([layers?.get("y")?.problem, layers?.get("y")?.sha, layers?.size]).toEqual([undefined, sha, 2]);
    expect([buildpacks[0]?.problem, problems]).toEqual([undefined, []]);
  });

  test.each([
    [[], "layers: expected a table of layers, found an array"],
    ["x", "layers: expected a table of layers, found a string"],
    [7, "layers: expected a table of layers, found a number"],
  ])("one buildpack: layers %j", (layers, problem) => {
    const { buildpacks, problems } = withGood({ key: "bp", version: "1", layers });
    expect(buildpacks[0]).toMatchObject({ id: "bp", problem, layers: new Map() });
    expect(problems).toEqual([]);
  });

  test("one entry, which is told by its place in the text", () => {
    expect(withGood(7, null, "x", { key: 1 }, { key: {} }, [], null).problems).toEqual([
      "buildpacks.0: expected an object, found a number",
      "buildpacks.2: expected an object, found a string",
      "buildpacks.3.key: expected a string, found a number",
      "buildpacks.4.key: expected a string, found an object",
      "buildpacks.5: expected an object, found an array",
    ]);
  });

  test("one store", () => {
    const [bp] = withGood({ key: "bp", layers: { x: { sha } }, store: 7 }).buildpacks;
    expect(bp?.layers.get("x")?.sha).toBe(sha);
    expect(() => bp?.store?.read()).toThrow("metadata: expected an object, found a number");
  });

  test.each([[{ sha: 7 }], [{ sha: {} }], [{ sha: ["x"] }], [7], ["x"], [[]], [true]])("the SBOM files: %j", (sbom) => {
    const found = parse(JSON.stringify({ sbom, buildpacks: [good] }));
    expect([found.sbom, found.buildpacks[0]?.layers.size]).toEqual(["(not text)", 1]);
  });
});

describe("for which environments a layer was made is found without parsing the rest", () => {
  const table: readonly (readonly [data: string, found: unknown])[] = [
    ['{"exec-env":["test"]}', ["test"]],
    ['{"a":{"exec-env":["other"]},"exec-env":["test"]}', ["test"]],
    ['{"exec-env":["first"],"x":1,"exec-env":["last"]}', ["last"]],
    ['{"exec-env":["\\u0074est","\\u002a","\\"]"]}', ["test", "*", '"]']],
    ['{"\\u0065xec\\u002denv":["test"]}', ["test"]],
    ['{"x":"exec-env","y":["exec-env",{"exec-env":1}]}', undefined],
    ['{"exec-env\\u0000":["test"]}', undefined],
    ['["exec-env",["test"]]', undefined],
    ['{"__proto__":{"exec-env":["test"]}}', undefined],
    ['{"constructor":["x"],"exec-env":null}', null],
  ];
  test.each(table)("%s", (data, found) => {
    const [buildpack] = parse(`{"buildpacks":[{"key":"bp","layers":{"x":{"data":${data}}}}]}`).buildpacks;
    expect<unknown>(buildpack?.layers.get("x")?.data.execEnv()).toEqual(found);
  });
});

describe("a number in a layer's own data", () => {
  const dataOf = (text: string) =>
    buildpackMetadata(parse(`{"buildpacks":[{"key":"bp","layers":{"l":{"data":{"n":${text}}}}}]}`), "bp")
      ?.layers.get("l")
      ?.data.read();

  test.each([
    ["9223372036854775807", 9223372036854775807n],
    ["-9223372036854775808", -9223372036854775808n],
    ["9223372036854775808", 2 ** 63],
    ["1".repeat(100), Number("1".repeat(100))],
  ])("%s is exact where 64 bits hold it, else a float", (text, n) => {
    expect(dataOf(text)).toEqual({ n });
  });

  test("of millions of digits is not worked on digit by digit, nor is one beside it", () => {
    const made = spyOn(globalThis, "BigInt");
    try {
      const digits = "1".repeat(4_000_000);
      expect(dataOf(digits)).toEqual({ n: Number.POSITIVE_INFINITY });
      parse(`{"buildpacks":[],"n":${digits},"m":1234567890123456789}`);
      expect(Math.max(...made.mock.calls.map(([digits]) => `${digits}`.length))).toBe(19);
    } finally {
      made.mockRestore();
    }
  });
});
