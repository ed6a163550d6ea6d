import * as v from "valibot";
import { describeFileError } from "./parse-error.ts";
import { readTomlAs } from "./toml.ts";
import type { TomlValue } from "./values.ts";

const flag = v.optional(v.boolean(), false);

const layerFileSchema = v.object({
  types: v.optional(v.object({ build: flag, launch: flag, cache: flag })),
  metadata: v.optional(v.custom<TomlValue>((value) => value !== undefined)),
});

/** What a buildpack says of a layer (Buildpack spec, layer.toml). */
export interface LayerFile {
  /** Undefined where there is no `[types]`, as after a restore. */
  readonly types: { readonly build: boolean; readonly launch: boolean; readonly cache: boolean } | undefined;
  readonly metadata: TomlValue | undefined;
}

/** Reads a `<layer>.toml`. Throws an Error that says what is wrong with it. */
export function readLayerFile(path: string): LayerFile {
  try {
    const { types, metadata } = readTomlAs(path, (table) => v.parse(layerFileSchema, table, { abortEarly: true }));
    return { types, metadata };
  } catch (error) {
    throw new Error(describeFileError(path, error), { cause: error });
  }
}
