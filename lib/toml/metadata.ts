import * as v from "valibot";
import { parseJson } from "./json.ts";
import { describeParseError } from "./parse-error.ts";
import { isTable, type TomlTable, type TomlValue } from "./values.ts";

/** What an earlier build recorded of a layer: types, digest, and the buildpack's own metadata. */
export interface LayerMetadata {
  /** The layer's diffID, `sha256:<hex>`; unchecked. */
  readonly sha: string;
  readonly build: boolean;
  readonly launch: boolean;
  readonly cache: boolean;
  readonly metadata: TomlValue | undefined;
}

export interface BuildpackMetadata {
  readonly id: string;
  readonly layers: ReadonlyMap<string, LayerMetadata>;
  /** The content of store.toml's `[metadata]`. */
  readonly store: TomlValue | undefined;
}

/** The metadata of a cache, or of an app image (which has no cached SBOM layer). */
export interface ImageMetadata {
  readonly buildpacks: readonly BuildpackMetadata[];
  /** diffID of the cache's SBOM layer, or empty. */
  readonly sbom: string;
}

export const noMetadata: ImageMetadata = { buildpacks: [], sbom: "" };

const anyValue = v.custom<TomlValue>((value) => value !== undefined);

const layerSchema = v.object({
  sha: v.optional(v.string(), ""),
  build: v.optional(v.boolean(), false),
  launch: v.optional(v.boolean(), false),
  cache: v.optional(v.boolean(), false),
  data: v.optional(anyValue),
  metadata: v.optional(anyValue),
});

// A custom check, since valibot's record drops keys such as `constructor`, which are fine names of layers.
const table = v.custom<TomlTable>(isTable, "a table of layers");

const buildpackSchema = v.object({
  key: v.optional(v.string(), ""),
  layers: v.optional(table, {}),
  store: v.optional(v.object({ metadata: v.optional(anyValue), data: v.optional(anyValue) })),
});

// valibot takes an array for an object.
const object = v.custom<TomlTable>(isTable, "an object");

const metadataSchema = v.object({
  buildpacks: v.optional(v.array(buildpackSchema), []),
  sbom: v.optional(v.object({ sha: v.optional(v.string(), "") }), {}),
});

/**
 * Reads layer metadata in either form: TOML (analyzed.toml `[metadata]`, layer data in `metadata`) or JSON (image labels
 * and a volume cache's metadata file, layer data in `data`). Throws Errors for values of the wrong type, with their path.
 */
export function toImageMetadata(raw: unknown): ImageMetadata {
  const { buildpacks, sbom } = v.parse(metadataSchema, v.parse(object, raw));
  return {
    sbom: sbom.sha,
    buildpacks: buildpacks.map(({ key, layers, store }, at) => ({
      id: key,
      layers: toLayers(layers, `buildpacks.${at}.layers`),
      store: store?.metadata ?? store?.data,
    })),
  };
}

function toLayers(layers: TomlTable, path: string): ReadonlyMap<string, LayerMetadata> {
  return new Map(Object.entries(layers).map(([name, layer]) => [name, toLayerMetadata(layer, `${path}.${name}`)]));
}

function toLayerMetadata(raw: unknown, path: string): LayerMetadata {
  const { success, output, issues } = v.safeParse(layerSchema, raw);
  if (!success) throw new Error(describeParseError(new v.ValiError(issues), { path }));
  const { data, metadata, ...types } = output;
  return { ...types, metadata: metadata ?? data };
}

/** Parses a cache's metadata, or an app image's label: JSON. `null` means none. Throws Errors that say what is wrong. */
export function parseMetadata(bytes: Uint8Array): ImageMetadata {
  const raw = parseJson(bytes);
  return raw === null ? noMetadata : toImageMetadata(raw);
}

/** The metadata of one buildpack; of several entries with the same id the first one counts. */
export function buildpackMetadata(image: ImageMetadata, id: string): BuildpackMetadata | undefined {
  return image.buildpacks.find((buildpack) => buildpack.id === id);
}
