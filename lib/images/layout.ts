import { join, normalize, relative } from "node:path";
import { readWhole } from "../disk/read-file.ts";
import { errorCode, RestorerError } from "../errors.ts";
import {
  type Descriptor,
  type ImageConfig,
  type Manifest,
  manifestBytes,
  mediaTypes,
  ownArchitecture,
  parseConfig,
  parseManifest,
  selectPlatform,
} from "../oci/manifest.ts";
import { parseReference } from "../oci/reference.ts";
import { quote } from "../text.ts";
import type { KnownImage } from "./known-image.ts";

/** Bytes a config may have. */
const configBytes = 16 * 1024 * 1024;

/** An image below the layout directory that does not exist, or cannot be read. */
class LayoutError extends RestorerError {
  readonly notFound: boolean;

  constructor(message: string, cause: unknown) {
    super(message, { cause, hint: "Images are looked for at <layout-dir>/<registry>/<repository>/<tag>." });
    this.notFound = errorCode(cause) === "ENOENT";
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
 * Looks at an image in OCI layout format (OCI image specification, "Image Layout"), every digest verified. Of several in
 * one layout the one for linux and this machine's architecture counts. Its reference is `<path>@<digest>`, which the
 * exporter parses. Throws RestorerErrors.
 */
export function readLayoutImage(layoutDir: string, name: string): KnownImage {
  const path = layoutPath(layoutDir, name);
  const { digest, manifest } = reading(path, () => readManifest(path));
  return {
    reference: `${path}@${digest}`,
    config: async () => reading(path, () => readConfig(path, manifest)),
  };
}

function reading<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new LayoutError(`failed to read the OCI layout ${quote(path)}`, error);
  }
}

function readManifest(path: string): { digest: string; manifest: Manifest } {
  let digest = "";
  let document = parseManifest(readWhole(join(path, "index.json"), manifestBytes), mediaTypes.ociIndex);
  // An index may hold an index; three levels are more than anybody has seen.
  for (let level = 0; document.kind === "index"; level++) {
    if (level === 3) throw new Error("too many indexes inside each other");
    const [first, ...others] = document.manifests;
    if (first === undefined) throw new Error("its index.json lists no image");
    const member =
      others.length === 0 ? first : selectPlatform(document, { os: "linux", architecture: ownArchitecture() });
    digest = member.digest;
    document = parseManifest(readBlob(path, member, manifestBytes), member.mediaType);
  }
  if (digest === "") throw new Error("its index.json is not an index");
  return { digest, manifest: document };
}

function readConfig(path: string, { config }: Manifest): ImageConfig {
  return parseConfig(readBlob(path, config, configBytes));
}

function readBlob(path: string, { digest, size }: Descriptor, limit: number): Uint8Array {
  const bytes = readWhole(join(path, "blobs", ...digest.split(":")), Math.min(size, limit));
  const actual = `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
  if (actual !== digest) throw new Error(`the blob ${digest} has the digest ${actual}`);
  return bytes;
}
