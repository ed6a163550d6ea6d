import { createHash } from "node:crypto";
import { gzipSync, zstdCompressSync } from "node:zlib";

export interface TestImage {
  readonly mediaType: string;
  readonly bytes: Uint8Array;
  readonly digest: string;
  readonly blobs: ReadonlyMap<string, Uint8Array>;
  /** Of an index. */
  readonly members: readonly TestImage[];
}

export interface TestImageOptions {
  /** Uncompressed. */
  readonly layers?: readonly Uint8Array[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly compression?: "gzip" | "zstd" | "none";
  readonly format?: "oci" | "docker";
  readonly architecture?: string;
  readonly variant?: string;
  /** Changes the config before it is serialised: `(config) => ({ ...config, rootfs: {} })`. */
  readonly editConfig?: (config: Record<string, unknown>) => unknown;
  readonly editManifest?: (manifest: Record<string, unknown>) => unknown;
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** JSON as bytes. */
export const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const keep = (value: Record<string, unknown>): unknown => value;

/** An image in memory: config, layers, and a manifest in either format. */
export function testImage(options: TestImageOptions = {}): TestImage {
  const { layers = [], compression = "gzip", format = "oci", editConfig = keep, editManifest = keep } = options;
  const blobs = new Map<string, Uint8Array>();
  const add = (mediaType: string, bytes: Uint8Array) => {
    const digest = digestOf(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const prefix = format === "oci" ? "application/vnd.oci.image" : "application/vnd.docker";
  const config = {
    os: "linux",
    architecture: options.architecture ?? "amd64",
    ...(options.variant === undefined ? {} : { variant: options.variant }),
    config: { Labels: options.labels ?? {} },
    rootfs: { type: "layers", diff_ids: layers.map(digestOf) },
  };
  const mediaType = format === "oci" ? `${prefix}.manifest.v1+json` : `${prefix}.distribution.manifest.v2+json`;
  const configType = format === "oci" ? `${prefix}.config.v1+json` : `${prefix}.container.image.v1+json`;
  const manifest = {
    schemaVersion: 2,
    mediaType,
    config: add(configType, encode(editConfig(config))),
    layers: layers.map((layer) => add(layerType(format, compression), compress(layer, compression))),
  };
  const bytes = encode(editManifest(manifest));
  return { mediaType, bytes, digest: digestOf(bytes), blobs, members: [] };
}

function layerType(format: "oci" | "docker", compression: "gzip" | "zstd" | "none"): string {
  if (format === "docker")
    return `application/vnd.docker.image.rootfs.diff.tar${compression === "gzip" ? ".gzip" : ""}`;
  return `application/vnd.oci.image.layer.v1.tar${compression === "none" ? "" : `+${compression}`}`;
}

function compress(bytes: Uint8Array, compression: "gzip" | "zstd" | "none"): Uint8Array {
  if (compression === "none") return bytes;
  return compression === "gzip" ? gzipSync(bytes) : zstdCompressSync(bytes);
}

/** An index over images, with what it says of their platforms, if anything. */
export function testIndex(
  members: readonly { readonly image: TestImage; readonly platform?: object | null }[],
): TestImage {
  const mediaType = "application/vnd.oci.image.index.v1+json";
  const manifests = members.map(({ image, platform }) => ({
    mediaType: image.mediaType,
    digest: image.digest,
    size: image.bytes.length,
    platform,
  }));
  const bytes = encode({ schemaVersion: 2, mediaType, manifests });
  return { mediaType, bytes, digest: digestOf(bytes), blobs: new Map(), members: members.map(({ image }) => image) };
}
