import type { TomlTable, TomlValue } from "smol-toml";

/** Values as TOML and JSON files hold them: integers are bigint, floats number. */
export type { TomlTable, TomlValue };

/** What a TOML integer can hold. */
const int64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n } as const;

/** Whether an integer fits 64 bits: what does not is a float, or no reader would take it. */
export function fitsInt64(value: bigint): boolean {
  return value >= int64.min && value <= int64.max;
}

/** A number as a bigint where it is integral and fits 64 bits, else as a float. */
export function integral(value: number | bigint): number | bigint {
  if (typeof value === "number" && !Number.isInteger(value)) return value;
  const exact = BigInt(value);
  return fitsInt64(exact) ? exact : Number(value);
}

/** Whether a parsed value is a table (dates are objects, too). */
export function isTable(value: unknown): value is TomlTable {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** A table with other values. */
export function mapTable(table: TomlTable, map: (value: TomlValue) => TomlValue): TomlTable {
  // fromEntries defines own properties, so that a key `__proto__` stays a key.
  return Object.fromEntries(Object.entries(table).map(([key, value]) => [key, map(value)]));
}
