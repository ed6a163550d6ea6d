import {
  acceptManifests,
  type Descriptor,
  type ImageConfig,
  type Index,
  type Manifest,
  ManifestError,
  manifestBytes,
  ownArchitecture,
  type Platform,
  parseConfig,
  parseManifest,
  selectPlatform,
} from "../oci/manifest.ts";
import { isDigest, type Reference, withDigest } from "../oci/reference.ts";
import { type ClientOptions, createClient, type Download } from "./client.ts";
import { getManifest, RegistryError } from "./errors.ts";

/** Bytes a config may have: with long histories and labels they reach a few hundred KiB. */
const configBytes = 16 * 1024 * 1024;

export interface RegistryOptions extends ClientOptions {
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
}

/** Images in registries (distribution specification, "Pull"). Everything throws a RegistryError, or the signal's reason. */
export interface Registry {
  /** Whether an image is there and may be read: gets its manifest or index, which a later `image` uses. */
  check(reference: Reference): Promise<void>;
  /**
   * Resolves a reference, a tag only once: one request, two for an index. Asking again costs none. `platform` says which
   * member of an index to take, if not the one of the options.
   */
  image(reference: Reference, platform?: Platform): Promise<RemoteImage>;
  /** Gets the config of an image, its digest verified: one request, none when asked again. */
  config(image: RemoteImage): Promise<{ readonly bytes: Uint8Array; readonly config: ImageConfig }>;
  /**
   * The bytes of a blob as stored, exactly as many as the descriptor says; their digest is for the caller to verify.
   * Each chunk has a buffer of its own, unless a broken connection was resumed. Stop iterating to end the download.
   */
  blob(image: RemoteImage, descriptor: Descriptor): AsyncIterable<Uint8Array<ArrayBuffer>>;
}

interface Document {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly content: Manifest | Index;
}

/** A client for all registries of a run. Reads certificates now; makes no connection before it is asked for something. */
export function createRegistry(options: RegistryOptions): Registry {
  const client = createClient(options);
  const ownPlatform = options.platform ?? { os: "linux", architecture: ownArchitecture() };
  const documents = new Map<string, Promise<Document>>();
  const configs = new Map<string, Promise<{ bytes: Uint8Array; config: ImageConfig }>>();

  function document(reference: Reference): Promise<Document> {
    const { registry, repository, tag = "latest", digest = tag } = reference;
    return remember(documents, `${registry}/${repository}@${digest}`, async () => {
      const download = await client.document(
        reference,
        getManifest,
        `manifests/${digest}`,
        manifestBytes,
        acceptManifests,
      );
      return naming(reference, getManifest, () => readManifest(reference, download));
    });
  }
  async function image(reference: Reference, platform: Platform = ownPlatform): Promise<RemoteImage> {
    let found = await document(reference);
    // An index may hold an index; three levels are more than anybody has seen.
    for (let level = 0; found.content.kind === "index"; level++) {
      const index = found.content;
      const member = naming(reference, "choose the platform of", () => {
        if (level === 3) throw new ManifestError("too many indexes inside each other");
        return selectPlatform(index, platform);
      });
      found = await document(withDigest(reference, member.digest));
    }
    return { reference, descriptor: found.descriptor, manifestBytes: found.bytes, manifest: found.content };
  }
  return {
    async check(reference) {
      await document(reference);
    },
    image,
    config({ reference, manifest }) {
      const { digest, size } = manifest.config;
      const step = "get the config of";
      return remember(configs, `${reference.registry}/${reference.repository}@${digest}`, async () => {
        if (size > configBytes) throw badDocument(reference, step, `it is larger than ${configBytes} bytes`);
        const { bytes } = await client.document(reference, step, `blobs/${digest}`, Math.min(configBytes, size), "*/*");
        return naming(reference, step, () => {
          verify(bytes, digest);
          return { bytes, config: parseConfig(bytes) };
        });
      });
    },
    blob: ({ reference }, descriptor) => client.blob(reference, descriptor),
  };
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

/** Checks a manifest against the digest asked for, or else the one that the registry names for the tag. */
function readManifest({ digest }: Reference, { bytes, headers }: Download): Document {
  const actual = sha256(bytes);
  const announced = headers.get("docker-content-digest") ?? "";
  if (digest !== undefined) verify(bytes, digest);
  else if (isDigest(announced)) verify(bytes, announced);
  const content = parseManifest(bytes, headers.get("content-type") ?? "");
  return { descriptor: { mediaType: content.mediaType, digest: actual, size: bytes.length }, bytes, content };
}

function verify(bytes: Uint8Array<ArrayBuffer>, digest: string): void {
  const actual = sha256(bytes);
  if (actual !== digest) throw new ManifestError(`its digest is ${actual}, not ${digest}`);
}

function sha256(bytes: Uint8Array<ArrayBuffer>): string {
  return `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
}

/** Runs a check of what a registry sent; what it finds is told with the image's name. */
function naming<T>(reference: Reference, step: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof ManifestError) throw badDocument(reference, step, error);
    throw error;
  }
}

function badDocument(reference: Reference, step: string, cause: ManifestError | string): RegistryError {
  const error = typeof cause === "string" ? new ManifestError(cause) : cause;
  return RegistryError.about(reference, step, error);
}
