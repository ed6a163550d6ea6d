import { describe } from "../errors.ts";
import { limits } from "../limits.ts";
import { BlobError, fileReader } from "./blob-file.ts";
import { Decompressor, type Sink } from "./decompress.ts";
import { type ReadChunk, Ring, RingStopped } from "./ring.ts";

/**
 * Verifies the blob of one layer, whose uncompressed bytes go through a ring. The blob is an open file, which both sides
 * of the ring read, or comes in `chunk` messages.
 */
export interface BlobJob {
  readonly type: "start";
  readonly ring: SharedArrayBuffer;
  readonly control: SharedArrayBuffer;
  /** What the SHA-256 of the uncompressed archive must be, `sha256:<hex>`. */
  readonly diffId: string;
  readonly source:
    | { readonly kind: "file"; readonly fd: number; readonly size: number }
    | { readonly kind: "stream"; readonly size: number; readonly digest: string };
}

export type ToBlobThread = BlobJob | { readonly type: "chunk"; readonly bytes: Uint8Array } | { readonly type: "end" };

/** `done` comes once for each job; `failure` says why the blob cannot be used. */
export type FromBlobThread =
  | { readonly type: "taken"; readonly bytes: number }
  | { readonly type: "done"; readonly failure: string | undefined };

/** Hashes what goes through the ring. */
class Verification implements Sink {
  readonly #job: BlobJob;
  readonly #ring: Ring;
  readonly #control: Int32Array;
  readonly #hash = new Bun.CryptoHasher("sha256");
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(job: BlobJob) {
    this.#job = job;
    const control = new Int32Array(job.control);
    this.#control = control;
    this.#ring = new Ring(job.ring, "hash", () => Atomics.load(control, 0) !== 0);
    this.#maxBytes = Math.max(limits.expansionFloor, job.source.size * limits.expansion);
  }

  acquire(): Buffer {
    return this.#ring.acquire();
  }

  commit(length: number): void {
    this.#bound(length);
    this.#hash.update(this.#ring.commit(length));
    this.#ring.release();
  }

  /** Hashes a file, read here where the other side does not. */
  drain(read: ReadChunk): void {
    this.#ring.drain((bytes) => {
      this.#bound(bytes.length);
      this.#hash.update(bytes);
      this.count(bytes.length);
    }, read);
  }

  /** Also a file may become more than it was, while somebody writes to it. */
  #bound(length: number): void {
    this.#bytes += length;
    if (this.#bytes > this.#maxBytes) throw new BlobError(`it expands to more than ${this.#maxBytes} bytes`);
  }

  /** Counts bytes of the blob as done, for progress. */
  count(bytes: number): void {
    Atomics.add(this.#control, 1, Math.round(bytes / 1024));
  }

  finish(): void {
    const diffId = `sha256:${this.#hash.digest("hex")}`;
    if (diffId !== this.#job.diffId)
      throw new BlobError(`its content has the digest ${diffId}, not ${this.#job.diffId}`);
    this.#ring.end();
  }

  fail(): void {
    this.#ring.stop();
  }
}

/** A blob that arrives in messages. */
class Stream {
  readonly #verification: Verification;
  readonly #digest: string;
  readonly #hash = new Bun.CryptoHasher("sha256");
  readonly #decompressor: Decompressor;

  constructor(verification: Verification, digest: string) {
    this.#verification = verification;
    this.#digest = digest;
    this.#decompressor = new Decompressor(verification);
  }

  write(chunk: Buffer): void {
    this.#hash.update(chunk);
    this.#decompressor.write(chunk);
    this.#verification.count(chunk.length);
  }

  finish(): void {
    this.#decompressor.end();
    const digest = `sha256:${this.#hash.digest("hex")}`;
    if (digest !== this.#digest) throw new BlobError(`its blob has the digest ${digest}, not ${this.#digest}`);
    this.#verification.finish();
  }

  close(): void {
    this.#decompressor.close();
  }
}

declare const self: Worker;
/** The job under way; undefined when there is none, or it has failed and the rest of its stream is dropped. */
let current: { readonly verification: Verification; readonly stream: Stream | undefined } | undefined;

self.onmessage = ({ data }: MessageEvent<ToBlobThread>) => {
  try {
    if (data.type === "start") start(data);
    else if (data.type === "chunk") take(data.bytes);
    else if (current !== undefined) {
      current.stream?.finish();
      done(undefined);
    }
  } catch (error) {
    if (current !== undefined) current.verification.fail();
    else if (data.type === "start") new Ring(data.ring, "hash", () => false).stop();
    // Whoever stopped the ring says why.
    done(error instanceof RingStopped ? undefined : describe(error));
  }
};

function start(job: BlobJob): void {
  const verification = new Verification(job);
  const { source } = job;
  current = { verification, stream: source.kind === "stream" ? new Stream(verification, source.digest) : undefined };
  if (source.kind === "stream") return;
  verification.drain(fileReader(source.fd));
  verification.finish();
  done(undefined);
}

function take(bytes: Uint8Array): void {
  const { length } = bytes;
  current?.stream?.write(Buffer.from(bytes.buffer, bytes.byteOffset, length));
  // Given back now: the collector would leave megabytes lying about.
  if (bytes.buffer instanceof ArrayBuffer) bytes.buffer.transfer(0);
  post({ type: "taken", bytes: length });
}

function done(failure: string | undefined): void {
  current?.stream?.close();
  current = undefined;
  post({ type: "done", failure });
}

function post(message: FromBlobThread): void {
  postMessage(message);
}
