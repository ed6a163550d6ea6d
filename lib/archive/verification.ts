import { hiddenDigest } from "../disk/read-file.ts";
import { limits } from "../limits.ts";
import { Digester } from "../oci/digest.ts";
import { count } from "../text.ts";
import { BlobError } from "./blob-file.ts";
import { Decompressor, type Sink } from "./decompress.ts";
import { blockBytes } from "./tar-header.ts";
import { type Described, wrongContent } from "./wrong-content.ts";

/** Bounds and hashes the uncompressed bytes of a blob: the archive, whose SHA-256 is the layer's diffID. */
export class Content {
  readonly #diffId: string;
  readonly #source: Described;
  readonly #hash = new Digester();
  readonly #maxBytes: number;
  readonly #start = Buffer.alloc(blockBytes);
  #bytes = 0;

  /** `diffId` is what the hash must be, `sha256:<hex>`; `source` the blob as it is stored. */
  constructor(diffId: string, source: Described) {
    this.#diffId = diffId;
    this.#source = source;
    this.#maxBytes = Math.max(limits.expansionFloor, source.size * limits.expansion);
  }

  /** Takes in the next bytes. Throws a BlobError when there are too many; also a file may grow while it is read. */
  take(bytes: Buffer): void {
    if (this.#bytes < blockBytes) bytes.copy(this.#start, this.#bytes);
    this.#bytes += bytes.length;
    if (this.#bytes > this.#maxBytes) throw new BlobError(`it expands to more than ${this.#maxBytes} bytes`);
    this.#hash.update(bytes);
  }

  /** Throws a BlobError unless what was taken in is the layer. */
  verify(): void {
    const diffId = this.#hash.digest();
    if (diffId === this.#diffId) return;
    throw wrongContent(this.#source, diffId, this.#diffId, this.#start.subarray(0, this.#bytes));
  }
}

type StoredSource = Pick<Extract<Described, { kind: "stream" }>, "digest" | "isSecret">;

/** A blob as it is stored, compressed or plain, that comes in chunks: hashed, and decompressed into a sink. */
export class StoredBlob {
  readonly #source: StoredSource;
  readonly #hash = new Digester();
  readonly #decompressor: Decompressor;
  #bytes = 0;

  /** The digest of the source is what the hash of the blob must be, `sha256:<hex>`. */
  constructor(source: StoredSource, sink: Sink) {
    this.#source = source;
    this.#decompressor = new Decompressor(sink);
  }

  /** Throws a CompressionError, and what the sink throws. */
  write(chunk: Buffer): void {
    this.#bytes += chunk.length;
    this.#hash.update(chunk);
    this.#decompressor.write(chunk);
  }

  /** Says that the blob is complete. Throws a CompressionError where it is cut off, a BlobError where it is another one. */
  finish(): void {
    this.#decompressor.end();
    const digest = this.#hash.digest();
    const { digest: expected, isSecret } = this.#source;
    if (digest === expected) return;
    if (isSecret) throw new BlobError(`its blob has ${hiddenDigest}, not ${expected}`);
    throw new BlobError(`its blob of ${count(this.#bytes, "byte")} has the digest ${digest}, not ${expected}`);
  }

  /** Gives back what decompression takes; to be called however reading the blob ends. */
  close(): void {
    this.#decompressor.close();
  }
}
