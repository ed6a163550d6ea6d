import { describe } from "../errors.ts";
import { limits } from "../limits.ts";
import { int64, integral, isTable } from "./values.ts";

/** Parses what may be no JSON: then it is undefined. */
export function parseIfJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** As `parseIfJson`, for an object: valibot takes an array for one. */
export function parseIfObject(text: string): unknown {
  const value = parseIfJson(text);
  return Array.isArray(value) ? undefined : value;
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
