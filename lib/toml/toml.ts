import { parse, stringify, TomlError } from "smol-toml";
import { readWithMode } from "../disk/read-file.ts";
import { isRoot } from "../disk/user.ts";
import { describe } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import { limits } from "../limits.ts";
import { inline, printable } from "../text.ts";
import { integral, type TomlTable, type TomlValue } from "./values.ts";

/**
 * Reads a TOML file. Integers become bigint and floats number, so that `1` and `1.0` stay apart.
 * Throws the system's error when it cannot be read, or a RestorerError that shows line, column and the line itself.
 */
export function readToml(path: string): TomlTable {
  const { bytes, mode } = readWithMode(path, limits.tomlBytes);
  // Root may have been led to a secret by a link: what not everybody may read is not shown.
  const mayShow = !isRoot() || (mode & 0o004) !== 0;
  let text: string;
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
    const excerpt = mayShow ? caret(text, error.line, error.column) : "";
    throw new RestorerError(
      `${inline(path)}:${error.line}:${error.column}: ${summary.replace(/^Invalid TOML document: /, "")}${excerpt}`,
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
