import * as v from "valibot";
import { limits, refuseMore } from "../limits.ts";
import { knownData, type LayerData } from "./layer-data.ts";
import { describeParseError } from "./parse-error.ts";
import { isTable, mapTable, type TomlTable, type TomlValue } from "./values.ts";

/** What an earlier build recorded of a layer: types, digest, and the buildpack's own metadata. */
export interface LayerMetadata {
  /** The layer's diffID, `sha256:<hex>`, unchecked; undefined where none is recorded. */
  readonly sha: string | undefined;
  readonly build: boolean;
  readonly launch: boolean;
  readonly cache: boolean;
  readonly data: LayerData;
}

export interface BuildpackMetadata {
  readonly id: string;
  /** Its version, as far as recorded. */
  readonly version: string | undefined;
  readonly layers: ReadonlyMap<string, LayerMetadata>;
  /** The content of store.toml's `[metadata]`. */
  readonly store: LayerData | undefined;
}

/** The metadata of a cache, or of an app image (which has no cached SBOM layer). */
export interface ImageMetadata {
  readonly buildpacks: readonly BuildpackMetadata[];
  /** diffID of the cache's SBOM layer, unchecked; undefined where none is recorded. */
  readonly sbom: string | undefined;
}

export const noMetadata: ImageMetadata = { buildpacks: [], sbom: undefined };

const anyValue = v.custom<TomlValue>((value) => value !== undefined);

/** Exporters write an empty text where there is none. */
const sha = v.pipe(
  v.optional(v.string(), ""),
  v.transform((text) => (text === "" ? undefined : text)),
);

const layerSchema = v.object({
  sha,
  build: v.optional(v.boolean(), false),
  launch: v.optional(v.boolean(), false),
  cache: v.optional(v.boolean(), false),
});

// A custom check, since valibot's record drops keys such as `constructor`, which are fine names of layers.
const table = v.custom<TomlTable>(isTable, "a table of layers");

const buildpackSchema = v.object({
  key: v.optional(v.string(), ""),
  version: v.fallback(v.optional(v.string()), undefined),
  layers: v.optional(table, {}),
  store: v.optional(v.object({ metadata: v.optional(anyValue), data: v.optional(anyValue) })),
});

// valibot takes an array for an object.
const object = v.custom<TomlTable>(isTable, "an object");

const metadataSchema = v.object({
  buildpacks: v.optional(v.array(buildpackSchema), []),
  sbom: v.optional(v.object({ sha }), {}),
});

/** How the values of a layer, its data and a store are read where not all of them have been parsed. */
export interface Form {
  readonly member: (value: TomlValue) => TomlValue;
  readonly data: (value: TomlValue) => LayerData;
  readonly store: (value: TomlValue) => LayerData;
}

const parsed: Form = { member: (value) => value, data: knownData, store: knownData };

/**
 * Reads layer metadata in either form: TOML (analyzed.toml `[metadata]`, layer data in `metadata`) or JSON (image labels
 * and a volume cache's metadata file, layer data in `data`). Throws Errors for values of the wrong type, with their path,
 * and for more buildpacks or layers than any build has.
 */
export function toImageMetadata(raw: unknown, form = parsed): ImageMetadata {
  const { buildpacks, sbom } = v.parse(metadataSchema, v.parse(object, raw), { abortEarly: true });
  refuseMore(buildpacks.length, limits.buildpacks, "buildpack");
  const layers = buildpacks.reduce((sum, buildpack) => sum + Object.keys(buildpack.layers).length, 0);
  refuseMore(layers, limits.layers, "layer");
  return {
    sbom: sbom.sha,
    buildpacks: buildpacks.map(({ key, version, layers, store }, at) => {
      const content = store?.metadata ?? store?.data;
      return {
        id: key,
        version: version === "" ? undefined : version,
        layers: toLayers(layers, `buildpacks.${at}.layers`, form),
        store: content === undefined ? undefined : form.store(content),
      };
    }),
  };
}

function toLayers(layers: TomlTable, path: string, form: Form): ReadonlyMap<string, LayerMetadata> {
  return new Map(
    Object.entries(layers).map(([name, layer]) => [name, toLayerMetadata(layer, `${path}.${name}`, form)]),
  );
}

function toLayerMetadata(raw: unknown, path: string, { member, data: toData }: Form): LayerMetadata {
  const { data: rawData, metadata: rawMetadata, ...types } = isTable(raw) ? raw : {};
  const { success, output, issues } = v.safeParse(layerSchema, isTable(raw) ? mapTable(types, member) : raw);
  if (!success) throw new Error(describeParseError(new v.ValiError(issues), { path }));
  const data = rawMetadata ?? rawData;
  return { ...output, data: data === undefined ? knownData(undefined) : toData(data) };
}

/** The metadata of one buildpack; of several entries with the same id the first one counts. */
export function buildpackMetadata(image: ImageMetadata, id: string): BuildpackMetadata | undefined {
  return image.buildpacks.find((buildpack) => buildpack.id === id);
}
