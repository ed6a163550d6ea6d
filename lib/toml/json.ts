import { describe } from "../errors.ts";
import { limits } from "../limits.ts";
import { count } from "../text.ts";
import { JsonOutline } from "./json-outline.ts";
import { fitsInt64, integral, isTable, type TomlValue } from "./values.ts";

/** Parses text that may not be JSON; undefined where it is not, or holds too much (`judgeJson`). */
export function parseIfJson(text: string): unknown {
  try {
    judgeJson(Buffer.from(text));
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** As `parseIfJson`, where an object is expected: an array is undefined, for valibot takes it for an object. */
export function parseIfObject(text: string): unknown {
  const value = parseIfJson(text);
  return Array.isArray(value) ? undefined : value;
}

/**
 * Judges a JSON document before it is parsed whole, in one pass over its bytes: small ones may hold so many values that
 * they take gigabytes (D24). Depth costs nothing where only what is needed is looked at. Throws an Error that says what it
 * holds too much of.
 */
export function judgeJson(bytes: Uint8Array): void {
  const { documentPieces } = limits;
  const scan = new JsonOutline(0);
  scan.write(bytes);
  if (scan.pieces > documentPieces) {
    throw new Error(
      `holds about ${count(scan.pieces, "value")}, more than the ${count(documentPieces, "value")} allowed`,
    );
  }
}

/**
 * Parses JSON with exact numbers: integers up to 64 bits as bigint, however they are spelt (`1e3`, `2.0`), others as number.
 * Nulls in objects and arrays are dropped, for TOML has none. Throws an Error that says what is wrong.
 */
export function parseJson(bytes: Uint8Array): TomlValue {
  return exactly(parseAsWritten(bytes), 0);
}

/** As `parseJson`, but with nulls, and bigints only where a number would lose something. */
export function parseAsWritten(bytes: Uint8Array): TomlValue {
  const text = decode(bytes);
  try {
    // Only integers of 16 digits and more lose something; asking the parser for their text makes it ten times slower.
    return /(?:^|[:,[\s])-?\d{16}/.test(text) ? JSON.parse(text, longInteger) : JSON.parse(text);
  } catch (error) {
    // The engine's message quotes the text, which may be a secret that a link led to.
    throw new Error(`is not JSON: ${describe(error).replace("JSON Parse error: ", "").replace(/ ".*$/s, "")}`);
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error("is not JSON: it holds bytes that are not UTF-8 text");
  }
}

/** A longer one does not fit 64 bits; and millions of digits would take seconds to become a bigint. */
const integer = /^-?[0-9]{1,19}$/;

function longInteger(_key: string, value: unknown, context?: { source: string }): unknown {
  if (typeof value !== "number" || context === undefined || !integer.test(context.source)) return value;
  const exact = BigInt(context.source);
  return fitsInt64(exact) ? exact : value;
}

/** Makes the numbers of a value exact and drops its nulls, in place: copies of all tables would cost as much as parsing. */
function exactly(value: TomlValue, depth: number): TomlValue {
  if (typeof value === "number") return integral(value);
  if (typeof value !== "object" || value === null) return value;
  if (depth > limits.nesting) throw new Error(`is nested deeper than ${limits.nesting} levels`);
  if (Array.isArray(value)) return value.filter((item) => item !== null).map((item) => exactly(item, depth + 1));
  if (!isTable(value)) return value;
  for (const key of Object.keys(value)) {
    const item = value[key];
    if (item === null || item === undefined) delete value[key];
    else if (typeof item === "number" || typeof item === "object") value[key] = exactly(item, depth + 1);
  }
  return value;
}
