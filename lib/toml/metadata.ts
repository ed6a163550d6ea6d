import * as v from "valibot";
import { lazily } from "../lazily.ts";
import { limits, refuseMore } from "../limits.ts";
import { knownData, type LayerData, unusableData } from "./layer-data.ts";
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
  /**
   * Why what is recorded of it cannot be used: something is not of the right kind. That counts as absent, but `cache` as true.
   */
  readonly problem?: string;
}

/** What an earlier build recorded of a buildpack. */
export interface BuildpackMetadata {
  readonly id: string;
  /** Its version, as far as recorded. */
  readonly version: string | undefined;
  readonly layers: ReadonlyMap<string, LayerMetadata>;
  /** The content of store.toml's `[metadata]`. */
  readonly store: LayerData | undefined;
  /** Why what is recorded of it cannot be used; it has no layers then. */
  readonly problem?: string;
}

/** The metadata of a cache, or of an app image (which has no cached SBOM layer). */
export interface ImageMetadata {
  readonly buildpacks: readonly BuildpackMetadata[];
  /** What is recorded as the diffID of the cache's SBOM layer, unchecked; undefined where nothing is. */
  readonly sbom: string | undefined;
  /** What is wrong with entries of which nobody knows whose they are, each with its place. */
  readonly problems: readonly string[];
}

/** Of an image or cache that records nothing. */
export const noMetadata: ImageMetadata = { buildpacks: [], sbom: undefined, problems: [] };

// valibot takes an array for an object.
const object = v.custom<TomlTable>(isTable, "an object");

/** Of what a first build has none of. */
const schemas = lazily(() => {
  // Exporters write an empty text where there is none.
  const sha = v.pipe(
    v.nullish(v.string(), ""),
    v.transform((text) => (text === "" ? undefined : text)),
  );
  const flag = v.nullish(v.boolean(), false);
  // A custom check, since valibot's record drops keys such as `constructor`, which are fine names of layers.
  const table = v.custom<TomlTable>(isTable, "a table of layers");
  return {
    buildpack: v.object({
      key: v.nullish(v.string(), ""),
      version: v.fallback(v.optional(v.string()), undefined),
      layers: v.nullish(table, {}),
    }),
    layer: v.object({ sha, build: flag, launch: flag, cache: flag }),
    /** As `layer`, of one with a problem. */
    oddLayer: v.object({
      sha: v.fallback(sha, undefined),
      build: v.fallback(flag, false),
      launch: v.fallback(flag, false),
      cache: v.fallback(flag, true),
    }),
    sbom: v.object({ sha }),
  };
});

const metadataSchema = v.object({
  buildpacks: v.nullish(v.array(v.unknown()), []),
  sbom: v.optional(v.unknown()),
});

/** How the values of a layer, its data and a store are read where not all of them have been parsed. */
interface Form {
  readonly member: (value: TomlValue) => TomlValue;
  readonly data: (value: TomlValue) => LayerData;
  readonly store: (value: TomlValue) => LayerData;
}

const parsed: Form = { member: (value) => value, data: knownData, store: knownData };

/**
 * Reads layer metadata in either form: TOML (analyzed.toml `[metadata]`, layer data in `metadata`) or JSON (image labels
 * and a volume cache's metadata file, layer data in `data`). What is wrong with one layer, buildpack or store costs no more
 * than that. Throws Errors where it is something else altogether, and for more buildpacks or layers than any build has.
 */
export function toImageMetadata(raw: unknown, form = parsed): ImageMetadata {
  const { buildpacks, sbom } = v.parse(metadataSchema, v.parse(object, raw), { abortEarly: true });
  refuseMore(buildpacks.length, limits.buildpacks, "buildpack");
  let layers = 0;
  for (const buildpack of buildpacks) layers += countLayers(buildpack);
  refuseMore(layers, limits.layers, "layer");
  const problems: string[] = [];
  const known: BuildpackMetadata[] = [];
  let at = 0;
  for (const buildpack of buildpacks) {
    // Null is absent.
    const read = buildpack === null ? undefined : toBuildpack(buildpack, form);
    if (typeof read === "string") problems.push(`buildpacks.${at}${read}`);
    else if (read !== undefined) known.push(read);
    at += 1;
  }
  return { sbom: toSbom(sbom), buildpacks: known, problems };
}

