import { closeSync, fstatSync, readSync } from "node:fs";
import * as v from "valibot";
import type { Directory } from "../disk/directory.ts";
import { Digester } from "../oci/digest.ts";
import { type Descriptor, manifestBytes, mediaTypes } from "../oci/manifest.ts";
import type { RemoteImage } from "../registry/registry.ts";
import { judgeJson } from "../toml/json.ts";
import { Pauses } from "../waiting.ts";

/** The file without which nobody takes a directory for a layout (OCI image specification, "Image Layout"). */
export const indexFile = "index.json";

/** The files of an OCI image layout (OCI image specification) with one image, beside its blobs. */
export function layoutFiles({ mediaType, digest, size }: Descriptor): [name: string, content: string][] {
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [{ mediaType, digest, size }] };
  return [
    ["oci-layout", JSON.stringify({ imageLayoutVersion: "1.0.0" })],
    [indexFile, JSON.stringify(index)],
  ];
}

const marker = v.object({ imageLayoutVersion: v.literal("1.0.0") });
const index = v.object({ manifests: v.array(v.object({ digest: v.string(), size: v.number() })) });

/**
 * Whether `base` holds the complete layout of an image below its digest, every blob verified. Throws the signal's reason when
 * it is aborted meanwhile.
 */
export async function isComplete(
  base: Directory,
  { descriptor, manifest }: RemoteImage,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    using layout = base.open(descriptor.digest);
    using blobs = openBlobs(base, descriptor.digest);
    const { manifests } = v.parse(index, readJson(layout, indexFile));
    v.parse(marker, readJson(layout, "oci-layout"));
    if (manifests.length !== 1 || manifests[0]?.digest !== descriptor.digest) return false;
    const pauses = new Pauses(signal);
    for (const blob of [descriptor, manifest.config, ...manifest.layers]) {
      if (!(await hasDigest(blobs, blob, pauses))) return false;
    }
    return true;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}

/** The directory with the blobs of a layout below `base`. Throws the system's errors. */
export function openBlobs(base: Directory, layoutDigest: string): Directory {
  using layout = base.open(layoutDigest);
  using algorithms = layout.open("blobs");
  return algorithms.open("sha256");
}

/** The name of a blob in a layout. */
export function hexOf(digest: string): string {
  return digest.replace("sha256:", "");
}

function readJson(layout: Directory, name: string): unknown {
  const bytes = layout.read(name, manifestBytes);
  judgeJson(bytes);
  return JSON.parse(bytes.toString());
}

/** Whether a blob is there, whole and unchanged: somebody may have had the directory since. */
async function hasDigest(blobs: Directory, { digest, size }: Descriptor, pauses: Pauses): Promise<boolean> {
  const fd = blobs.openFile(hexOf(digest));
  try {
    if (fstatSync(fd).size !== size) return false;
    const digester = new Digester();
    const buffer = Buffer.allocUnsafe(1 << 20);
    for (let at = 0; at < size; ) {
      const length = readSync(fd, buffer, 0, buffer.length, at);
      if (length === 0) return false;
      digester.update(buffer.subarray(0, length));
      at += length;
      await pauses.pause();
    }
    return digester.digest() === digest;
  } finally {
    closeSync(fd);
  }
}
