import { closeSync, linkSync, openSync, renameSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Directory, makeDirectories } from "../disk/directory.ts";
import { Staging, sweepStaging } from "../disk/staging.ts";
import { hasCode } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import type { Log } from "../log.ts";
import type { Descriptor } from "../oci/manifest.ts";
import { formatReference } from "../oci/reference.ts";
import type { Registry, RemoteImage } from "../registry/registry.ts";
import { count, formatBytes, quote } from "../text.ts";
import { isComplete, layoutFiles } from "./kaniko-layout.ts";
import { inParallel } from "./parallel.ts";

/** Blobs fetched side by side; a registry rarely gives more to more. */
const concurrency = 3;

export interface KanikoOptions {
  readonly kanikoDir: string;
  readonly umask: number;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** The directory where the extender looks for the images it extends. */
export interface Kaniko {
  /**
   * Saves a complete image as an OCI layout at `<kaniko>/cache/base/<manifest digest>`, the manifest's bytes unchanged and
   * every blob verified; it appears there whole or not at all. One that is there already is used again. Throws RestorerErrors.
   */
  save(image: RemoteImage, registry: Registry): Promise<void>;
}

interface Context extends KanikoOptions {
  /** Files with verified blobs of this run, by digest. */
  readonly verified: Map<string, string>;
}

/** Touches nothing before something is saved. */
export function openKaniko(options: KanikoOptions): Kaniko {
  const context = { ...options, verified: new Map<string, string>() };
  let isSwept = false;
  return {
    async save(image, registry) {
      // What is not there, or must not be read, leaves no trace.
      const { bytes: config } = await registry.config(image);
      const path = join(options.kanikoDir, "cache", "base");
      const base = onDisk(path, () => openBase(path, options.umask));
      try {
        if (!isSwept) sweepStaging(base, options.log);
        isSwept = true;
        if (isComplete(base, image)) {
          options.log.debug(`${quote(image.descriptor.digest)} is in ${quote(path)} already`);
          return;
        }
        await store(image, config, registry, base, context);
      } finally {
        base.close();
      }
    },
  };
}

function openBase(path: string, umask: number): Directory {
  makeDirectories(path, 0o777 & ~umask);
  return Directory.open(path, path, true);
}

async function store(
  image: RemoteImage,
  config: Uint8Array,
  registry: Registry,
  base: Directory,
  context: Context,
): Promise<void> {
  const { descriptor, manifest, manifestBytes, reference } = image;
  const layers = distinct(manifest.layers).filter(({ digest }) => digest !== manifest.config.digest);
  const bytes = layers.reduce((sum, { size }) => sum + size, 0);
  context.log.info(
    `Saving ${quote(formatReference(reference))} to ${base.path}: ${count(layers.length, "layer")}, ${formatBytes(bytes)}`,
  );
  const staging = onDisk(base.path, () => new Staging(base));
  try {
    const place = staging.slot();
    const blobs = join(place, "blobs", "sha256");
    const blobAt = (digest: string) => join(blobs, digest.replace("sha256:", ""));
    onDisk(base.path, () => {
      makeDirectories(blobs, 0o777 & ~context.umask);
      for (const [name, content] of layoutFiles(descriptor)) write(join(place, name), content, context);
      write(blobAt(descriptor.digest), manifestBytes, context);
      write(blobAt(manifest.config.digest), config, context);
    });
    await inParallel(layers, concurrency, async (layer, isStopped) => {
      if (linkVerified(layer, blobAt(layer.digest), context)) return;
      await fetchBlob(layer, blobAt(layer.digest), image, registry, context, isStopped);
    });
    context.signal.throwIfAborted();
    onDisk(base.path, () => publish(place, base, image, staging));
    const saved = join(base.path, descriptor.digest, "blobs", "sha256");
    for (const { digest } of layers) context.verified.set(digest, join(saved, digest.replace("sha256:", "")));
  } finally {
    staging.dispose();
  }
}

/** Blobs by digest: a manifest may list one several times. */
function distinct(blobs: readonly Descriptor[]): Descriptor[] {
  return [...new Map(blobs.map((blob) => [blob.digest, blob])).values()];
}

/** Takes a blob from another image of this run, where the file system has hard links. */
function linkVerified({ digest }: Descriptor, path: string, { verified }: Context): boolean {
  const other = verified.get(digest);
  if (other === undefined) return false;
  try {
    linkSync(other, path);
    return true;
  } catch {
    return false;
  }
}

async function fetchBlob(
  blob: Descriptor,
  path: string,
  image: RemoteImage,
  registry: Registry,
  context: Context,
  isStopped: () => boolean,
): Promise<void> {
  const fd = onDisk(context.kanikoDir, () => openSync(path, "wx", 0o666 & ~context.umask));
  try {
    const hasher = new Bun.CryptoHasher("sha256");
    let size = 0;
    for await (const chunk of registry.blob(image, blob)) {
      if (isStopped()) return;
      hasher.update(chunk);
      size += chunk.length;
      onDisk(context.kanikoDir, () => writeAll(fd, chunk));
    }
    const digest = `sha256:${hasher.digest("hex")}`;
    if (digest === blob.digest && size === blob.size) return;
    const wrong = size === blob.size ? `has the digest ${digest}` : `is ${size} bytes long instead of ${blob.size}`;
    throw new RestorerError(`the blob ${blob.digest}, as ${image.reference.registry} sends it, ${wrong}`, {
      hint: "The registry, or something between it and here, damages data: push the image again, or use a mirror.",
    });
  } finally {
    closeSync(fd);
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written);
}

function write(path: string, content: string | Uint8Array, { umask }: Context): void {
  writeFileSync(path, content, { flag: "wx", mode: 0o666 & ~umask });
}

/** Moves a layout to its place; what stands there, and is not the complete image, goes. */
function publish(layout: string, base: Directory, image: RemoteImage, staging: Staging): void {
  const place = base.at(image.descriptor.digest);
  try {
    renameSync(layout, place);
  } catch (error) {
    if (!hasCode(error, "EEXIST", "ENOTEMPTY", "ENOTDIR")) throw error;
    // Another restorer may have been as fast.
    if (isComplete(base, image)) return;
    staging.discard(place);
    renameSync(layout, place);
  }
}

function onDisk<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw new RestorerError(`write below ${quote(path)}`, {
      cause,
      hint: "The extender needs images there: give the user of the restorer a writable directory with -kaniko-dir, or CNB_KANIKO_DIR.",
    });
  }
}
