/**
 * Values of JSON and TOML files with their types kept apart: an integer is a bigint, a float a number, a date or time a table
 * such as `{"$date": "1979-05-27"}`.
 */
export type Value = null | boolean | bigint | number | string | Value[] | Table;
export interface Table {
  readonly [key: string]: Value;
}

/** Whether a value is a table, and not a list. */
export function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Parses JSON with integers exact at any size. Throws when it is no JSON. */
export function parseJson(text: string): Value {
  return JSON.parse(text, exactNumber);
}

function exactNumber(_key: string, value: unknown, context?: { source: string }): unknown {
  const source = context?.source ?? "";
  return typeof value === "number" && /^-?[0-9]+$/.test(source) ? BigInt(source) : value;
}

/**
 * A value as one line of text, with sorted keys and floats as `{"$float": "1.0"}`. It is the same for the same values of the
 * same types, and for no others.
 */
export function show(value: Value | undefined): string {
  if (value === undefined) return "nothing";
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number") return `{"$float": "${floatText(value)}"}`;
  if (Array.isArray(value)) return `[${value.map(show).join(", ")}]`;
  if (!isTable(value)) return JSON.stringify(value);
  const pairs = Object.keys(value).sort();
  return `{${pairs.map((key) => `${JSON.stringify(key)}: ${show(value[key])}`).join(", ")}}`;
}

function floatText(value: number): string {
  if (Object.is(value, -0)) return "-0.0";
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return String(value).replace(/^(-?[0-9]+)$/, "$1.0");
}

/** An expected TOML value as case.json writes it: `{"$float": "1.0"}` is the float, and a number must be an integer. */
export function fromTagged(value: Value): Value {
  if (typeof value === "number")
    throw new Error(`the float ${value} must be written {"$float": "${floatText(value)}"}`);
  if (Array.isArray(value)) return value.map(fromTagged);
  if (!isTable(value)) return value;
  const { $float: float } = value;
  if (typeof float === "string" && Object.keys(value).length === 1) return parseFloatText(float);
  return mapTable(value, fromTagged);
}

function parseFloatText(text: string): number {
  const special = new Map([
    ["nan", Number.NaN],
    ["inf", Number.POSITIVE_INFINITY],
    ["-inf", Number.NEGATIVE_INFINITY],
  ]).get(text);
  if (special !== undefined) return special;
  if (!/^-?[0-9]+(\.[0-9]+)?(e[-+][0-9]+)?$/.test(text)) throw new Error(`{"$float": "${text}"} is no float`);
  return Number(text);
}

/** Whether everything of `wanted` is in `found`: of tables these keys, of lists every item. */
export function contains(found: Value | undefined, wanted: Value): boolean {
  if (isTable(wanted)) {
    return isTable(found) && Object.keys(wanted).every((key) => contains(own(found, key), own(wanted, key) ?? null));
  }
  if (!Array.isArray(wanted)) return found === wanted;
  return (
    Array.isArray(found) && found.length === wanted.length && wanted.every((item, at) => contains(found[at], item))
  );
}

/** A table's own value: `constructor` is no key of an empty one. */
function own(table: Table, key: string): Value | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

/** A table with every value changed; `__proto__` stays a key like others. */
function mapTable(table: Table, change: (value: Value) => Value): Table {
  return Object.fromEntries(Object.entries(table).map(([key, value]) => [key, change(value)]));
}

/** Replaces `{layers}` and the like in all strings, keys of tables too. */
export function substitute(value: Value, names: ReadonlyMap<string, string>): Value {
  if (typeof value === "string") return substituteText(value, names);
  if (Array.isArray(value)) return value.map((item) => substitute(item, names));
  if (!isTable(value)) return value;
  const pairs = Object.entries(value);
  return Object.fromEntries(pairs.map(([key, item]) => [substituteText(key, names), substitute(item, names)]));
}

/** Replaces `{layers}` and the like in a text. */
export function substituteText(text: string, names: ReadonlyMap<string, string>): string {
  let result = text;
  for (const [name, replacement] of names) result = result.replaceAll(`{${name}}`, () => replacement);
  return result;
}

/** A `<layer>.toml` in which no `[metadata]` table and an empty one are the same. */
export function withoutEmptyMetadata(value: Value): Value {
  if (!isTable(value) || !isEmpty(own(value, "metadata"))) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => key !== "metadata"));
}

/**
 * An analyzed.toml in which zero values (`""`, `false`, `{}`, `[]`) equal absence. What buildpacks wrote is left alone: the
 * names of layers, and their metadata, where only an empty table equals none.
 */
export function withoutZeroes(value: Value, path: readonly string[] = []): Value {
  const [parent, key] = [path.at(-2), path.at(-1)];
  if (Array.isArray(value)) return value.map((item) => withoutZeroes(item, path));
  if (!isTable(value)) return value;
  const pairs = Object.entries(value);
  if ((parent === "layers" && key === "*") || key === "store") {
    return Object.fromEntries(pairs.filter(([name, item]) => (name === "metadata" ? !isEmpty(item) : !isZero(item))));
  }
  const inner = pairs.map(([name, item]): [string, Value] => [
    name,
    withoutZeroes(item, [...path, key === "layers" ? "*" : name]),
  ]);
  return Object.fromEntries(inner.filter(([, item]) => key === "layers" || !isZero(item)));
}

function isZero(value: Value): boolean {
  return value === "" || value === false || (Array.isArray(value) && value.length === 0) || isEmpty(value);
}

function isEmpty(value: Value | undefined): boolean {
  return isTable(value) && Object.keys(value).length === 0;
}
