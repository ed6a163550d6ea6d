import { describe, expect, test } from "bun:test";
import { RestorerError } from "../../lib/failures.ts";
import { type Group, readGroup } from "../../lib/toml/group.ts";
import { groupToml } from "../support/cache-fixture.ts";
import { tempDir } from "../support/harness.ts";

function read(text: string | Uint8Array, warn: (message: string) => void = () => {}): Group {
  using dir = tempDir("group", { "group.toml": text });
  return readGroup(dir.join("group.toml"), { warn });
}

function errorOf(text: string | Uint8Array | undefined): RestorerError {
  try {
    if (text === undefined) readGroup("/absent/group.toml", { warn: () => {} });
    else read(text);
  } catch (error) {
    if (error instanceof RestorerError) return error;
    throw error;
  }
  throw new Error("it was read");
}

describe("a group", () => {
  test("is its buildpacks in their order, with their API", () => {
    const text = groupToml([
      { id: "b/one", api: "0.7", version: "1", homepage: "https://example.com" },
      { id: "a", api: "0.12", optional: true, execEnv: ["test"] },
    ]);
    expect(read(text)).toEqual({
      buildpacks: [
        { id: "b/one", api: 7, version: "1" },
        { id: "a", api: 12, version: "1.0.0" },
      ],
      hasExtensions: false,
    });
  });

  test("may have extensions, of any API or none", () => {
    const text = groupToml(
      [{ id: "a" }],
      [
        { id: "x", api: "0.99" },
        { id: "y", api: null },
      ],
    );
    expect(read(text)).toMatchObject({ hasExtensions: true, buildpacks: [{ id: "a", api: 10 }] });
  });

  test.each(["", "[other]\nx = 1\n", "group = []\n", '[[groups]]\nid = "misspelt"\n'])(
    "may be empty, with a warning: %j",
    (text) => {
      const warnings: string[] = [];
      expect(read(text, (message) => warnings.push(message))).toEqual({ buildpacks: [], hasExtensions: false });
      expect(warnings).toEqual([expect.stringMatching(/group\.toml" lists no buildpacks/)]);
    },
  );

  test("may have unknown keys and tables", () => {
    expect(read('[[group]]\nid = "a"\napi = "0.10"\nx = 1.5\n[group.y]\nz = 1\n[meta]\n').buildpacks).toHaveLength(1);
  });

  test.each([7, 8, 9, 10, 11, 12])("may have a buildpack of API 0.%d", (minor) => {
    expect(read(groupToml([{ id: "a", api: `0.${minor}` }])).buildpacks).toEqual([
      { id: "a", api: minor, version: "1.0.0" },
    ]);
  });
});

describe("a group that cannot be read ends the run", () => {
  const table: readonly [string, string | Uint8Array | undefined, string][] = [
    ["missing", undefined, "no such file or directory"],
    ["not TOML", '[[group]]\nid = "a\n', "group.toml:2:"],
    ["binary", new Uint8Array([0xff, 0xfe, 0x00, 0x01]), "not UTF-8 text"],
    ["not a list", 'group = "a"\n', "group: expected an array, found a string"],
    ["a list of names", 'group = ["a"]\n', "group.0: expected a table, found a string"],
    ["without an id", '[[group]]\napi = "0.10"\n', "group.0.id: is missing"],
    ["an id that is a number", '[[group]]\nid = 1\napi = "0.10"\n', "group.0.id: expected a string, found a number"],
    ["an API that is a number", '[[group]]\nid = "a"\napi = 0.10\n', "group.0.api: expected a string, found a number"],
  ];
  test.each(table)("%s: exit 1, with the file's name and what to do", (_, text, message) => {
    const error = errorOf(text);
    expect(error.exitCode).toBe(1);
    expect(error.message).toContain("group.toml");
    expect(error.message).toContain(message);
    expect(error.hint).toContain("-group");
  });

  test.each([null, "", "0.6", "0.13", "1.0", "0.010", "x", "0.10.1"])(
    "a buildpack of API %j: exit 12, with its name",
    (api) => {
      const error = errorOf(groupToml([{ id: "good" }, { id: "bad/one", api }]));
      expect(error.exitCode).toBe(12);
      expect(error.message).toContain('"bad/one"');
      expect(error.message).not.toContain('"good"');
      if (api) expect(error.message).toContain(JSON.stringify(api));
      expect(error.hint).toContain("0.7 to 0.12");
    },
  );

  test("control characters of an id reach no terminal", () => {
    expect(errorOf(groupToml([{ id: "a\x1b[2J\n", api: null }])).message).toContain('"a\\x1b[2J\\n"');
  });
});
