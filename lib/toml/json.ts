import { describe } from "../errors.ts";
import { limits } from "../limits.ts";
import { int64, integral, isTable } from "./values.ts";

/** Parses text that may not be JSON; undefined where it is not. */
export function parseIfJson(text: string): unknown {
  try {
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
 * Parses JSON with exact numbers: integers up to 64 bits as bigint, however they are spelt (`1e3`, `2.0`), others as number.
 * Nulls in objects and arrays are dropped, for TOML has none. Throws an Error that says what is wrong.
 */
export function parseJson(bytes: Uint8Array): unknown {
  return withoutNulls(parseExactly(decode(bytes)), 0);
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error("is not JSON: it holds bytes that are not UTF-8 text");
  }
}

function parseExactly(text: string): unknown {
  try {
    return JSON.parse(text, exactNumber);
  } catch (error) {
    // The engine's message quotes the text, which may be a secret that a link led to.
    throw new Error(`is not JSON: ${describe(error).replace("JSON Parse error: ", "").replace(/ ".*$/s, "")}`);
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
