import { join, normalize, relative } from "node:path";
import { readWhole } from "../disk/read-file.ts";
import { hasCode } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import { configBytes, type ImageConfig, parseConfig } from "../oci/config.ts";
import { digestOf } from "../oci/digest.ts";
import { ManifestError } from "../oci/document.ts";
import { type Descriptor, type Manifest, manifestBytes, mediaTypes, parseManifest } from "../oci/manifest.ts";
import { findManifest } from "../oci/members.ts";
import { ownPlatform } from "../oci/platform.ts";
import { parseReference } from "../oci/reference.ts";
import { quote } from "../text.ts";
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
 * a layout counts, whatever it is for; of several the one for linux and this machine's architecture. Its reference is `<path>@<digest>`, which the
 * exporter parses. Throws RestorerErrors.
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
  const index = parseManifest(readWhole(join(path, "index.json"), manifestBytes), mediaTypes.ociIndex);
  if (index.kind !== "index") throw new Error("its index.json is not an index");
  const { document, manifest } = await findManifest(
    { content: index, digest: "" },
    {
      platform: ownPlatform(),
      otherwise: "only",
      read: async (member) => ({
        content: parseManifest(readBlob(path, member, manifestBytes), member.mediaType),
        digest: member.digest,
      }),
      platformOf: async (_, image) => readConfig(path, image),
      isUnusable: (error) => error instanceof ManifestError || hasCode(error, "ENOENT"),
    },
  );
  return { digest: document.digest, manifest };
}

function readConfig(path: string, { config }: Manifest): ImageConfig {
  return parseConfig(readBlob(path, config, configBytes));
}

function readBlob(path: string, { digest, size }: Descriptor, limit: number): Uint8Array {
  const bytes = readWhole(join(path, "blobs", ...digest.split(":")), Math.min(size, limit));
  const actual = digestOf(bytes);
  if (actual !== digest) throw new Error(`the blob ${digest} has the digest ${actual}`);
  return bytes;
}
