import type { LayerSource } from "../archive/source.ts";
import type { User } from "../disk/permissions.ts";
import type { ImageMetadata } from "../toml/metadata.ts";

/** A cache of an earlier build, read-only (D2). Nothing but its maker knows whether it is a directory or an image. */
export interface Cache {
  /** How messages name it. */
  readonly name: string;
  /** What kind of cache it is. */
  readonly kind: CacheKind;
  /** The path of a directory, the reference of an image, or `oci:DIR[:TAG]`. */
  readonly reference: string;
  /** What it holds; undefined when there is no cache yet. Throws a CacheError when it cannot be used. */
  metadata(): Promise<ImageMetadata | undefined>;
  /** Whether anything is at its place, once its metadata was read: an empty directory is there, an absent image is not. */
  isThere(): boolean;
  /** Bytes of the blob of a layer as far as known without opening it, for progress and to take the largest first. */
  size(sha: string): number;
  /** Opens, while privileges allow it, what a user could not open later of the layers of these buildpacks. */
  openAhead?(buildpacks: readonly { id: string }[], user: User): Promise<void>;
  /**
   * Has what a plan needs within reach until the end of the run, where something may take it away. False where it is gone, and
   * other metadata was found in its place: then decide again.
   */
  hold?(shas: readonly string[]): Promise<boolean>;
  /** It as data; more of it once its metadata was read. */
  facts(): CacheFacts;
  /** The blobs that it holds, whether its metadata names them or not, once that was read; of an image those of its manifest. */
  contents(): CacheContents;
  /** Opens the blob of a layer by its diffID. The caller closes a file that does not stay open. Throws a CacheError. */
  open(sha: string): Promise<LayerSource>;
}

/** What holds a cache: a volume, an image in a registry, an image in an OCI layout. */
export type CacheKind = "directory" | "image" | "layout";

/** A cache as data. */
export interface CacheFacts extends Pick<Cache, "kind" | "reference"> {
  /** Digest of the manifest of an image. */
  readonly digest?: string;
  /** When it was made, by its own word, in ISO 8601. */
  readonly created?: string;
}

/** What a cache has in the place of a layer's blob. */
export interface CacheBlob {
  /** What it is stored as the contents of. */
  readonly diffId: string;
  /** Bytes as stored; none of what is not a file. */
  readonly size: number;
  /** Why no restore can use it, as far as that can be seen without reading it. */
  readonly problem?: BlobProblem | undefined;
}

/** With the code that a restore has for it. */
export interface BlobProblem {
  readonly code: "blob-unavailable" | "blob-unusable";
  readonly text: string;
}

/** What is in a cache, whether its metadata names it or not. */
export interface CacheContents {
  readonly blobs: readonly CacheBlob[];
  /** What does not belong to the cache, or was left by an export that did not end. */
  readonly leftovers: readonly Leftover[];
}

/** Something in a cache that is not part of it. */
export interface Leftover {
  /** Below the cache; of a directory with a slash at its end. */
  readonly path: string;
  /** None of what is not a file. */
  readonly bytes: number;
}

/** Trouble with a cache, or with one layer of it; costs at most what it is about (D5). */
export class CacheError extends Error {
  override readonly name = "CacheError";
  /** Whether there is no cache at the place given: a first build, which no strict run fails for (D23). */
  readonly isFirstBuild: boolean;

  constructor(message: string, { cause, isFirstBuild = false }: { cause?: unknown; isFirstBuild?: boolean } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.isFirstBuild = isFirstBuild;
  }
}
