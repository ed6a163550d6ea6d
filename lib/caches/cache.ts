import type { LayerSource } from "../archive/source.ts";
import type { User } from "../disk/user.ts";
import type { ImageMetadata } from "../toml/metadata.ts";

/** A cache of an earlier build, read-only (D2). Nothing but its maker knows whether it is a directory or an image. */
export interface Cache {
  /** How messages name it. */
  readonly name: string;
  /** What it holds; undefined when there is no cache yet. Throws a CacheError when it cannot be used. */
  metadata(): Promise<ImageMetadata | undefined>;
  /** Bytes of the blob of a layer as far as known without opening it, for progress and to take the largest first. */
  size(sha: string): number;
  /** Opens, while privileges allow it, what a user could not open later of the layers of these buildpacks. */
  openAhead?(buildpacks: readonly { id: string }[], user: User): Promise<void>;
  /** Opens the blob of a layer by its diffID. The caller closes a file that does not stay open. Throws a CacheError. */
  open(sha: string): Promise<LayerSource>;
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
