import * as v from "valibot";
import { isDigest } from "./reference.ts";

/** Bytes a manifest or index may have; the distribution specification lets registries refuse larger ones. */
export const manifestBytes = 4 * 1024 * 1024;

/** Media types of the documents we read (OCI image specification; Docker image manifest version 2, schema 2). */
export const mediaTypes = {
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
} as const;

const manifestTypes: readonly string[] = [mediaTypes.ociManifest, mediaTypes.dockerManifest];
const indexTypes: readonly string[] = [mediaTypes.ociIndex, mediaTypes.dockerList];

/** What to ask a registry for. */
export const acceptManifests = [...manifestTypes, ...indexTypes].join(", ");

/** A manifest, index or config that is not what the specifications say; the message tells where. */
export class ManifestError extends Error {
  override readonly name = "ManifestError";

  constructor(message: string, options?: ErrorOptions) {
    // It may quote the document, which can hold anything.
    super(message.replace(/[\x00-\x1f\x7f]+/g, " ").slice(0, 500), options);
  }
}

/** Which machine an image is for, in the words of the OCI image specification. */
export interface Platform {
  readonly os: string;
  /** Absent when asking: any. */
  readonly architecture?: string | undefined;
  readonly variant?: string | undefined;
}

const digestSchema = v.pipe(v.string(), v.check(isDigest, "not a sha256 digest"));
const sizeSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const noUrls = v.nullish(v.pipe(v.array(v.string()), v.maxLength(0, "foreign layers (urls) are not supported")));

const descriptorSchema = v.object({
  mediaType: v.string(),
  digest: digestSchema,
  size: sizeSchema,
});
const layerSchema = v.object({ ...descriptorSchema.entries, urls: noUrls });

/** Where a document or blob is, and how many bytes it has. */
export interface Descriptor {
  readonly mediaType: string;
  /** `sha256:<64 lower-case hexadecimal digits>` */
  readonly digest: string;
  readonly size: number;
}

const manifestSchema = v.object({ config: descriptorSchema, layers: v.nullish(v.array(layerSchema), []) });

const platformSchema = v.object({
  os: v.optional(v.string(), ""),
  architecture: v.optional(v.string(), ""),
  variant: v.optional(v.string(), ""),
});
const indexSchema = v.object({
  manifests: v.array(v.object({ ...descriptorSchema.entries, platform: v.nullish(platformSchema) })),
});

