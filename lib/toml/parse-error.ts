import * as v from "valibot";
import { describe } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import { inline, quote } from "../text.ts";

/** Follows "… cannot be used, and " where a file is a secret. */
export const whyNotTold = "the reason is not told, because not everybody may read it";

interface ParseErrorOptions {
  /** What tables are called: TOML and JSON differ. */
  readonly table?: string;
  /** Where the parsed value stands in its file: `buildpacks.0`. */
  readonly path?: string;
}

/**
 * What a parser or schema found wrong, with the path of the bad value, on one line. Of values it names only the kind: they
 * may be a secret that a link led to.
 */
export function describeParseError(error: unknown, { table = "an object", path }: ParseErrorOptions = {}): string {
  if (!(error instanceof v.ValiError)) return inline(describe(error));
  const [issue] = error.issues;
  const where = [path, v.getDotPath(issue)].filter((part) => part).join(".");
  const problem = describeIssue(issue, table);
  return inline(where === "" ? problem : `${where}: ${problem}`);
}

/** What is wrong with a TOML file, with its name. */
export function describeFileError(path: string, error: unknown): string {
  // What `readToml` throws begins with path and line already.
  if (error instanceof RestorerError) return error.message;
  return `${quote(path)}: ${describeParseError(error, { table: "a table" })}`;
}

function describeIssue({ expected, input, message }: v.BaseIssue<unknown>, table: string): string {
  if (input === undefined) return "is missing";
  const kinds: Readonly<Record<string, string>> = {
    string: "a string",
    boolean: "a boolean",
    number: "a number",
    Array: "an array",
    Object: table,
  };
  // A custom check has what it expects for its message.
  return `expected ${kinds[expected ?? ""] ?? message}, found ${kindOf(input, table)}`;
}

function kindOf(value: unknown, table: string): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (value instanceof Date) return "a date";
  if (typeof value === "object") return table;
  return `a ${typeof value === "bigint" ? "number" : typeof value}`;
}
