import * as v from "valibot";
import { checkDocument, digestSchema, ManifestError, parseDocument } from "./document.ts";

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

/** Which machine an image is for, in the words of the OCI image specification. */
export interface Platform {
  readonly os: string;
  /** Absent when asking: any. */
  readonly architecture?: string | undefined;
  readonly variant?: string | undefined;
}

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
  const raw = parseDocument(documentSchema, bytes, "manifest");
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
  if (isIndex) return { kind: "index", mediaType, ...checkDocument(indexSchema, raw, "index") };
  const { config, layers } = checkDocument(manifestSchema, raw, "manifest");
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