/** The manifest of an image for one platform. */
export interface Manifest {
  readonly kind: "manifest";
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** An image index, or Docker manifest list: images for several platforms. */
export interface Index {
  readonly kind: "index";
  readonly mediaType: string;
  readonly manifests: readonly (Descriptor & { readonly platform?: Platform | null | undefined })[];
}

const documentSchema = v.looseObject({
  schemaVersion: v.optional(v.number()),
  mediaType: v.optional(v.string()),
});

/**
 * Reads a manifest or index. `contentType` is the type the registry (or a descriptor) gave, used where the document does
 * not name its own. Throws a ManifestError, also for Docker's schema 1 and for a document that could be read as both
 * (CVE-2021-41190).
 */
export function parseManifest(bytes: Uint8Array, contentType = ""): Manifest | Index {
  if (bytes.length > manifestBytes) throw new ManifestError(`the manifest is larger than ${manifestBytes} bytes`);
  const raw = parse(documentSchema, parseJson(bytes, "manifest"), "manifest");
  const declared = raw.mediaType ?? contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (raw.schemaVersion === 1 || declared.startsWith("application/vnd.docker.distribution.manifest.v1+")) {
    throw new ManifestError(
      "the image has a manifest of Docker's schema 1, which is no longer supported; push it again",
    );
  }
  const isIndex = "manifests" in raw;
  if (isIndex && ("layers" in raw || "config" in raw)) {
    throw new ManifestError("the document has both manifests and layers");
  }
  if (!isIndex && !("layers" in raw)) throw new ManifestError("the document is neither a manifest nor an index");
  const mediaType = agreedType(declared, raw.mediaType !== undefined, isIndex);
  if (isIndex) return { kind: "index", mediaType, ...parse(indexSchema, raw, "index") };
  const { config, layers } = parse(manifestSchema, raw, "manifest");
  for (const { mediaType: type } of layers) {
    if (/\.(foreign|nondistributable)\./.test(type))
      throw new ManifestError(`foreign layers (${type}) are not supported`);
  }
  return { kind: "manifest", mediaType, config, layers: layers.map(({ urls, ...descriptor }) => descriptor) };
}

/** The document's media type; a type that contradicts its shape is refused, a merely generic header is not. */
function agreedType(declared: string, ownWord: boolean, isIndex: boolean): string {
  const [fitting, other] = isIndex ? [indexTypes, manifestTypes] : [manifestTypes, indexTypes];
  if (fitting.includes(declared)) return declared;
  if (other.includes(declared) || ownWord) {
    throw new ManifestError(`the media type ${declared} does not fit ${isIndex ? "an index" : "a manifest"}`);
  }
  return isIndex ? mediaTypes.ociIndex : mediaTypes.ociManifest;
}

/**
 * The member of an index for a platform: operating system and architecture must agree. Of several variants the one asked
 * for is taken, else one without a variant, else the first listed; of any architecture, the first listed.
 * Throws a ManifestError that lists what there is.
 */
export function selectPlatform(index: Index, { os, architecture, variant = "" }: Platform): Descriptor {
  const any = architecture === undefined;
  const fitting = index.manifests.filter(
    ({ platform }) => platform?.os === os && (any || platform.architecture === architecture),
  );
  const withVariant = (wanted: string) =>
    fitting.find((m) => normalVariant(architecture, m.platform?.variant) === normalVariant(architecture, wanted));
  const found = (any ? undefined : (withVariant(variant) ?? withVariant(""))) ?? fitting[0];
  if (found === undefined) {
    const there = index.manifests.slice(0, 20).map(({ platform }) => showPlatform(platform));
    throw new ManifestError(
      `the image has no member for ${showPlatform({ os, architecture, variant })}, only for ${there.join(", ") || "nothing"}`,
    );
  }
  return { mediaType: found.mediaType, digest: found.digest, size: found.size };
}

/** `v8` is what every arm64 is, and `v1` every amd64; both are left out as often as not. */
function normalVariant(architecture: string | undefined, variant = ""): string {
  if (architecture === "arm64" && variant === "v8") return "";
  return architecture === "amd64" && variant === "v1" ? "" : variant;
}

function showPlatform(platform: Platform | null | undefined): string {
  if (!platform) return "unknown";
  return [platform.os, platform.architecture, platform.variant].filter((part) => part).join("/") || "unknown";
}

const labels = v.pipe(
  v.custom<Record<string, unknown>>((value) => typeof value === "object" && value !== null && !Array.isArray(value)),
  // Not v.record: it drops names such as `__proto__`.
  v.transform((table) => new Map(Object.entries(table))),
  v.map(v.string(), v.string()),
);

const configSchema = v.object({
  os: v.nullish(v.string(), ""),
  architecture: v.nullish(v.string(), ""),
  variant: v.nullish(v.string(), ""),
  config: v.nullish(v.object({ Labels: v.nullish(labels) })),
  rootfs: v.nullish(v.object({ diff_ids: v.nullish(v.array(digestSchema), []) }), { diff_ids: [] }),
});

/** What an image's config says that we need. */
export interface ImageConfig {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string;
  readonly labels: ReadonlyMap<string, string>;
  /** Digests of the uncompressed layers, in the order of the manifest's. */
  readonly diffIds: readonly string[];
}

/** Reads the config of an image, Docker's or OCI's. Throws a ManifestError. */
export function parseConfig(bytes: Uint8Array): ImageConfig {
  const { os, architecture, variant, config, rootfs } = parse(configSchema, parseJson(bytes, "config"), "config");
  return { os, architecture, variant, labels: config?.Labels ?? new Map(), diffIds: rootfs.diff_ids };
}

/** Which blob holds the layer of which diffID. Throws a ManifestError when manifest and config count differently. */
export function layersByDiffId(manifest: Manifest, config: ImageConfig): Map<string, Descriptor> {
  if (manifest.layers.length !== config.diffIds.length) {
    throw new ManifestError(
      `the manifest has ${manifest.layers.length} layers, the config ${config.diffIds.length} diffIDs`,
    );
  }
  const result = new Map<string, Descriptor>();
  for (const [position, layer] of manifest.layers.entries()) {
    const diffId = config.diffIds[position];
    if (diffId !== undefined && !result.has(diffId)) result.set(diffId, layer);
  }
  return result;
}

function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new ManifestError(`the ${what} is not JSON`, { cause });
  }
}

function parse<const S extends v.GenericSchema>(schema: S, raw: unknown, what: string): v.InferOutput<S> {
  const result = v.safeParse(schema, raw);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = v.getDotPath(issue);
  throw new ManifestError(`the ${what} is malformed: ${path === null ? "" : `${path}: `}${issue.message}`);
}

/** This machine's architecture in the words of the OCI image specification, which are Go's. */
export function ownArchitecture(): string {
  const names: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };
  return names[process.arch] ?? process.arch;
}
