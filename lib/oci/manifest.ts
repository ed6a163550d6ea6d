import * as v from "valibot";
import { describe } from "../errors.ts";
import { optionalText } from "../lenient.ts";
import { quote } from "../text.ts";
import { checkDocument, digestSchema, ManifestError, parseDocument } from "./document.ts";

/** Bytes a manifest or index may have; the distribution specification lets registries refuse larger ones. */
export const manifestBytes = 4 * 1024 * 1024;

/** Bytes a config may have: with long histories and labels they reach a few hundred KiB. */
export const configBytes = 16 * 1024 * 1024;

/** Media types of the documents we read (OCI image specification; Docker image manifest version 2, schema 2). */
export const mediaTypes = {
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
} as const;

const manifestTypes: readonly string[] = [mediaTypes.ociManifest, mediaTypes.dockerManifest];
const indexTypes: readonly string[] = [mediaTypes.ociIndex, mediaTypes.dockerList];

/** Whether a manifest's config has the type of an image's, or none; others are about something else. */
export function isImageConfig(mediaType: string): boolean {
  return (
    mediaType === "" || /^application\/vnd\.(oci\.image\.config|docker\.container\.image)\.v1\+json$/.test(mediaType)
  );
}

/** What to ask a registry for. */
export const acceptManifests = [...manifestTypes, ...indexTypes].join(", ");

/** Which machine an image is for, in the words of the OCI image specification. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
}

const sizeSchema = v.pipe(v.number(), v.safeInteger("a whole number"), v.minValue(0, "a size in bytes"));
const descriptorSchema = v.object({ mediaType: optionalText, digest: digestSchema, size: sizeSchema });

/** Of a document, which its digest vouches for: where no size is said, it may have as many bytes as any. */
const documentDescriptor = (largest: number) => ({
  ...descriptorSchema.entries,
  size: v.fallback(sizeSchema, largest),
});

/** Where a document or blob is, and how many bytes it has. */
export interface Descriptor {
  readonly mediaType: string;
  /** `sha256:<64 lower-case hexadecimal digits>` */
  readonly digest: string;
  readonly size: number;
}

/** A layer in a manifest. */
export interface Layer extends Descriptor {
  /** Why its blob cannot be had, in words; the rest means nothing then. What is wrong with one layer spoils no other. */
  readonly unusable?: string;
}

const manifestSchema = v.object({
  config: v.object(documentDescriptor(configBytes)),
  layers: v.nullish(v.array(v.unknown()), []),
});

const platformSchema = v.object({ os: optionalText, architecture: optionalText, variant: optionalText });
const memberSchema = v.object({
  ...documentDescriptor(manifestBytes),
  platform: v.fallback(v.optional(platformSchema), undefined),
  artifactType: optionalText,
  annotations: v.fallback(v.record(v.string(), v.unknown()), {}),
});
const indexSchema = v.object({ manifests: v.nullish(v.array(v.unknown()), []) });

/** The manifest of an image for one platform. */
export interface Manifest {
  readonly kind: "manifest";
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Layer[];
}

/** An entry of an index. */
export interface Member extends Descriptor {
  /** What the index says of it, if anything. */
  readonly platform?: Platform | undefined;
  /** The tag that an image layout gives it (`org.opencontainers.image.ref.name`). */
  readonly refName?: string | undefined;
  /** It is about another member: its provenance, its SBOM, its signature. */
  readonly isAttestation: boolean;
}

/** An image index, or Docker manifest list: images for several platforms. */
export interface Index {
  readonly kind: "index";
  readonly mediaType: string;
  /** Those that can be told apart by a digest. */
  readonly manifests: readonly Member[];
}

const documentSchema = v.looseObject({ schemaVersion: v.optional(v.unknown()), mediaType: optionalText });

/**
 * Reads a manifest or index. `contentType` is the type the registry (or a descriptor) gave, used where the document does
 * not name its own. Null is absent, and a field that we do not need may hold anything. Throws a ManifestError, also for
 * Docker's schema 1 and for a document that could be read as both (CVE-2021-41190).
 */
export function parseManifest(bytes: Uint8Array, contentType = ""): Manifest | Index {
  if (bytes.length > manifestBytes) throw new ManifestError(`the manifest is larger than ${manifestBytes} bytes`);
  const raw = parseDocument(documentSchema, bytes, "manifest");
  const declared = raw.mediaType || (contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "");
  if (raw.schemaVersion === 1 || declared.startsWith("application/vnd.docker.distribution.manifest.v1+")) {
    throw new ManifestError(
      "the image has a manifest of Docker's schema 1, which is no longer supported; push it again",
    );
  }
  const has = (key: string) => raw[key] !== undefined && raw[key] !== null;
  const isManifest = has("layers") || has("config");
  const isIndex = has("manifests") || (!isManifest && "manifests" in raw);
  if (isIndex && isManifest) throw new ManifestError("the document has both manifests and layers");
  if (!isIndex && !isManifest) throw new ManifestError("the document is neither a manifest nor an index");
  const mediaType = agreedType(declared, raw.mediaType !== "", isIndex);
  if (isIndex) {
    const { manifests } = checkDocument(indexSchema, raw, "index");
    return { kind: "index", mediaType, manifests: manifests.flatMap(readMember) };
  }
  const { config, layers } = checkDocument(manifestSchema, raw, "manifest");
  return { kind: "manifest", mediaType, config, layers: layers.map(readLayer) };
}

/** An entry of an index; nothing where it has no digest that we know. */
function readMember(raw: unknown): Member[] {
  const parsed = v.safeParse(memberSchema, raw);
  if (!parsed.success) return [];
  const { annotations, artifactType, platform, ...descriptor } = parsed.output;
  const name = annotations["org.opencontainers.image.ref.name"];
  const refName = typeof name === "string" ? name : undefined;
  const isUnknown = platform?.os === "unknown" && platform.architecture === "unknown";
  const isAbout = typeof annotations["vnd.docker.reference.type"] === "string";
  const isAttestation = isUnknown || isAbout || !isImageConfig(artifactType);
  return [{ ...descriptor, platform, refName, isAttestation }];
}

function readLayer(raw: unknown): Layer {
  try {
    const layer = checkDocument(descriptorSchema, raw, "descriptor of the layer");
    if (!/\.(foreign|nondistributable)\./.test(layer.mediaType)) return layer;
    return { ...layer, unusable: `foreign layers (${quote(layer.mediaType.slice(0, 100))}) are not supported` };
  } catch (error) {
    return { mediaType: "", digest: "", size: 0, unusable: describe(error) };
  }
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
