import { describe, expect, test } from "bun:test";
import { parse } from "smol-toml";
import { readWhole } from "../../lib/disk/read-file.ts";
import { RestorerError } from "../../lib/failures.ts";
import { parseJson } from "../../lib/toml/json.ts";
import { formatMetadata } from "../../lib/toml/layer-toml.ts";
import { formatToml, readToml } from "../../lib/toml/toml.ts";
import { isTable, type TomlTable } from "../../lib/toml/values.ts";
import { have, skipUnless, tempDir } from "../support/harness.ts";

/** What a TOML file of this text is read as. */
function read(text: string | Uint8Array): TomlTable {
  using dir = tempDir("toml", { "x.toml": text });
  return readToml(dir.join("x.toml"));
}

/** What reading a TOML file of this text fails with, the directory's name taken out. */
function errorOf(text: string | Uint8Array): string {
  using dir = tempDir("toml", { "x.toml": text });
  try {
    readToml(dir.join("x.toml"));
  } catch (error) {
    if (error instanceof RestorerError) return error.message.replaceAll(dir.path, "");
    throw error;
  }
  throw new Error("it was read");
}

const json = (text: string): unknown => parseJson(Buffer.from(text));

describe("numbers", () => {
  test("integers and floats of a TOML file stay apart, and 64 bits stay exact", () => {
    const text = "i = 1\nf = 1.0\nbig = 9223372036854775807\nsmall = -9223372036854775808\nhex = 0xff\nexp = 1e3\n";
    const table = read(text);
    expect(table).toEqual({
      i: 1n,
      f: 1,
      big: 9223372036854775807n,
      small: -9223372036854775808n,
      hex: 255n,
      exp: 1000,
    });
    const again = formatToml(table);
    expect(again).toContain("i = 1\n");
    expect(again).toContain("f = 1.0\n");
    expect(read(again)).toEqual(table);
  });

  const metadata: readonly [string, string][] = [
    ["1", "1"],
    ["1.0", "1"],
    ["-0.0", "0"],
    ["1e3", "1000"],
    ["9007199254740993", "9007199254740993"],
    ["9223372036854775807", "9223372036854775807"],
    ["1.5", "1.5"],
    ["1e30", "1e30"],
    ["inf", "inf"],
    ["-inf", "-inf"],
    ["nan", "nan"],
    // No TOML, but a reader may let it pass; as an integer no other would.
    ["9223372036854775808", "9223372036854775808.0"],
  ];
  test.each(metadata)("in a layer's metadata %s is written as %s: whole numbers are integers", (given, written) => {
    const text = formatMetadata(read(`x = ${given}\nlist = [${given}, { in = ${given} }]`));
    const parsed = parse(text, { integersAsBigInt: true });
    const wanted = parse(`x = ${written}`, { integersAsBigInt: true })["x"] ?? "";
    expect(parsed).toEqual({ metadata: { x: wanted, list: [wanted, { in: wanted }] } });
    expect(typeof wanted === "bigint").toBe(/^-?[0-9]+$/.test(written));
  });

  const spelt: readonly [string, bigint | number][] = [
    ["1", 1n],
    ["-1", -1n],
    ["1.0", 1n],
    ["1e3", 1000n],
    ["1E+3", 1000n],
    ["100e-2", 1n],
    ["-0", 0n],
    ["9007199254740993", 9007199254740993n],
    ["9223372036854775807", 9223372036854775807n],
    ["-9223372036854775808", -9223372036854775808n],
    ["9223372036854775808", 2 ** 63],
    ["1.5", 1.5],
    ["1e400", Number.POSITIVE_INFINITY],
  ];
  test.each(spelt)("the JSON number %s is %p", (text, value) => {
    expect(json(text)).toEqual(value);
    expect(json(`{"a":[${text}]}`)).toEqual({ a: [value] });
  });
});

describe("dates", () => {
  test.each([
    "1979-05-27T07:32:00Z",
    "1979-05-27T00:32:00-07:00",
    "1979-05-27T00:32:00.999Z",
    "1979-05-27T07:32:00",
    "1979-05-27",
    "07:32:00",
    "23:59:59.123",
  ])("%s keeps its kind and offset", (date) => {
    const written = formatToml(read(`d = ${date}`))
      .replace("d = ", "")
      .trim();
    // Milliseconds may be added, and a space stand for the T.
    expect(written.replace(" ", "T").replace(/\.000(?=\D|$)/, "")).toBe(date);
    expect(formatMetadata(read(`d = ${date}`))).toBe(`[metadata]\nd = ${written}\n`);
  });
});

