import { closeSync } from "node:fs";
import { join } from "node:path";
import { refuseInCache } from "../disk/cache-places.ts";
import type { Directory } from "../disk/directory.ts";
import { openOrMakeNested } from "../disk/nested.ts";
import { type Slot, Staging, sweepStaging } from "../disk/staging.ts";
import { writeAll } from "../disk/write.ts";
import { hasCode } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import type { Log } from "../log.ts";
import { Digester } from "../oci/digest.ts";
import type { Descriptor } from "../oci/manifest.ts";
import { formatReference } from "../oci/reference.ts";
import type { Registry, RemoteImage } from "../registry/registry.ts";
import { count, formatBytes, quote } from "../text.ts";
import { Pauses } from "../waiting.ts";
import { moveInPlace } from "./kaniko-in-place.ts";
import { hexOf, isComplete, layoutFiles, openBlobs } from "./kaniko-layout.ts";
import { inParallel } from "./parallel.ts";

/** Blobs fetched side by side; a registry rarely gives more to more. */
const concurrency = 3;

/** Where images are saved, and how. */
interface KanikoOptions {
  readonly kanikoDir: string;
  /** Others write there: no link in it leads to the kaniko directory. */
  readonly layersDir: string;
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

/** An image on its way to the disk. */
interface Saving extends KanikoOptions {
  readonly image: RemoteImage;
  readonly registry: Registry;
  /** Where layouts stand. */
  readonly base: Directory;
  /** The layouts with verified blobs of this run, by the digests of those blobs. */
  readonly verified: Map<string, string>;
}

/** Touches nothing before something is saved. */
export function openKaniko(options: KanikoOptions): Kaniko {
  const verified = new Map<string, string>();
  let isSwept = false;
  return {
    async save(image, registry) {
      const broken = image.manifest.layers.find(({ unusable }) => unusable !== undefined);
      if (broken?.unusable !== undefined) throw new RestorerError(broken.unusable);
      // What is not there, or must not be read, leaves no trace.
      const { bytes: config } = await registry.config(image);
      const path = join(options.kanikoDir, "cache", "base");
      const base = onDisk(path, () => openBase(options));
      try {
        if (!isSwept) sweepStaging(base, options.log);
        isSwept = true;
        if (await isComplete(base, image, options.signal)) {
          options.log.debug(`${quote(image.descriptor.digest)} is in ${quote(path)} already`);
          return;
        }
        await store({ ...options, image, registry, base, verified }, config);
      } finally {
        base.close();
      }
    },
  };
}

/** `<kaniko>` may be a link, to a volume perhaps; below it none is followed. */
function openBase({ kanikoDir, layersDir, umask }: KanikoOptions): Directory {
  const mode = 0o777 & ~umask;
  using root = openOrMakeNested(kanikoDir, [layersDir], mode);
  refuseInCache(root);
  using cache = root.openOrMake("cache", mode);
  return cache.openOrMake("base", mode);
}

async function store(saving: Saving, config: Uint8Array): Promise<void> {
  const { base, umask, log, signal, verified } = saving;
  const { descriptor, manifest, manifestBytes, reference } = saving.image;
  const layers = distinct(manifest.layers).filter(({ digest }) => digest !== manifest.config.digest);
  const bytes = layers.reduce((sum, { size }) => sum + size, 0);
  log.info(
    `Saving ${quote(formatReference(reference))} to ${base.path}: ${count(layers.length, "layer")}, ${formatBytes(bytes)}`,
  );
  const staging = onDisk(base.path, () => new Staging(base));
  try {
    const slot = staging.slot();
    using blobs = onDisk(base.path, () => {
      const directories = 0o777 & ~umask;
      using place = staging.directory.openOrMake(slot.name, directories);
      for (const [name, content] of layoutFiles(descriptor)) write(place, name, content, umask);
      using algorithms = place.openOrMake("blobs", directories);
      return algorithms.openOrMake("sha256", directories);
    });
    onDisk(base.path, () => {
      write(blobs, hexOf(descriptor.digest), manifestBytes, umask);
      write(blobs, hexOf(manifest.config.digest), config, umask);
    });
    await inParallel(layers, concurrency, async (layer, isStopped) => {
      if (linkVerified(layer, blobs, saving)) return;
      await fetchBlob(layer, blobs, saving, isStopped);
    });
    signal.throwIfAborted();
    await publish(slot, staging, saving);
    for (const { digest } of layers) verified.set(digest, descriptor.digest);
  } finally {
    staging.dispose();
  }
}

/** Blobs by digest: a manifest may list one several times. */
function distinct(blobs: readonly Descriptor[]): Descriptor[] {
  return [...new Map(blobs.map((blob) => [blob.digest, blob])).values()];
}

/** Takes a blob from another image of this run, where the file system has hard links. */
function linkVerified({ digest }: Descriptor, blobs: Directory, { base, verified }: Saving): boolean {
  const layout = verified.get(digest);
  if (layout === undefined) return false;
  try {
    using saved = openBlobs(base, layout);
    saved.linkTo(hexOf(digest), blobs, hexOf(digest));
    return true;
  } catch {
    return false;
  }
}

async function fetchBlob(
  blob: Descriptor,
  blobs: Directory,
  { image, registry, kanikoDir, umask }: Saving,
  isStopped: () => boolean,
): Promise<void> {
  const fd = onDisk(kanikoDir, () => blobs.createFile(hexOf(blob.digest), 0o666 & ~umask));
  try {
    const digester = new Digester();
    let size = 0;
    for await (const chunk of registry.blob(image, blob)) {
      if (isStopped()) return;
      digester.update(chunk);
      size += chunk.length;
      onDisk(kanikoDir, () => writeAll(fd, chunk));
    }
    const digest = digester.digest();
    if (digest === blob.digest && size === blob.size) return;
    const wrong = size === blob.size ? `has the digest ${digest}` : `is ${size} bytes long instead of ${blob.size}`;
    throw new RestorerError(`the blob ${blob.digest}, as ${image.reference.registry} sends it, ${wrong}`, {
      hint: "The registry, or something between it and here, damages data: push the image again, or use a mirror.",
    });
  } finally {
    closeSync(fd);
  }
}

function write(directory: Directory, name: string, content: string | Uint8Array, umask: number): void {
  const fd = directory.createFile(name, 0o666 & ~umask);
  try {
    writeAll(fd, Buffer.from(content));
  } finally {
    closeSync(fd);
  }
}

/** Moves a layout to its place; what stands there, and is not the complete image, goes. */
async function publish(layout: Slot, staging: Staging, { base, image, signal, umask }: Saving): Promise<void> {
  const { digest } = image.descriptor;
  let isMoved: boolean;
  try {
    isMoved = staging.publish(layout, base, digest);
  } catch (error) {
    // EBUSY: a mount point, which `discard` tells of.
    if (!hasCode(error, "EBUSY", "EEXIST", "ENOTEMPTY", "ENOTDIR")) throw notWritten(base.path, error);
    // Another restorer may have been as fast.
    if (await isComplete(base, image, signal)) return;
    isMoved = onDisk(base.path, () => {
      staging.discard(base, digest);
      return staging.publish(layout, base, digest);
    });
  }
  if (isMoved || (await isComplete(base, image, signal))) return;
  try {
    await moveInPlace(layout, base, digest, staging, { mode: 0o777 & ~umask, pauses: new Pauses(signal) });
  } catch (error) {
    signal.throwIfAborted();
    throw notWritten(base.path, error);
  }
}

function onDisk<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw notWritten(path, cause);
  }
}

function notWritten(path: string, cause: unknown): RestorerError {
  return new RestorerError(`write below ${quote(path)}`, {
    cause,
    hint: "The extender needs images there: give the user of the restorer a writable directory with -kaniko-dir, or CNB_KANIKO_DIR.",
  });
}
