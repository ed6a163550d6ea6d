import type { LayerSource } from "../archive/source.ts";
import type { User } from "../disk/permissions.ts";
import type { Log } from "../log.ts";
import { type ImageConfig, layersByDiffId } from "../oci/config.ts";
import type { Layer, Manifest, Platform } from "../oci/manifest.ts";
import { ownPlatform } from "../oci/platform.ts";
import { count, quote } from "../text.ts";
import { type ImageMetadata, noMetadata } from "../toml/metadata.ts";
import { parseMetadata } from "../toml/metadata-json.ts";
import { describeParseError } from "../toml/parse-error.ts";
import { type Cache, type CacheBlob, type CacheContents, CacheError, type CacheFacts } from "./cache.ts";
import { recordedDigests } from "./recorded.ts";

const label = "io.buildpacks.lifecycle.cache.metadata";

/** An image as it was found. */
export interface FoundImage {
  readonly manifest: Manifest;
  readonly digest: string;
  readonly config: ImageConfig;
  /** What an index says that it is for, if one led to it and says so. */
  readonly platform?: Platform | undefined;
}

/** Where a cache image is: in a registry, or in an OCI layout. */
export interface ImagePlace {
  readonly kind: "image" | "layout";
  /** As it was named. */
  readonly reference: string;
  /** Undefined where there is no such image. Throws a CacheError when it cannot be read. */
  find(): Promise<FoundImage | undefined>;
  /** Whether there is something that an image can be exported to, though there is none. */
  isThere?(): boolean;
  /** Opens while privileges allow it what a user could not open later. */
  openAhead?(layers: readonly Layer[], user: User): void;
  /** What there is of a layer's blob, as far as that can be seen without asking anybody; undefined for nothing. */
  look?(layer: Layer): Pick<CacheBlob, "size" | "problem"> | undefined;
  /**
   * A layer's blob as it is stored; `onRetry` is told of what had to be asked for again. Throws a CacheError where it cannot be
   * had.
   */
  blob(layer: Layer, onRetry: () => void): StoredBytes;
}

/** The bytes of a blob as stored. */
export interface StoredBytes {
  /** They throw a NotOpened where it turns out that there are none, a BlobError where they are not what they should be. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Whether nothing of them may be told, see `isSecret` of lib/disk/read-file.ts. */
  readonly isSecret?: boolean;
}

/** A cache image: metadata in a label of its config, layers by diffID (contract §4). */
export class ImageCache implements Cache {
  readonly name: string;
  readonly kind: ImagePlace["kind"];
  readonly reference: string;
  readonly #place: ImagePlace;
  readonly #log: Log;
  #image: FoundImage | undefined;
  #layers: ReadonlyMap<string, Layer> = new Map();
  /** Read ahead of dropping privileges. */
  #metadata: ImageMetadata | undefined;

  constructor(place: ImagePlace, log: Log) {
    this.#place = place;
    this.#log = log;
    this.kind = place.kind;
    this.reference = place.reference;
    this.name = `cache image ${quote(place.reference)}`;
  }

  async metadata(): Promise<ImageMetadata | undefined> {
    this.#metadata ??= await this.#readMetadata();
    return this.#metadata;
  }

  /** Of an image that lies on disk: what of these buildpacks' layers the user could not open. Trouble is left to `metadata`. */
  async openAhead(buildpacks: readonly { id: string }[], user: User): Promise<void> {
    if (this.#place.openAhead === undefined) return;
    const metadata = await this.metadata().catch(() => undefined);
    const shas = metadata === undefined ? [] : recordedDigests(metadata, buildpacks);
    this.#place.openAhead(
      shas.flatMap((sha) => this.#layers.get(sha) ?? []),
      user,
    );
  }

  async #readMetadata(): Promise<ImageMetadata | undefined> {
    const image = await this.#place.find();
    if (image === undefined) return undefined;
    this.#warnOfArchitecture(image);
    try {
      this.#layers = layersByDiffId(image.manifest, image.config);
      this.#image = image;
      const text = image.config.labels.get(label);
      if (text !== undefined) return parseMetadata(Buffer.from(text));
      // What somebody pushed so that there is something: the first export fills it.
      if (image.manifest.layers.length === 0) return noMetadata;
      throw new CacheError(`${this.name} is not a cache image: it has no label ${label}${describeOther(image)}`);
    } catch (error) {
      if (error instanceof CacheError) throw error;
      throw cannotRead(this.name, describeParseError(error), error);
    }
  }

  /** Exporters name none, or this machine's: layers of another one are used, but may not run here (D20). */
  #warnOfArchitecture({ platform, config }: FoundImage): void {
    const own = ownPlatform().architecture;
    const other = [config.architecture, platform?.architecture].find((said) => said && said !== own);
    if (other === undefined) return;
    this.#log.warn(
      `The ${this.name} is for the architecture ${quote(other)}, not for this machine's, ${own}: its layers may not run here.`,
      "other-architecture",
    );
  }

  isThere(): boolean {
    return this.#image !== undefined || this.#place.isThere?.() === true;
  }

  facts(): CacheFacts {
    const { digest, config } = this.#image ?? {};
    return {
      kind: this.kind,
      reference: this.reference,
      ...(digest === undefined ? {} : { digest }),
      ...(config?.created ? { created: config.created } : {}),
    };
  }

  contents(): CacheContents {
    const blobs = [...this.#layers].flatMap(([diffId, layer]): CacheBlob[] => {
      const { unusable: text, size } = layer;
      if (text !== undefined) return [{ diffId, size: 0, problem: { code: "blob-unavailable", text } }];
      const there = this.#place.look === undefined ? { size } : this.#place.look(layer);
      return there === undefined ? [] : [{ diffId, ...there }];
    });
    return { blobs, leftovers: [] };
  }

  size(sha: string): number {
    return this.#layers.get(sha)?.size ?? 0;
  }

  /** That a diffID of the config cannot be read: it may be that of any layer. */
  #describeUnread(): string {
    const all = this.#image?.config.diffIds ?? [];
    const unread = all.filter((diffId) => diffId === "").length;
    return unread === 0 ? "" : `; of the ${count(all.length, "diffID")} of its config ${unread} cannot be read`;
  }

  async open(sha: string): Promise<LayerSource> {
    const layer = this.#layers.get(sha);
    if (layer === undefined) throw new CacheError(`${this.name} has no layer ${sha}${this.#describeUnread()}`);
    if (layer.unusable !== undefined) throw new CacheError(`cannot read a layer of ${this.name}: ${layer.unusable}`);
    if (this.#place.look !== undefined && this.#place.look(layer) === undefined)
      throw new CacheError(`cannot open a layer of ${this.name}: its blob ${layer.digest} is missing`);
    let retries = 0;
    const blob = this.#place.blob(layer, () => {
      retries += 1;
    });
    return { kind: "stream", ...blob, retries: () => retries, size: layer.size, digest: layer.digest };
  }
}

/** What an image is instead of a cache, by its labels. */
function describeOther({ config: { labels } }: FoundImage): string {
  if (labels.has("io.buildpacks.lifecycle.metadata")) return "; it looks like an app image";
  if (labels.has("io.buildpacks.builder.metadata")) return "; it looks like a builder";
  const isBase = labels.has("io.buildpacks.stack.id") || labels.has("io.buildpacks.base.id");
  return isBase ? "; it looks like a build or run image" : "";
}

/** Trouble with a whole cache image. */
export function cannotRead(name: string, what: string, cause: unknown): CacheError {
  return new CacheError(`cannot read ${name}: ${what}`, { cause });
}
