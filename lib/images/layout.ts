import { join, normalize, relative } from "node:path";
import { hiddenDigest, readUnlessForeign } from "../disk/read-file.ts";
import { hasCode } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import { type ImageConfig, parseConfig } from "../oci/config.ts";
import { digestOf } from "../oci/digest.ts";
import { ManifestError } from "../oci/document.ts";
import {
  configBytes,
  type Descriptor,
  type Index,
  type Manifest,
  manifestBytes,
  mediaTypes,
  type Platform,
  parseManifest,
} from "../oci/manifest.ts";
import { findManifest } from "../oci/members.ts";
import { ownPlatform } from "../oci/platform.ts";
import { parseReference } from "../oci/reference.ts";
import { quote } from "../text.ts";
import { whyNotTold } from "../toml/parse-error.ts";
import type { KnownImage } from "./known-image.ts";

/** An image below the layout directory that does not exist, or cannot be read. */
class LayoutError extends RestorerError {
  readonly notFound: boolean;

  constructor(message: string, cause: unknown) {
    super(message, { cause, hint: "Images are looked for at <layout-dir>/<registry>/<repository>/<tag>." });
    this.notFound = hasCode(cause, "ENOENT");
  }
}

/**
 * Where an image is: `<layout-dir>/<registry>/<repository>/<tag>`, or `…/sha256/<hex>` for a digest; a name that is a path
 * below the layout directory is taken as it is. Throws a RestorerError for what is neither.
 */
export function layoutPath(layoutDir: string, name: string): string {
  if (layoutDir === "") {
    throw new RestorerError("-layout does not say where images are", {
      hint: "Name their directory with -layout-dir, or CNB_LAYOUT_DIR.",
    });
  }
  const below = relative(layoutDir, name);
  if (name.startsWith(layoutDir) && below !== "" && !below.startsWith("..")) return normalize(name);
  const { registry, repository, tag = "latest", digest } = parseReference(name);
  return join(layoutDir, registry, repository, ...(digest?.split(":") ?? [tag]));
}

/**
 * Looks at an image in OCI layout format (OCI image specification, "Image Layout"), every digest verified. The only one in
 * a layout counts, whatever it is for; of several the one for linux and this machine's architecture. Its reference is
 * `<path>@<digest>`, which the exporter parses. Throws RestorerErrors.
 */
export async function readLayoutImage(layoutDir: string, name: string): Promise<KnownImage> {
  const path = layoutPath(layoutDir, name);
  const { digest, manifest } = await reading(path, () => readManifest(path));
  return {
    reference: `${path}@${digest}`,
    config: () => reading(path, () => readConfig(path, manifest)),
  };
}

async function reading<T>(path: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw new LayoutError(`failed to read the OCI layout ${quote(path)}`, error);
  }
}

async function readManifest(path: string): Promise<{ digest: string; manifest: Manifest }> {
  const { digest, manifest } = await findInLayout(path, readIndex(path).index, "only");
  return { digest, manifest };
}

/** An image in an OCI layout, every digest of its documents verified. */
interface LaidOutImage {
  readonly digest: string;
  readonly manifest: Manifest;
  readonly platform?: Platform | undefined;
  readonly config: ImageConfig;
}

/**
 * The image of an OCI layout, or of a tag in it; of several the one for this machine, else one of the same system.
 * Undefined where nothing has the tag. Throws the system's errors and ManifestErrors.
 */
export async function openLayoutImage(path: string, tag: string | undefined): Promise<LaidOutImage | undefined> {
  const { index } = readIndex(path);
  const manifests = index.manifests.filter(({ refName }) => tag === undefined || refName === tag);
  if (manifests.length === 0 && tag !== undefined) return undefined;
  const { digest, manifest, platform } = await findInLayout(path, { ...index, manifests }, "same-os");
  return { digest, manifest, platform, config: readConfig(path, manifest) };
}

/** The tags of an OCI layout; undefined where they must not be told. Throws as `openLayoutImage` does. */
export function layoutTags(path: string): readonly string[] | undefined {
  const { index, isSecret } = readIndex(path);
  if (isSecret) return undefined;
  return index.manifests.flatMap(({ refName }) => (refName === undefined ? [] : [refName]));
}

/** Where a blob of an OCI layout lies. */
export function layoutBlobPath(path: string, digest: string): string {
  return join(path, "blobs", ...digest.split(":"));
}

function readIndex(path: string): { readonly index: Index; readonly isSecret: boolean } {
  const { bytes, isSecret } = readUnlessForeign(join(path, "index.json"), manifestBytes);
  try {
    const index = parseManifest(bytes, mediaTypes.ociIndex);
    if (index.kind !== "index") throw new Error("its index.json is not an index");
    return { index, isSecret };
  } catch (error) {
    throw isSecret ? new Error(`its index.json cannot be used, and ${whyNotTold}`) : error;
  }
}

interface Document {
  readonly content: Manifest | Index;
  readonly digest: string;
}

async function findInLayout(path: string, index: Index, otherwise: "only" | "same-os") {
  const start: Document = { content: index, digest: "" };
  const { document, manifest, platform } = await findManifest(start, {
    platform: ownPlatform(),
    otherwise,
    read: async (member) => ({
      content: parseManifest(readBlob(path, member, manifestBytes), member.mediaType),
      digest: member.digest,
    }),
    platformOf: async (_, image) => readConfig(path, image),
    // What is wrong with the only one says more than that there is no other.
    isUnusable: (error) => index.manifests.length > 1 && isPassedOver(error),
  });
  return { digest: document.digest, manifest, platform };
}

function isPassedOver(error: unknown): boolean {
  return error instanceof ManifestError || hasCode(error, "ENOENT");
}

function readConfig(path: string, { config }: Manifest): ImageConfig {
  return parseConfig(readBlob(path, config, configBytes));
}

function readBlob(path: string, { digest, size }: Descriptor, limit: number): Uint8Array {
  const read = () => readUnlessForeign(layoutBlobPath(path, digest), Math.min(size, limit));
  const { bytes, isSecret } = orMissing(digest, read);
  const actual = digestOf(bytes);
  if (actual !== digest) throw new Error(`the blob ${digest} has ${isSecret ? hiddenDigest : `the digest ${actual}`}`);
  return bytes;
}

/** What is read of a blob; where there is none the error says so, with the system's code. */
function orMissing<T>(digest: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
    throw Object.assign(new Error(`its blob ${digest} is missing`), { code: "ENOENT" });
  }
}
