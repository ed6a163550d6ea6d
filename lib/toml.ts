import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { parse, stringify, TomlError, type TomlTable, type TomlValue } from "smol-toml";
import { describe, RestorerError } from "./errors.ts";
import { limits } from "./limits.ts";
import { inline, printable } from "./log.ts";

export type { TomlTable, TomlValue };

/**
 * Reads a file whole, as bytes. Only regular files (a fifo would block) of at most `limit` bytes.
 * Throws the system's error, or an Error that says what is wrong.
 */
export function readWhole(path: string, limit: number): Buffer {
  return readWithMode(path, limit).bytes;
}

function readWithMode(path: string, limit: number): { bytes: Buffer; mode: number } {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new Error("is not a regular file");
    if (stat.size > limit) throw new Error(`is larger than ${limit} bytes`);
    const bytes = Buffer.alloc(stat.size);
    let length = 0;
    while (length < bytes.length) {
      const count = readSync(fd, bytes, length, bytes.length - length, length);
      if (count === 0) break;
      length += count;
    }
    return { bytes: bytes.subarray(0, length), mode: stat.mode };
  } finally {
    closeSync(fd);
  }
}

/**
 * Reads a TOML file. Integers become bigint and floats number, so that `1` and `1.0` stay apart.
 * Throws the system's error when it cannot be read, or a RestorerError that shows line, column and the line itself.
 */
export function readToml(path: string): TomlTable {
  const { bytes, mode } = readWithMode(path, limits.tomlBytes);
  // Root may have been led to a secret by a link: what not everybody may read is not shown.
  const mayShow = process.geteuid?.() !== 0 || (mode & 0o004) !== 0;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new RestorerError(`${inline(path)} is not TOML: it holds bytes that are no UTF-8 text`);
  }
  try {
    return parse(text, { integersAsBigInt: true, maxDepth: limits.nesting });
  } catch (error) {
    if (!(error instanceof TomlError))
      throw new RestorerError(`${inline(path)} is not TOML: ${inline(describe(error))}`);
    const [summary = ""] = error.message.split("\n");
    const excerpt = mayShow ? `\n${caret(text, error.line, error.column)}` : "";
    throw new RestorerError(
      `${inline(path)}:${error.line}:${error.column}: ${summary.replace(/^Invalid TOML document: /, "")}${excerpt}`,
    );
  }
}

/** The bad line with a caret under the bad column, cut to a readable width. */
function caret(text: string, line: number, column: number): string {
  const source = text.split("\n", line)[line - 1] ?? "";
  const start = Math.max(0, column - 60);
  const shown = printable(source.slice(start, start + 100).replaceAll("\t", " "));
  const before = printable(source.slice(start, column - 1).replaceAll("\t", " "));
  return `  ${shown}\n  ${" ".repeat(before.length)}^`;
}

/** TOML text of a table read by `readToml`: numbers keep their kind, dates their offset. */
export function formatToml(table: TomlTable): string {
  return stringify(table, { numbersAsFloat: true });
}

/**
 * The text of a `<layer>.toml` or `store.toml`: only `[metadata]`, every integral number as an integer (D7).
 * Without metadata it is empty.
 */
export function formatMetadata(metadata: TomlValue | undefined): string {
  return metadata === undefined ? "" : formatToml({ metadata: integral(metadata) });
}

const int64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n } as const;

/** A value with every integral number that fits 64 bits as a bigint; what does not is a float, or no reader would take it. */
function integral(value: TomlValue): TomlValue {
  if (typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value))) {
    const exact = BigInt(value);
    return exact >= int64.min && exact <= int64.max ? exact : Number(value);
  }
  if (Array.isArray(value)) return value.map(integral);
  if (!isTable(value)) return value;
  // fromEntries defines own properties, so that a key `__proto__` stays a key.
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, integral(item)]));
}

/** Whether a parsed value is a table (dates are objects, too). */
export function isTable(value: unknown): value is TomlTable {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/**
 * Parses JSON with exact numbers: integers up to 64 bits as bigint, however they are spelt (`1e3`, `2.0`), others as number.
 * Nulls in objects are dropped and nulls in arrays too, for TOML has none. Throws an Error that says what is wrong.
 */
export function parseJson(bytes: Uint8Array): unknown {
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  return withoutNulls(parseExactly(text), 0);
}

function parseExactly(text: string): unknown {
  try {
    return JSON.parse(text, exactNumber);
  } catch (error) {
    // The engine's message quotes the text, which may be a secret that a link led to.
    throw new Error(describe(error).replace(/ ".*$/s, ""));
  }
}

function exactNumber(_key: string, value: unknown, context?: { source: string }): unknown {
  if (typeof value !== "number") return value;
  const source = context?.source ?? String(value);
  if (/^-?[0-9]+$/.test(source)) {
    const exact = BigInt(source);
    if (exact >= int64.min && exact <= int64.max) return exact;
  }
  return integral(value);
}

function withoutNulls(value: unknown, depth: number): unknown {
  if (depth > limits.nesting) throw new Error(`is nested deeper than ${limits.nesting} levels`);
  if (Array.isArray(value)) {
    return value.filter((item) => item !== null).map((item) => withoutNulls(item, depth + 1));
  }
  if (!isTable(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== null)
      .map(([key, item]) => [key, withoutNulls(item, depth + 1)]),
  );
}