describe("keys", () => {
  const names = ["__proto__", "constructor", "toString", "hasOwnProperty", "a.b", "a b", "", "ü", '"', "a\nb", "#"];

  test("any key is a key, in TOML and in JSON, and on the way from one to the other", () => {
    const entries = names.map((name, at) => [name, { [name]: BigInt(at) }] as const);
    const table = Object.fromEntries(entries) as TomlTable;
    const again = read(formatToml(table));
    expect(Object.keys(again).sort()).toEqual([...names].sort());
    for (const [name, value] of entries)
      expect(Object.entries(again).find(([key]) => key === name)?.[1]).toEqual(value);
    const fromJson = json(`{${names.map((name, at) => `${JSON.stringify(name)}:{${JSON.stringify(name)}:${at}}`)}}`);
    expect(isTable(fromJson) && Object.keys(fromJson).sort()).toEqual([...names].sort());
    const written = read(formatMetadata(isTable(fromJson) ? fromJson : {}))["metadata"];
    expect(isTable(written) && Object.keys(written).sort()).toEqual([...names].sort());
  });

  test("__proto__ changes no other object", () => {
    json('{"__proto__":{"polluted":1},"a":{"__proto__":{"polluted":1}}}');
    read("[__proto__]\npolluted = 1\n[a.__proto__]\npolluted = 1\n[constructor.prototype]\npolluted = 1");
    expect("polluted" in {}).toBe(false);
  });
});

describe("metadata text", () => {
  test("nothing at all is an empty file", () => expect(formatMetadata(undefined)).toBe(""));

  test("an empty table is a table", () => {
    expect(read(formatMetadata({}))).toEqual({ metadata: {} });
  });

  test("nulls of JSON are left out, for TOML has none", () => {
    expect(json('{"a":null,"b":[null,1,null,{"c":null}],"d":{}}')).toEqual({ b: [1n, {}], d: {} });
    expect(json("null")).toBeNull();
  });
});

describe("what is not TOML", () => {
  test("the error names line and column, and shows the line with a caret under the place", () => {
    expect(errorOf('a = 1\n[[group]]\nid = "x" y\n')).toMatch(/^\/x\.toml:3:10: .+\n {2}id = "x" y\n {2} {9}\^$/);
  });

  test("a tab before the place does not shift the caret", () => {
    const [, line = "", caret = ""] = errorOf("\t\tkey = ?\n").split("\n");
    expect(line[caret.indexOf("^")]).toBe("?");
  });

  test("of a long line only the neighbourhood is shown", () => {
    const [, line = "", caret = ""] = errorOf(`key = "${"x".repeat(5000)}" ?\n`).split("\n");
    expect(line.length).toBeLessThan(120);
    expect(line[caret.indexOf("^")]).toBe("?");
  });

  test("control characters of the line reach no terminal", () => {
    const message = errorOf('key = "\x1b[31mred\x07"\r\n');
    expect(message.replaceAll("\n", "")).not.toMatch(/[\x00-\x1f\x7f]/);
    expect(message).toContain("\\x1b[31m");
  });

  const table: readonly [string, string | Uint8Array, string][] = [
    ["a binary file", new Uint8Array([0x7f, 0x45, 0x4c, 0x46, 0xff, 0xfe, 0]), "bytes that are not UTF-8 text"],
    ["Latin-1", Buffer.from('a = "\xe9"', "latin1"), "bytes that are not UTF-8 text"],
    ["zeros", new Uint8Array(64), "/x.toml:1:1: "],
    ["JSON", '{"group": []}', "/x.toml:1:1: "],
    ["a key given twice", "a = 1\na = 2\n", "/x.toml:2:1: "],
    ["tables nested too deep", `a = ${"[".repeat(5000)}${"]".repeat(5000)}`, "/x.toml:1:"],
  ];
  test.each(table)("%s is refused with a message, not a crash", (_, text, message) => {
    expect(errorOf(text)).toContain(message);
  });

  test("JSON nested too deep is refused with a message, not a crash", () => {
    expect(() => json(`{"a":${"[".repeat(300)}${"]".repeat(300)}}`)).toThrow("is nested deeper than 200 levels");
    expect(() => json("[".repeat(100_000))).toThrow();
    expect(() => json("[".repeat(100_000) + "]".repeat(100_000))).toThrow();
  });
});

describe("reading files", () => {
  test("an empty file is an empty table", () => expect(read("")).toEqual({}));
  test("line ends may be those of Windows", () =>
    expect(read("a = 1\r\n[b]\r\nc = 2\r\n")).toEqual({ a: 1n, b: { c: 2n } }));

  test("only a regular file of bounded size is read", () => {
    using dir = tempDir("whole", { file: "12345", directory: {} });
    expect(readWhole(dir.join("file"), 5).toString()).toBe("12345");
    expect(() => readWhole(dir.join("file"), 4)).toThrow("is larger than 4 bytes");
    expect(() => readWhole(dir.join("directory"), 10)).toThrow("is not a regular file");
    expect(() => readWhole("/dev/zero", 10)).toThrow("is not a regular file");
    expect(() => readWhole(dir.join("absent"), 10)).toThrow("ENOENT");
  });

  skipUnless(have("mkfifo"), "mkfifo")("a fifo is refused, not waited for", () => {
    using dir = tempDir("fifo");
    Bun.spawnSync(["mkfifo", dir.join("fifo")]);
    expect(() => readWhole(dir.join("fifo"), 10)).toThrow("is not a regular file");
  });
});

test("a table that would be very long when it is written is refused", () => {
  const tables = Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`t${at}`, {}]));
  expect(() => formatToml({ run: { ["k".repeat(100_000)]: [{ tables }] } })).toThrow(
    "it would take more than the 268,435,456 characters allowed",
  );
  const some = { run: { ["k".repeat(1000)]: { one: {}, two: { x: 1n } } } };
  expect(read(formatToml(some))).toEqual(some);
});
