import { limits } from "../limits.ts";
import { count, quote } from "../text.ts";
import { DataError } from "./layer-data.ts";
import { integral, isTable, type TomlTable, type TomlValue } from "./values.ts";

/** How much TOML a run may write: metadata with long keys above many tables becomes a thousand times as long (D24). */
export class TomlBudget {
  #left: number = limits.allTomlLength;
  #leftOfFile = 0;

  /** For one more file. */
  begin(): void {
    this.#leftOfFile = limits.layerTomlLength;
  }

  /** Throws a DataError where there is not as much left. */
  take(characters: number): void {
    this.#leftOfFile -= characters;
    this.#left -= characters;
    if (this.#leftOfFile < 0) throw tooLong(limits.layerTomlLength, "");
    if (this.#left < 0) throw tooLong(limits.allTomlLength, " with that of the other layers");
  }
}

function tooLong(allowed: number, beside: string): DataError {
  return new DataError(`metadata would take more than the ${count(allowed, "character")} allowed as TOML${beside}`);
}

/**
 * The text of a `<layer>.toml` or `store.toml`: only `[metadata]`, every integral number as an integer (D7),
 * without the nulls of JSON. Without metadata it is empty. Throws a DataError for what TOML cannot hold, or too much. (A
 * package's writer takes twice the time, and does not say where the trouble is.)
 */
export function formatMetadata(metadata: TomlValue | undefined, budget = new TomlBudget()): string {
  if (metadata === undefined || metadata === null) return "";
  budget.begin();
  try {
    if (isTable(metadata)) return formatTable(budget, "metadata", metadata);
    return spent(budget, `metadata = ${formatValue(metadata)}\n`);
  } catch (error) {
    if (!(error instanceof Unwritable)) throw error;
    const path = pathOfUnwritable(metadata) ?? [];
    const where =
      path.length === 0 ? "metadata" : `metadata key ${path.map((key) => quote(key.toWellFormed())).join(".")}`;
    throw new DataError(`${where}: ${error.message}`);
  }
}

/** What TOML cannot hold; where it stands is looked for afterwards. */
class Unwritable extends Error {}

function spent(budget: TomlBudget, text: string): string {
  budget.take(text.length);
  return text;
}

/** A table with its header, then the tables in it. */
function formatTable(budget: TomlBudget, path: string, table: TomlTable, header = `[${path}]`): string {
  let values = spent(budget, `${header}\n`);
  let tables = "";
  for (const [key, value] of Object.entries(table)) {
    if (value === undefined || value === null) continue;
    if (typeof value === "object" && (isTable(value) || isTableArray(value))) {
      tables += `\n${formatBelow(budget, `${path}.${formatKey(key)}`, value)}`;
    } else {
      values += spent(budget, `${formatKey(key)} = ${formatValue(value)}\n`);
    }
  }
  return `${values}${tables}`;
}

function formatBelow(budget: TomlBudget, path: string, value: TomlTable | TomlTable[]): string {
  if (isTable(value)) return formatTable(budget, path, value);
  return value.map((table) => formatTable(budget, path, table, `[[${path}]]`)).join("\n");
}

function isTableArray(value: TomlValue): value is TomlTable[] {
  return Array.isArray(value) && value.length > 0 && value.every(isTable);
}

function formatValue(value: TomlValue): string {
  if (typeof value === "string") return formatString(value);
  // Most numbers are: the long way takes several times as long.
  if (Number.isSafeInteger(value)) return String(value);
  if (typeof value === "number" || typeof value === "bigint") return formatNumber(integral(value));
  if (typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return formatArray(value);
  if (value instanceof Date) return value.toISOString();
  const given = Object.entries(value).filter(([, item]) => item !== null);
  const members = given.map(([key, item]) => `${formatKey(key)} = ${formatValue(item)}`);
  return members.length === 0 ? "{}" : `{ ${members.join(", ")} }`;
}

function formatArray(array: readonly TomlValue[]): string {
  const items = array.filter((item) => item !== null).map(formatValue);
  return items.length === 0 ? "[]" : `[ ${items.join(", ")} ]`;
}

function formatNumber(value: number | bigint): string {
  if (Number.isNaN(value)) return "nan";
  if (value === Number.POSITIVE_INFINITY) return "inf";
  if (value === Number.NEGATIVE_INFINITY) return "-inf";
  // An integer that does not fit 64 bits is a float.
  return typeof value === "number" && Number.isInteger(value) ? value.toFixed(1) : String(value);
}

function formatKey(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : formatString(key);
}

function formatString(text: string): string {
  if (/^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(text)) return `"${text}"`;
  if (!text.isWellFormed()) throw new Unwritable("it holds half a surrogate pair, which TOML cannot hold");
  // What JSON escapes, TOML reads the same; but it wants one more character escaped.
  return JSON.stringify(text).replaceAll("\x7f", "\\u007f");
}

/** The keys that lead to what TOML cannot hold. */
function pathOfUnwritable(value: TomlValue): string[] | undefined {
  if (typeof value === "string") return value.isWellFormed() ? undefined : [];
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, item] of Object.entries(value)) {
    if (!key.isWellFormed()) return [key];
    const below = pathOfUnwritable(item);
    if (below !== undefined) return [key, ...below];
  }
  return undefined;
}
