import { parse, TomlDate, type TomlValue } from "smol-toml";
import type { Value } from "./value.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads TOML with every type kept apart. Throws when it is no TOML 1.0: other tools must be able to read what the executable
 * writes, so the forms that only TOML 1.1 has, a byte order mark and integers of more than 64 bits are refused.
 */
export function parseToml(bytes: Uint8Array): Value {
  const text = utf8.decode(bytes);
  const newer = newerThanToml10(text);
  if (newer !== undefined) throw new Error(`${newer} is not TOML 1.0`);
  return tagged(parse(text, { integersAsBigInt: true }));
}

function tagged(value: TomlValue): Value {
  if (typeof value === "bigint" && BigInt.asIntN(64, value) !== value) throw new Error(`${value} exceeds 64 bits`);
  if (value instanceof TomlDate) return taggedDate(value);
  if (Array.isArray(value)) return value.map(tagged);
  if (typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, tagged(item)]));
}

/** As case.json has it: microseconds or none, and `+00:00` for UTC. */
function taggedDate(date: TomlDate): Value {
  const text = date
    .toISOString()
    .replace(/\.([0-9]{3})/, (_, digits) => (digits === "000" ? "" : `.${digits}000`))
    .replace(/Z$|-00:00$/, "+00:00");
  if (date.isDate()) return { $date: text };
  return date.isTime() ? { $time: text } : { $datetime: text };
}

/** The pieces of a document: strings and comments whole, the rest in such pieces as matter below. */
const pieces =
  /"""(?:[^\\]|\\.)*?"{3,5}|'''.*?'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*|[0-9][0-9:.TtZz+-]*(?: [0-9:.Zz+-]+)?|[[\]{},\n]|./gs;

/** What a document holds that our parser reads but a reader of TOML 1.0 does not. */
function newerThanToml10(text: string): string | undefined {
  if (text.startsWith("\ufeff")) return "a byte order mark";
  const open: string[] = [];
  let previous = "";
  for (const [piece] of text.matchAll(pieces)) {
    if (piece.startsWith('"') && /^(?:[^\\]|\\[^ex])*\\[ex]/.test(piece)) return `an escape in ${piece}`;
    if (piece === "{" || piece === "[") open.push(piece);
    if (piece === "}" && previous === ",") return "a comma after the last pair of an inline table";
    if (piece === "}" || piece === "]") open.pop();
    if (piece === "\n" && open.at(-1) === "{") return "an inline table of several lines";
    if (/(?:^|[Tt ])[0-9]{2}:[0-9]{2}(?!:|[0-9])/.test(piece)) return `the time ${piece} without seconds`;
    // Dates are compared as the parser keeps them, in milliseconds.
    if (/:[0-9]{2}\.[0-9]{3}0*[1-9]/.test(piece) && /^[0-9]/.test(piece))
      return `the time ${piece}, finer than a millisecond,`;
    if (piece.trim() !== "") previous = piece;
  }
  return undefined;
}
