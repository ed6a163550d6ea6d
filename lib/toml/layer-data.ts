import { describe } from "../errors.ts";
import { limits } from "../limits.ts";
import { count } from "../text.ts";
import type { ByteSource } from "./byte-source.ts";
import { parseAsWritten, parseJson } from "./json.ts";
import { findMember } from "./json-member.ts";
import type { Part } from "./json-outline.ts";
import { isTable, mapTable, type TomlValue } from "./values.ts";

/** What is wrong with the data that a buildpack gave one layer, or its store; costs no more than that. */
export class DataError extends Error {
  override readonly name = "DataError";
}

/** What a buildpack wrote into `[metadata]` of a layer, or of its store. */
export interface LayerData {
  /** Its `exec-env`, where it has one that can be read. */
  execEnv(): TomlValue | undefined;
  /**
   * The value, as `formatMetadata` takes it; undefined where there is none. It is read each time: all layers' at once may be
   * much. Throws a DataError.
   */
  read(): TomlValue | undefined;
}

/** Data that has been read already. */
export function knownData(value: TomlValue | undefined): LayerData {
  return { execEnv: () => execEnvIn(value), read: () => value };
}

/** Data that is not of the right kind. */
export function unusableData(problem: string): LayerData {
  return {
    execEnv: () => undefined,
    read() {
      throw new DataError(`metadata: ${problem}`);
    },
  };
}

/** Data that an outline holds right below its depth: it may be a part. */
export function dataOfPart(source: ByteSource, value: TomlValue): LayerData {
  const part = toPart(value);
  return part === undefined ? knownData(value) : new PartData(source, part);
}

/** Data that an outline holds at its depth: what is right below it may be parts. */
export function dataOfParts(source: ByteSource, value: TomlValue): LayerData {
  const resolve = (below: TomlValue) => {
    const part = toPart(below);
    return part === undefined ? below : readPart(source, part);
  };
  const read = () => {
    if (Array.isArray(value)) return value.map(resolve);
    return isTable(value) ? mapTable(value, resolve) : value;
  };
  return { execEnv: () => undefined, read };
}

class PartData implements LayerData {
  readonly #source: ByteSource;
  readonly #part: Part;
  #execEnv: { readonly value: TomlValue | undefined } | undefined;

  constructor(source: ByteSource, part: Part) {
    this.#source = source;
    this.#part = part;
  }

  execEnv(): TomlValue | undefined {
    this.#execEnv ??= { value: this.#findExecEnv() };
    return this.#execEnv.value;
  }

  read(): TomlValue {
    return readPart(this.#source, this.#part, parseAsWritten);
  }

  #findExecEnv(): TomlValue | undefined {
    try {
      const found = findMember(bytesOf(this.#source, this.#part), "exec-env");
      return found === undefined ? undefined : parseJson(found);
    } catch {
      // It is told when the layer is restored.
      return undefined;
    }
  }
}

function execEnvIn(value: TomlValue | undefined): TomlValue | undefined {
  return isTable(value) ? value["exec-env"] : undefined;
}

/** The part that an array in an outline stands for, at the depth of parts. */
export function toPart(value: unknown): Part | undefined {
  if (!Array.isArray(value)) return undefined;
  const [start = 0, end = 0, pieces = 0, depth = 0] = value.map(Number);
  return { start, end, pieces, depth };
}

/** The value of a part. Throws a DataError where it is too much, or not JSON. */
export function readPart(source: ByteSource, part: Part, parse = parseJson): TomlValue {
  const bytes = bytesOf(source, part);
  try {
    return parse(bytes);
  } catch (error) {
    throw new DataError(`metadata ${describe(error)}`, { cause: error });
  }
}

function bytesOf(source: ByteSource, { start, end, pieces, depth }: Part): Uint8Array {
  const { dataBytes, dataPieces, nesting } = limits;
  if (end - start > dataBytes) throw tooMuch(count(end - start, "byte"), count(dataBytes, "byte"));
  if (pieces > dataPieces) throw tooMuch(`about ${count(pieces, "value")}`, count(dataPieces, "value"));
  if (depth > nesting) throw new DataError(`metadata is nested deeper than ${nesting} levels`);
  try {
    return source.read(start, end);
  } catch (error) {
    throw new DataError(`metadata cannot be read: ${describe(error)}`, { cause: error });
  }
}

function tooMuch(found: string, allowed: string): DataError {
  return new DataError(`metadata has ${found}, more than the ${allowed} allowed`);
}