function countLayers(buildpack: unknown): number {
  return isTable(buildpack) && isTable(buildpack["layers"]) ? Object.keys(buildpack["layers"]).length : 0;
}

/** What is not text is not a digest: whoever wants SBOM files is told so. */
function toSbom(sbom: unknown): string | undefined {
  if (sbom === undefined || sbom === null) return undefined;
  const { success, output } = v.safeParse(schemas().sbom, isTable(sbom) ? sbom : undefined);
  return success ? output.sha : "(not text)";
}

/** What is wrong is told, behind the place of the entry, where nobody knows whose it is. */
function toBuildpack(raw: unknown, form: Form): BuildpackMetadata | string {
  if (!isTable(raw)) return `: ${problemOf(v.safeParse(object, raw))}`;
  const read = v.safeParse(schemas().buildpack, raw, { abortEarly: true });
  if (read.success) {
    const { key, version, layers } = read.output;
    return {
      id: key,
      version: version === "" ? undefined : version,
      layers: toLayers(layers, form),
      store: toStore(raw["store"], form),
    };
  }
  const id = raw["key"] ?? "";
  if (typeof id !== "string") return `.${problemOf(read)}`;
  return { id, version: undefined, layers: new Map(), store: toStore(raw["store"], form), problem: problemOf(read) };
}

function toStore(store: TomlValue | undefined, form: Form): LayerData | undefined {
  if (store === undefined || store === null) return undefined;
  if (!isTable(store)) return unusableData(problemOf(v.safeParse(object, store)));
  const content = store["metadata"] ?? store["data"];
  return content === undefined || content === null ? undefined : form.store(content);
}

function toLayers(layers: TomlTable, form: Form): ReadonlyMap<string, LayerMetadata> {
  const given = Object.entries(layers).filter(([, layer]) => layer !== null);
  return new Map(given.map(([name, layer]) => [name, toLayerMetadata(layer, form)]));
}

function toLayerMetadata(raw: TomlValue, { member, data: toData }: Form): LayerMetadata {
  if (!isTable(raw)) {
    const problem = problemOf(v.safeParse(object, raw));
    return { sha: undefined, build: false, launch: false, cache: true, data: knownData(undefined), problem };
  }
  const { data: rawData, metadata: rawMetadata, ...rest } = raw;
  const members = mapTable(rest, member);
  const content = rawMetadata ?? rawData;
  const data = content === undefined || content === null ? knownData(undefined) : toData(content);
  const read = v.safeParse(schemas().layer, members);
  if (read.success) return { ...read.output, data };
  return { ...v.parse(schemas().oddLayer, members), data, problem: problemOf(read) };
}

/** What a schema found wrong; there is something. */
function problemOf({
  issues,
}: {
  readonly issues: [v.BaseIssue<unknown>, ...v.BaseIssue<unknown>[]] | undefined;
}): string {
  return issues === undefined ? "" : describeParseError(new v.ValiError(issues));
}

/**
 * Throws an Error where something in metadata is not of the right kind. What is wrong with one part is told with its name,
 * and of a file that is a secret no name may be told that is not surely one.
 */
export function refuseOdd({ buildpacks, problems }: ImageMetadata): void {
  const isOdd = ({ layers, problem }: BuildpackMetadata) =>
    problem !== undefined || [...layers.values()].some((layer) => layer.problem !== undefined);
  if (problems.length > 0 || buildpacks.some(isOdd)) throw new Error("something in it is not of the right kind");
}

/** The metadata of one buildpack; of several entries with the same id the first one counts. */
export function buildpackMetadata(image: ImageMetadata, id: string): BuildpackMetadata | undefined {
  for (const buildpack of image.buildpacks) if (buildpack.id === id) return buildpack;
  return undefined;
}
