import type { TomlTable, TomlValue } from "smol-toml";

/** Values as TOML and JSON files hold them: integers are bigint, floats number. */
export type { TomlTable, TomlValue };

/** What a TOML integer can hold. */
export const int64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n } as const;

/** A value with every integral number that fits 64 bits as a bigint; what does not is a float, or no reader would take it. */
export function integral(value: TomlValue): TomlValue {
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
