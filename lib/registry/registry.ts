import type { Log } from "../log.ts";
import { type ImageConfig, parseConfig } from "../oci/config.ts";
import { digestOf } from "../oci/digest.ts";
import { ManifestError } from "../oci/document.ts";
import {
  acceptManifests,
  configBytes,
  type Descriptor,
  type Index,
  type Manifest,
  manifestBytes,
  type Platform,
  parseManifest,
} from "../oci/manifest.ts";
import { findManifest } from "../oci/members.ts";
import { ownPlatform } from "../oci/platform.ts";
import { type Reference, withDigest } from "../oci/reference.ts";
import { quote } from "../text.ts";
import { type BlobEvents, type ClientOptions, type Download, RegistryClient } from "./client.ts";
import { getManifest, RegistryError } from "./errors.ts";

/** What a registry client is made with. */
interface RegistryOptions extends ClientOptions {
  /** Which member of an index to take; by default linux on this machine's architecture. */
  readonly platform?: Platform;
}

/** An image for one platform, as a registry has it. */
export interface RemoteImage {
  readonly reference: Reference;
  /** Of the platform's manifest, never of an index. */
  readonly descriptor: Descriptor;
  /** Exactly as served; they have the descriptor's digest. */
  readonly manifestBytes: Uint8Array;
  readonly manifest: Manifest;
  /** What the index it comes from says that it is for, if it says so. */
  readonly platform?: Platform | undefined;
}

/** Images in registries (distribution specification, "Pull"). Everything throws a RegistryError, or the signal's reason. */
export interface Registry {
  /** Whether an image is there and may be read: gets its manifest or index, which a later `image` uses. */
  check(reference: Reference): Promise<void>;
  /**
   * Resolves a reference, a tag only once: one request, two for an index; more where its members do not say what they are
   * for. Asking again costs none. `otherwise` says what to take of an index without a member for this machine: nothing,
   * which is an error, or one of the same system.
   */
  image(reference: Reference, otherwise?: "nothing" | "same-os"): Promise<RemoteImage>;
  /**
   * Gets the config of an image, its digest verified: one request, none when asked again. Where blobs of it are asked for soon
   * after, connections for as many are opened meanwhile, where that is possible.
   */
  config(
    image: RemoteImage,
    blobsToCome?: number,
  ): Promise<{ readonly bytes: Uint8Array; readonly config: ImageConfig }>;
  /**
   * The bytes of a blob as stored, exactly as many as the descriptor says; their digest is for the caller to verify.
   * Each chunk has a buffer of its own, unless a broken connection was resumed. Stop iterating to end the download.
   */
  blob(image: RemoteImage, descriptor: Descriptor, events?: BlobEvents): AsyncIterable<Uint8Array<ArrayBuffer>>;
  /** The same, with what is known already; all that it is asked for ends with a further signal, too. */
  endingWith(signal: AbortSignal): Registry;
}

interface Document {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly content: Manifest | Index;
}

/** A config with its bytes as served. */
interface Config {
  readonly bytes: Uint8Array;
  readonly config: ImageConfig;
}

/** A client for all registries of a run. Reads certificates now; makes no connection before it is asked for something. */
export function createRegistry(options: RegistryOptions): Registry {
  return new RememberingRegistry(new RegistryClient(options), options.platform ?? ownPlatform(), options.log);
}

/** Asks for each document once. */
class RememberingRegistry implements Registry {
  readonly #client: RegistryClient;
  readonly #platform: Platform;
  readonly #log: Log;
  readonly #documents: Map<string, Promise<Document>>;
  readonly #configs: Map<string, Promise<Config>>;

  /** `known` is what another one has been asked for. */
  constructor(client: RegistryClient, platform: Platform, log: Log, known?: RememberingRegistry) {
    this.#client = client;
    this.#platform = platform;
    this.#log = log;
    this.#documents = new Map(known === undefined ? [] : known.#documents);
    this.#configs = new Map(known === undefined ? [] : known.#configs);
  }

