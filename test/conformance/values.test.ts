/** Tests of what the runner compares by: values with their types, names of any bytes, and times. */
import { describe, expect, test } from "bun:test";
import { file, tempDir } from "../support/harness.ts";
import { changes } from "./compare-tree.ts";
import { parseToml } from "./toml.ts";
import { pathText, record } from "./tree.ts";
import { contains, fromTagged, parseJson, show, withoutEmptyMetadata, withoutZeroes } from "./value.ts";

const toml = (text: string) => parseToml(Buffer.from(text));

describe("TOML is compared by value and type:", () => {
  test.each([
    ["1", "1"],
    ["9223372036854775807", "9223372036854775807"],
    ["9007199254740993", "9007199254740993"],
    ["0x10", "16"],
    ["1.0", '{"$float": "1.0"}'],
    ["1e0", '{"$float": "1.0"}'],
    ["-0.0", '{"$float": "-0.0"}'],
    ["1e22", '{"$float": "1e+22"}'],
    ["1e-9", '{"$float": "1e-09"}'],
    ["9007199254740992.0", '{"$float": "9007199254740992.0"}'],
    ["nan", '{"$float": "nan"}'],
    ["inf", '{"$float": "inf"}'],
    ["-inf", '{"$float": "-inf"}'],
    ["true", "true"],
    ['"1"', '"1"'],
    ["1979-05-27", '{"$date": "1979-05-27"}'],
    ["07:32:00", '{"$time": "07:32:00"}'],
    ["07:32:00.5", '{"$time": "07:32:00.500000"}'],
    ["1979-05-27T07:32:00", '{"$datetime": "1979-05-27T07:32:00"}'],
    ["1979-05-27T07:32:00Z", '{"$datetime": "1979-05-27T07:32:00+00:00"}'],
    ["1979-05-27 00:32:00.5-07:00", '{"$datetime": "1979-05-27T00:32:00.500000-07:00"}'],
    ['{ constructor = [], "__proto__" = 1 }', '{"__proto__": 1, "constructor": []}'],
    ["[[1, 1.0], {a = 2}]", '[[1, {"$float": "1.0"}], {"a": 2}]'],
  ])("%s is %s and nothing else", (text, json) => {
    const value = fromTagged(parseJson(`{"x": ${json}}`));
    expect(show(toml(`x = ${text}`))).toBe(show(value));
    const others = ["0", "1", "1.0", "0.0", "true", '"true"', "9007199254740992", "1979-05-27T00:00:00", "[1]"];
    for (const other of others.filter((each) => each !== text && !(text === "1e0" && each === "1.0"))) {
      expect(show(toml(`x = ${other}`))).not.toBe(show(value));
    }
  });

  test.each([
    ["\ufeffx = 1", "a byte order mark"],
    ["x = {a = 1,\nb = 2}", "several lines"],
    ["x = {a = 1, }", "a comma"],
    ['x = "\\e"', "an escape"],
    ['x = """a\n\\x41"""', "an escape"],
    ["x = 07:32", "without seconds"],
    ["x = 1979-05-27 07:32Z", "without seconds"],
    ["x = 07:32:00.1234", "finer than a millisecond"],
    ["x = 9223372036854775808", "64 bits"],
    ["x = ", "TOML"],
  ])("%j is no TOML that every reader takes", (text, reason) => {
    expect(() => toml(text)).toThrow(reason);
  });

  test.each(["x = {a = [\n1,\n], b = '{,}'}", 'x = "\\\\e #" # {\ny = 2', "x = '\\e'", 'x = """\n""\\""""', "07 = 1"])(
    "%j is",
    (text) => {
      expect(() => toml(text)).not.toThrow();
    },
  );

  test("bytes that are no UTF-8 text are none", () => {
    expect(() => parseToml(Buffer.from('x = "\xe9"', "latin1"))).toThrow();
  });

  test("of metadata, no table and an empty one are the same; of others they are not", () => {
    const same = (text: string) => show(withoutEmptyMetadata(toml(text)));
    expect(same("[metadata]")).toBe(same(""));
    expect(same("[types]")).not.toBe(same(""));
    expect(same("metadata = []")).not.toBe(same(""));
    expect(same("[metadata]\nx = 0")).not.toBe(same(""));
  });

  test("in analyzed.toml zero values equal absence, but not what buildpacks wrote", () => {
    const same = (text: string) => show(withoutZeroes(toml(text)));
    expect(same("[run-image]\nreference = ''\nextend = false\ntarget = {os = ''}\nlist = []")).toBe(same(""));
    expect(same("[run-image]\nx = 0")).not.toBe(same(""));
    const layer = (text: string) => same(`[[metadata.buildpacks]]\n[metadata.buildpacks.layers.x]\n${text}`);
    expect(layer("cache = false\nsha = ''\nmetadata = {}")).toBe(layer(""));
    expect(layer("metadata = {x = ''}")).not.toBe(layer(""));
    expect(layer("metadata = false")).not.toBe(layer(""));
    expect(layer("")).not.toBe(same("[[metadata.buildpacks]]"));
    const store = (text: string) => same(`[[metadata.buildpacks]]\n[metadata.buildpacks.store]\n${text}`);
    expect(store("metadata = {x = false}")).not.toBe(store(""));
  });
});

test("JSON must have what is wanted, with types and exact integers; more keys may be there, but not more items", () => {
  const has = (found: string, wanted: string) => contains(parseJson(found), parseJson(wanted));
  expect(has('{"a": 1, "b": [{"c": null, "d": 2}]}', '{"b": [{"c": null}]}')).toBe(true);
  expect(has('{"a": [1, 2]}', '{"a": [1]}')).toBe(false);
  expect(has("{}", '{"a": null}')).toBe(false);
  expect(has('{"a": 1.0}', '{"a": 1}')).toBe(false);
  expect(has('{"a": "1"}', '{"a": 1}')).toBe(false);
  expect(has('{"a": 9007199254740993}', '{"a": 9007199254740992}')).toBe(false);
  expect(has("{}", '{"constructor": {}}')).toBe(false);
  expect(has('{"__proto__": {"x": 1}}', '{"__proto__": {"x": 2}}')).toBe(false);
  expect(has("[]", "{}")).toBe(false);
});

test("names that are no UTF-8 are texts of their own", () => {
  const text = (hex: string) => pathText(Buffer.from(hex, "hex"));
  expect(text("c3a9")).toBe("é");
  expect(text("61e9")).toBe("a\udce9");
  expect(text("fffe")).toBe("\udcff\udcfe");
  expect(text("e28261")).toBe("\udce2\udc82a");
  expect(text("ffc3a9f09f9880")).toBe("\udcffé😀");
  expect(text("eda080")).toBe("\udced\udca0\udc80");
  expect(text("efbbbf")).toBe("\ufeff");
});

test("a recording sees a nanosecond, and what a mode hides", () => {
  using dir = tempDir("recording", { f: file("x", 0), d: {} });
  const at = (time: string) => {
    expect(Bun.spawnSync(["touch", "-d", time, dir.join("f")]).exitCode).toBe(0);
    return record(dir.path);
  };
  const [first, second] = [at("2020-01-01T00:00:00.000000001Z"), at("2020-01-01T00:00:00.000000002Z")];
  const [line, ...others] = changes("x", first, second);
  expect(others).toEqual([]);
  expect(line).toMatch(/^x: f changed, is file 0000 \S+ 1 1577836800000000002 2d7116\w+, was .+0001 2d7116\w+$/);
  expect(changes("x", second, record(dir.path))).toEqual([]);
});
