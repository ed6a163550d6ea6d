import { parse, stringify, TomlError } from "smol-toml";
import { byForeignLink } from "../disk/foreign-links.ts";
import { readFile } from "../disk/read-file.ts";
import { describe } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import { limits } from "../limits.ts";
import { count, inline, printable, quote } from "../text.ts";
import { judgeToml } from "./judge-toml.ts";
import { whyNotTold } from "./parse-error.ts";
import { isTable, type TomlTable, type TomlValue } from "./values.ts";

/**
 * Reads a TOML file. Integers become bigint and floats number, so that `1` and `1.0` stay apart.
 * Throws the system's error when it cannot be read, or a RestorerError that shows line, column and the line itself.
 */
export function readToml(path: string): TomlTable {
  return readTomlAs(path, (table) => table);
}

/**
 * As `readToml`, and makes something of the file: what `use` throws is thrown on. Where the file is a secret (see `isSecret`),
 * also to the user who we become, neither its text nor what `use` says of it is told.
 */
export function readTomlAs<T>(path: string, use: (table: TomlTable, isSecret: boolean) => T): T {
  const { bytes, isSecret, isUsers, isForeign } = readFile(path, limits.tomlBytes);
  const isHidden = isSecret && !isUsers;
  if (isForeign) {
    throw new RestorerError(`${quote(path)} is not used: ${byForeignLink}`);
  }
  try {
    return use(parseToml(path, bytes), isHidden);
  } catch (error) {
    throw isHidden ? withoutReason(path, error) : error;
  }
}

function withoutReason(path: string, error: unknown): RestorerError {
  const options = error instanceof RestorerError ? { exitCode: error.exitCode, code: error.code } : {};
  return new RestorerError(`${quote(path)}: it cannot be used, and ${whyNotTold}`, options);
}

function parseToml(path: string, bytes: Uint8Array): TomlTable {
  let text: string;
  try {
    judgeToml(bytes);
  } catch (error) {
    throw new RestorerError(`${inline(path)} ${describe(error)}`);
  }
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new RestorerError(`${inline(path)} is not TOML: it holds bytes that are not UTF-8 text`);
  }
  try {
    return parse(text, { integersAsBigInt: true, maxDepth: limits.nesting });
  } catch (error) {
    if (!(error instanceof TomlError))
      throw new RestorerError(`${inline(path)} is not TOML: ${inline(describe(error))}`);
    const [summary = ""] = error.message.split("\n");
    throw new RestorerError(
      `${inline(path)}:${error.line}:${error.column}: ${summary.replace(/^Invalid TOML document: /, "")}${caret(text, error.line, error.column)}`,
    );
  }
}

/** On lines of their own the bad line and a caret under the bad column, cut to a readable width; nothing of a blank one. */
function caret(text: string, line: number, column: number): string {
  const source = text.split("\n", line)[line - 1] ?? "";
  if (source.trim() === "") return "";
  const start = Math.max(0, column - 60);
  const shown = printable(source.slice(start, start + 100).replaceAll("\t", " "));
  const before = printable(source.slice(start, column - 1).replaceAll("\t", " "));
  return `\n  ${shown}\n  ${" ".repeat(before.length)}^`;
}

/**
 * TOML text of a table read by `readToml`: numbers keep their kind, dates their offset. Throws an Error where it would be
 * very long: each table repeats the keys above it (D24).
 */
export function formatToml(table: TomlTable): string {
  const { allTomlLength } = limits;
  if (lengthOfHeaders(table, 0, allTomlLength) > allTomlLength) {
    throw new Error(`it would take more than the ${count(allTomlLength, "character")} allowed`);
  }
  return stringify(table, { numbersAsFloat: true });
}

/** How long the headers of all tables in a value are, each with the keys above it; counted up to `most`. */
function lengthOfHeaders(value: TomlValue, above: number, most: number): number {
  if (typeof value !== "object" || value instanceof Date) return 0;
  const below = Array.isArray(value)
    ? value.map((item) => ({ item, length: above }))
    : Object.entries(value).map(([key, item]) => ({ item, length: above + key.length }));
  let length = isTable(value) ? above : 0;
  for (const one of below) {
    length += lengthOfHeaders(one.item, one.length, most - length);
    if (length > most) break;
  }
  return length;
}
