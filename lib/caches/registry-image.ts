import { BlobError } from "../archive/blob-file.ts";
import { NotOpened } from "../archive/source.ts";
import { describe } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Layer } from "../oci/manifest.ts";
import { parseReference } from "../oci/reference.ts";
import { absentPerhaps, RegistryError } from "../registry/errors.ts";
import type { Registry, RemoteImage } from "../registry/registry.ts";
import { quote } from "../text.ts";
import { describeParseError } from "../toml/parse-error.ts";
import { CacheError } from "./cache.ts";
import { cannotRead, type FoundImage, type ImagePlace, type StoredBytes } from "./image.ts";

/** A cache image in a registry. */
export class RegistryImage implements ImagePlace {
  readonly kind = "image";
  readonly reference: string;
  readonly #registry: Registry;
  readonly #log: Log;
  readonly #wantsBlobs: boolean;
  #image: RemoteImage | undefined;

  /** `wantsBlobs` where most of what it holds will be read. */
  constructor(reference: string, registry: Registry, log: Log, wantsBlobs: boolean) {
    this.reference = reference;
    this.#registry = registry;
    this.#log = log;
    this.#wantsBlobs = wantsBlobs;
  }

  get #name(): string {
    return `cache image ${quote(this.reference)}`;
  }

  /** Another error than a CacheError ends the run: it was asked to stop. */
  async find(): Promise<FoundImage | undefined> {
    const reference = this.#parse();
    try {
      const image = await this.#registry.image(reference, "same-os");
      const blobsToCome = this.#wantsBlobs ? image.manifest.layers.length : 0;
      const { config } = await this.#registry.config(image, blobsToCome);
      this.#image = image;
      return { manifest: image.manifest, digest: image.descriptor.digest, platform: image.platform, config };
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      if (!error.notFound) throw cannotRead(this.#name, withHint(error), error);
      // A registry's own word is a first build; a 404 without one may come from something else than a registry.
      if (error.registryCode === undefined) this.#log.warn(`No ${this.#name}: ${withHint(error)}`, "cache-absent");
      return undefined;
    }
  }

  #parse() {
    try {
      return parseReference(this.reference);
    } catch (error) {
      throw cannotRead(this.#name, `${describeParseError(error)}${meantBy(this.reference)}`, error);
    }
  }

  blob(layer: Layer, onRetry: () => void): StoredBytes {
    return { chunks: this.#chunks(layer, onRetry) };
  }

  /** What the registry does not answer for at all cannot be had; what goes wrong later is wrong with the blob. */
  async *#chunks(layer: Layer, onRetry: () => void): AsyncIterable<Uint8Array> {
    if (this.#image === undefined) throw new CacheError(`${this.#name} was not found`);
    let isAnswered = false;
    const onAnswer = () => {
      isAnswered = true;
    };
    try {
      yield* this.#registry.blob(this.#image, layer, { onRetry, onAnswer });
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      throw isAnswered ? new BlobError(error.message, { cause: error.cause }) : new NotOpened(error);
    }
  }
}

function withHint(error: RegistryError): string {
  const hints = [error.hint, error.mayNotExist ? absentPerhaps : undefined].filter((hint) => hint !== undefined);
  return [describe(error), ...hints].join(". ").replaceAll(".. ", ". ");
}

/** What is perhaps meant by a word that is not an image reference. */
function meantBy(reference: string): string {
  const scheme = /^(https?|docker):\/\//.exec(reference)?.[0];
  if (scheme !== undefined) return `; leave out ${quote(scheme)}`;
  if (!/^[./]/.test(reference)) return "";
  return `; a cache directory is given with -cache-dir, an OCI image layout as oci:${reference}`;
}