  endingWith(signal: AbortSignal): Registry {
    return new RememberingRegistry(this.#client.endingWith(signal), this.#platform, this.#log, this);
  }

  async check(reference: Reference): Promise<void> {
    await this.#document(reference);
  }

  async image(reference: Reference, otherwise: "nothing" | "same-os" = "nothing"): Promise<RemoteImage> {
    const start = await this.#document(reference);
    const found = await naming(reference, "choose the platform of", () =>
      findManifest(start, {
        platform: this.#platform,
        otherwise,
        read: (member) => this.#document(withDigest(reference, member.digest)),
        platformOf: async (_, manifest) => (await this.config({ reference, manifest })).config,
        isUnusable: (error) =>
          error instanceof RegistryError && (error.status === 404 || error.cause instanceof ManifestError),
      }),
    );
    const { descriptor, bytes } = found.document;
    return { reference, descriptor, manifestBytes: bytes, manifest: found.manifest, platform: found.platform };
  }

  #document(reference: Reference): Promise<Document> {
    const { registry, repository, tag = "latest", digest = tag } = reference;
    return remember(this.#documents, `${registry}/${repository}@${digest}`, async () => {
      const path = `manifests/${digest}`;
      const wanted = { step: getManifest, path, accept: acceptManifests, maximumBytes: manifestBytes };
      const download = await this.#client.document(reference, wanted);
      return naming(reference, getManifest, () => this.#readManifest(reference, download));
    });
  }

  /** A manifest must have the digest asked for; what else the registry says of it is not worth an image. */
  #readManifest({ registry, digest }: Reference, { bytes, headers }: Download): Document {
    const actual = digestOf(bytes);
    if (digest !== undefined) verify(bytes, digest);
    const announced = headers.get("docker-content-digest") ?? actual;
    if (announced !== actual) {
      this.#log.debug(
        `${registry} announces the digest ${quote(announced.slice(0, 100))} for a manifest with ${actual}`,
      );
    }
    const content = parseManifest(bytes, headers.get("content-type") ?? "");
    return { descriptor: { mediaType: content.mediaType, digest: actual, size: bytes.length }, bytes, content };
  }

  config({ reference, manifest }: Pick<RemoteImage, "reference" | "manifest">, blobsToCome = 0): Promise<Config> {
    const { digest, size } = manifest.config;
    const step = "get the config of";
    return remember(this.#configs, `${reference.registry}/${reference.repository}@${digest}`, async () => {
      if (size > configBytes) throw badDocument(reference, step, `it is larger than ${configBytes} bytes`);
      const wanted = { step, path: `blobs/${digest}`, accept: "*/*", maximumBytes: size, blobsToCome };
      const { bytes } = await this.#client.document(reference, wanted);
      return naming(reference, step, () => {
        verify(bytes, digest);
        return { bytes, config: parseConfig(bytes) };
      });
    });
  }

  blob(
    { reference }: RemoteImage,
    descriptor: Descriptor,
    events?: BlobEvents,
  ): AsyncIterable<Uint8Array<ArrayBuffer>> {
    return this.#client.blob(reference, descriptor, events);
  }
}

/** What a task gave, for whoever asks again; a failure is forgotten. */
function remember<T>(known: Map<string, Promise<T>>, key: string, get: () => Promise<T>): Promise<T> {
  const before = known.get(key);
  if (before !== undefined) return before;
  const task = get();
  known.set(key, task);
  task.catch(() => known.delete(key));
  return task;
}

function verify(bytes: Uint8Array, digest: string): void {
  const actual = digestOf(bytes);
  if (actual !== digest) throw new ManifestError(`its digest is ${actual}, not ${digest}`);
}

/** Runs a check of what a registry sent; what it finds is told with the image's name. */
async function naming<T>(reference: Reference, step: string, run: () => T | Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof ManifestError) throw badDocument(reference, step, error);
    throw error;
  }
}

function badDocument(reference: Reference, step: string, cause: ManifestError | string): RegistryError {
  const error = typeof cause === "string" ? new ManifestError(cause) : cause;
  return RegistryError.about(reference, step, error);
}
