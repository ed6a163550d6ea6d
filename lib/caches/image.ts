import type { LayerSource } from "../archive/source.ts";
import { describe } from "../errors.ts";
import type { Log } from "../log.ts";
import { type ImageConfig, layersByDiffId } from "../oci/config.ts";
import type { Layer } from "../oci/manifest.ts";
import { ownPlatform } from "../oci/platform.ts";
import { parseReference, type Reference } from "../oci/reference.ts";
import { mayNotExist, RegistryError } from "../registry/errors.ts";
import type { Registry, RemoteImage } from "../registry/registry.ts";
import { quote } from "../text.ts";
import { type ImageMetadata, noMetadata } from "../toml/metadata.ts";
import { parseMetadata } from "../toml/metadata-json.ts";
import { describeParseError } from "../toml/parse-error.ts";
import { type Cache, CacheError } from "./cache.ts";

const label = "io.buildpacks.lifecycle.cache.metadata";

/** A cache image in a registry: metadata in a label of its config, layers by diffID (contract §4). */
export class ImageCache implements Cache {
  readonly name: string;
  readonly #reference: string;
  readonly #registry: Registry;
  readonly #log: Log;
  #image: RemoteImage | undefined;
  #layers: ReadonlyMap<string, Layer> = new Map();

  constructor(reference: string, registry: Registry, log: Log) {
    this.#reference = reference;
    this.#registry = registry;
    this.#log = log;
    this.name = `cache image ${quote(reference)}`;
  }

  async metadata(): Promise<ImageMetadata | undefined> {
    const reference = this.#reading(() => parseReference(this.#reference));
    const found = await this.#fetch(reference);
    if (found === undefined) return undefined;
    const { image, config } = found;
    this.#warnOfArchitecture(image, config);
    return this.#reading(() => {
      this.#layers = layersByDiffId(image.manifest, config);
      this.#image = image;
      const text = config.labels.get(label);
      // An image without the label is a cache that holds nothing, as for the reference.
      return text === undefined ? noMetadata : parseMetadata(Buffer.from(text));
    });
  }

  /** Undefined where there is no such image. Another error than a RegistryError ends the run: it was asked to stop. */
  async #fetch(reference: Reference): Promise<{ image: RemoteImage; config: ImageConfig } | undefined> {
    try {
      const image = await this.#registry.image(reference, "same-os");
      const { config } = await this.#registry.config(image);
      return { image, config };
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      if (!error.notFound) throw this.#trouble(withHint(error), error);
      // A registry's own word is a first build; a 404 without one may come from something else than a registry.
      if (error.registryCode === undefined) this.#log.warn(`No ${this.name}: ${withHint(error)}`);
      return undefined;
    }
  }

  /** Exporters name none, or this machine's: layers of another one are used, but may not run here (D20). */
  #warnOfArchitecture({ platform }: RemoteImage, config: ImageConfig): void {
    const own = ownPlatform().architecture;
    const other = [config.architecture, platform?.architecture].find((said) => said && said !== own);
    if (other === undefined) return;
    this.#log.warn(
      `The ${this.name} is for the architecture ${quote(other)}, not for this machine's, ${own}: its layers may not run here.`,
    );
  }

  /** Reads something of the image; what is wrong with it is trouble with the cache. */
  #reading<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw this.#trouble(describeParseError(error), error);
    }
  }

  #trouble(what: string, cause: unknown): CacheError {
    return new CacheError(`cannot read ${this.name}: ${what}`, { cause });
  }

  size(sha: string): number {
    return this.#layers.get(sha)?.size ?? 0;
  }

  async open(sha: string): Promise<LayerSource> {
    const layer = this.#layers.get(sha);
    if (this.#image === undefined || layer === undefined) throw new CacheError(`${this.name} has no layer ${sha}`);
    if (layer.unusable !== undefined) throw new CacheError(`cannot read a layer of ${this.name}: ${layer.unusable}`);
    return {
      kind: "stream",
      chunks: this.#registry.blob(this.#image, layer),
      size: layer.size,
      digest: layer.digest,
    };
  }
}

function withHint(error: RegistryError): string {
  const hints = [error.hint, error.unauthorized ? mayNotExist : undefined].filter((hint) => hint !== undefined);
  return [describe(error), ...hints].join(". ").replaceAll(".. ", ". ");
}
