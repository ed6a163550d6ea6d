import { limits } from "../limits.ts";
import { Digester } from "../oci/digest.ts";
import { BlobError } from "./blob-file.ts";
import { Decompressor, type Sink } from "./decompress.ts";
import type { BlobFile } from "./source.ts";

/** Bounds and hashes the uncompressed bytes of a blob: the archive, whose SHA-256 is the layer's diffID. */
export class Content {
  readonly #diffId: string;
  readonly #hash = new Digester();
  readonly #maxBytes: number;
  readonly #isSecret: boolean;
  #bytes = 0;

  /**
   * `diffId` is what the hash must be, `sha256:<hex>`; `blobBytes` the size of the blob as stored. `isSecret`: what the
   * hash is instead is not told.
   */
  constructor(diffId: string, blobBytes: number, isSecret: boolean) {
    this.#diffId = diffId;
    this.#isSecret = isSecret;
    this.#maxBytes = Math.max(limits.expansionFloor, blobBytes * limits.expansion);
  }

  /** Takes in the next bytes. Throws a BlobError when there are too many; also a file may grow while it is read. */
  take(bytes: Buffer): void {
    this.#bytes += bytes.length;
    if (this.#bytes > this.#maxBytes) throw new BlobError(`it expands to more than ${this.#maxBytes} bytes`);
    this.#hash.update(bytes);
  }

  /** Throws a BlobError unless what was taken in is the layer. */
  verify(): void {
    const diffId = this.#hash.digest();
    if (diffId === this.#diffId) return;
    const found = this.#isSecret
      ? "another digest, which is not told, for not everybody may read it"
      : `the digest ${diffId}`;
    throw new BlobError(`its content has ${found}, not ${this.#diffId}`);
  }
}

/** The content to be of the blob of a source. */
export function contentOf(source: Pick<BlobFile, "size" | "isSecret">, diffId: string): Content {
  return new Content(diffId, source.size, source.isSecret === true);
}

/** A blob as it is stored, compressed or plain, that comes in chunks: hashed, and decompressed into a sink. */
export class StoredBlob {
  readonly #digest: string;
  readonly #hash = new Digester();
  readonly #decompressor: Decompressor;

  /** `digest` is what the hash of the blob must be, `sha256:<hex>`. */
  constructor(digest: string, sink: Sink) {
    this.#digest = digest;
    this.#decompressor = new Decompressor(sink);
  }

  /** Throws a CompressionError, and what the sink throws. */
  write(chunk: Buffer): void {
    this.#hash.update(chunk);
    this.#decompressor.write(chunk);
  }

  /** Says that the blob is complete. Throws a CompressionError where it is cut off, a BlobError where it is another one. */
  finish(): void {
    this.#decompressor.end();
    const digest = this.#hash.digest();
    if (digest !== this.#digest) throw new BlobError(`its blob has the digest ${digest}, not ${this.#digest}`);
  }

  /** Gives back what decompression takes; to be called however reading the blob ends. */
  close(): void {
    this.#decompressor.close();
  }
}
