import { readBlob } from "../archive/read-blob.ts";
import { closeSource, NotOpened } from "../archive/source.ts";
import type { TarEntry, TarHandler } from "../archive/tar.ts";
import { ownerOf } from "../archive/tar-header.ts";
import type { Cache } from "../caches/cache.ts";
import type { PackedEntry } from "../pack/header.ts";

/** How the archive of a layer begins: what an exporter's circumstances put there. */
export interface ArchiveHead {
  /** The layers directory that it was packed in. */
  readonly prefix: string;
  /** The directories above the layer, as they were. Names are bytes in latin1 strings. */
  readonly above: readonly PackedEntry[];
  /** Whose all entries of the layer are. */
  readonly uid: number;
  readonly gid: number;
}

/** Has seen enough of an archive. */
class Enough extends Error {}

/**
 * Reads how the archive of a diffID begins, up to the entry of `<layers>/<path>`; undefined where it does not begin as an
 * exporter's. Nothing of it is verified. Throws what opening it throws, and a NotOpened.
 */
export async function readHead(
  cache: Cache,
  sha: string,
  path: string,
  signal: AbortSignal,
): Promise<ArchiveHead | undefined> {
  const reader = new HeadReader(path);
  const source = await cache.open(sha);
  try {
    await readBlob({ source, diffId: sha, handler: reader, signal });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof NotOpened) throw error;
    // What is wrong with the rest is told by whatever reads it.
  } finally {
    closeSource(source);
  }
  return reader.head;
}

class HeadReader implements TarHandler {
  head: ArchiveHead | undefined;
  readonly #path: string;
  readonly #above: PackedEntry[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  entry({ path, type, mode }: TarEntry, header: Buffer, at: number): void {
    if (type !== "directory") throw new Enough();
    const owner = ownerOf(header, at);
    if (!path.endsWith(`/${this.#path}`)) {
      this.#above.push({ name: path, type, mode, size: 0, linkname: "", ...owner });
      return;
    }
    this.head = { prefix: path.slice(0, -this.#path.length - 1), above: this.#above, ...owner };
    throw new Enough();
  }

  data(): void {}

  endFile(): void {}
}
