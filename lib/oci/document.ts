import * as v from "valibot";
import { describe } from "../errors.ts";
import { judgeJson } from "../toml/json.ts";
import { describeParseError } from "../toml/parse-error.ts";
import { isDigest } from "./digest.ts";

/** A manifest, index or config that is not what the specifications say; the message tells where. */
export class ManifestError extends Error {
  override readonly name = "ManifestError";

  constructor(message: string, options?: ErrorOptions) {
    // It may quote the document, which can hold anything.
    super(message.replace(/[\x00-\x1f\x7f]+/g, " ").slice(0, 500), options);
  }
}

/** A digest as `isDigest` has it. */
export const digestSchema = v.pipe(v.string(), v.check(isDigest, "a sha256 digest"));

/** Reads a JSON document by a schema; `what` names it in messages. Throws a ManifestError. */
export function parseDocument<const S extends v.GenericSchema>(
  schema: S,
  bytes: Uint8Array,
  what: string,
): v.InferOutput<S> {
  return checkDocument(schema, parseJson(bytes, what), what);
}

/** Checks a document that is JSON already against a schema. Throws a ManifestError. */
export function checkDocument<const S extends v.GenericSchema>(
  schema: S,
  raw: unknown,
  what: string,
): v.InferOutput<S> {
  const result = v.safeParse(schema, raw, { abortEarly: true });
  if (result.success) return result.output;
  throw new ManifestError(`the ${what} is malformed: ${describeParseError(new v.ValiError(result.issues))}`);
}

function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    judgeJson(bytes);
  } catch (error) {
    throw new ManifestError(`the ${what} ${describe(error)}`);
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new ManifestError(`the ${what} is not JSON`, { cause });
  }
}
