import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import fc from "fast-check";
import { parse } from "smol-toml";
import { parseJson } from "../../lib/toml/json.ts";
import { formatMetadata } from "../../lib/toml/layer-toml.ts";
import { parseMetadata } from "../../lib/toml/metadata-json.ts";
import { formatToml, readToml } from "../../lib/toml/toml.ts";
import type { TomlTable } from "../../lib/toml/values.ts";
import { tempDir } from "../support/harness.ts";

const key = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.constantFrom("__proto__", "constructor", "toString", "a.b", "", "'", '"', "\\", "\u0000", "\u007f", "\u2028"),
);
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const text = fc.string({
  unit: fc.oneof(
    fc.constantFrom("\n", "\r", "\t", "\\", '"', "'", "\0", "\x1b", "\u2028"),
    fc.nat(0xd7ff).map((code) => String.fromCodePoint(code)),
    fc.constantFrom("😀", "é"),
  ),
});
const { table } = fc.letrec<{ value: unknown; table: Record<string, unknown> }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    int64,
    fc.double({ noNaN: true, noDefaultInfinity: true }).filter((number) => !Number.isInteger(number)),
    text,
    fc.boolean(),
    fc.array(tie("value"), { maxLength: 4 }),
    tie("table"),
  ),
  table: fc
    .array(fc.tuple(key, tie("value")), { maxLength: 5 })
    .map((pairs) => Object.fromEntries(pairs) as Record<string, unknown>),
}));

/** JSON with bigints as plain numbers. */
function toJson(value: unknown): string {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map(toJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([name, item]) => `${JSON.stringify(name)}:${toJson(item)}`)
    .join(",")}}`;
}
/** A form in which own keys such as __proto__ and the kinds of numbers show. */
function canonical(value: unknown): unknown {
  if (typeof value === "bigint") return `integer ${value}`;
  if (typeof value === "number") return Object.is(value, -0) ? "float -0" : `float ${value}`;
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== "object" || value === null) return value;
  return Object.entries(value)
    .map(([name, item]) => [name, canonical(item)])
    .sort();
}

describe("metadata", () => {
  test("survives from JSON to a layer's TOML and back, every integer of 64 bits exact, every key a key", () => {
    fc.assert(
      fc.property(table, (metadata) => {
        const fromJson = parseJson(Buffer.from(toJson(metadata)));
        expect(canonical(fromJson)).toEqual(canonical(metadata));
        const toml = formatMetadata(fromJson as TomlTable);
        const back = parse(toml, { integersAsBigInt: true });
        expect(canonical(back)).toEqual(canonical({ metadata }));
      }),
      { numRuns: 1000 },
    );
  });

  test("in analyzed.toml keeps the kind of each number", () => {
    using dir = tempDir("toml");
    const path = dir.join("x.toml");
    fc.assert(
      fc.property(table, fc.double({ noNaN: true }), (content, drawn) => {
        // The sign of a zero is lost, which no reader can tell.
        const number = drawn === 0 ? 0 : drawn;
        const whole = { ...content, number } as TomlTable;
        writeFileSync(path, formatToml(whole));
        expect(canonical(readToml(path))).toEqual(canonical(whole));
      }),
      { numRuns: 500 },
    );
  });

  test("that is not metadata at all is an Error, never a crash", () => {
    const texts = fc.oneof(
      fc.json(),
      fc.string(),
      fc.uint8Array().map((bytes) => Buffer.from(bytes).toString("latin1")),
      table.map((value) => toJson({ buildpacks: [{ key: "a", layers: value }] })),
    );
    fc.assert(
      fc.property(texts, (json) => {
        try {
          parseMetadata(Buffer.from(json));
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
          expect(error).not.toBeInstanceOf(TypeError);
        }
      }),
      { numRuns: 2000 },
    );
    for (const nested of ["[".repeat(1e6), `${"[".repeat(1e5)}${"]".repeat(1e5)}`, '{"a":'.repeat(1e5)]) {
      expect(() => parseMetadata(Buffer.from(nested))).toThrow();
    }
  });
});
