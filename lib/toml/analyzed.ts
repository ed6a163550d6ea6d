import * as v from "valibot";
import { hasCode } from "../errors.ts";
import type { Log } from "../log.ts";
import { quote } from "../text.ts";
import { type ImageMetadata, noMetadata, refuseOdd, toImageMetadata } from "./metadata.ts";
import { describeFileError } from "./parse-error.ts";
import { checkSecretNames } from "./secret-names.ts";
import { readTomlAs } from "./toml.ts";
import { isTable, type TomlTable } from "./values.ts";

const text = v.optional(v.string(), "");
const identifier = v.optional(v.object({ reference: text }));

const analyzedSchema = v.object({
  image: identifier,
  "build-image": identifier,
  "run-image": v.optional(
    v.object({
      reference: text,
      image: text,
      extend: v.optional(v.boolean(), false),
      target: v.optional(v.object({ id: text, os: text, arch: text, "arch-variant": text })),
    }),
  ),
  metadata: v.optional(v.custom<TomlTable>(isTable, "a table")),
});

/** What analyzed.toml says of the run image. */
export interface RunImage {
  readonly reference: string;
  readonly image: string;
  readonly extend: boolean;
  /** Operating system of the target, or empty when target data is missing. */
  readonly targetOs: string;
}

/** What the analyzer found out (Platform API, analyzed.toml). */
export interface Analyzed {
  readonly path: string;
  /** Whether there is such a file. */
  readonly exists: boolean;
  /** Everything in the file; keys unknown to us are kept when it is rewritten (D18). */
  readonly table: TomlTable;
  /** Layer metadata of the app image. */
  readonly metadata: ImageMetadata;
  readonly runImage: RunImage | undefined;
}

/**
 * Reads analyzed.toml. A missing file is empty, with a warning; one that cannot be used is undefined, with a warning, and
 * must then be left as it is.
 */
export function readAnalyzed(path: string, log: Log): Analyzed | undefined {
  try {
    return readTomlAs(path, (table, isSecret) => toAnalyzed(path, table, isSecret));
  } catch (error) {
    if (hasCode(error, "ENOENT")) {
      log.warn(`No analyzed metadata found at path ${quote(path)}`, "analyzed");
      return { path, exists: false, table: {}, metadata: noMetadata, runImage: undefined };
    }
    log.warn(`Not using analyzed data: ${describeFileError(path, error)}`, "analyzed");
    return undefined;
  }
}

function toAnalyzed(path: string, table: TomlTable, isSecret: boolean): Analyzed {
  const { metadata, "run-image": run } = v.parse(analyzedSchema, table, { abortEarly: true });
  const runImage = run && {
    reference: run.reference,
    image: run.image,
    extend: run.extend,
    targetOs: run.target?.os ?? "",
  };
  if (isSecret && runImage !== undefined) checkSecretNames([runImage.reference, runImage.image]);
  const layers = metadata === undefined ? noMetadata : toImageMetadata(metadata);
  if (isSecret) refuseOdd(layers);
  return { path, exists: true, table, metadata: layers, runImage };
}
