import { closeSync, readSync } from "node:fs";
import { Decompressor } from "./decompress.ts";
import { describe, errorCode } from "./errors.ts";
import { type Extracted, type ExtractionTarget, LayerExtractor } from "./extract.ts";
import { limits } from "./limits.ts";
import { TarReader } from "./tar.ts";

/** One layer to extract. The bytes come from an open file, which the worker closes, or in `chunk` messages. */
export interface Job {
  readonly target: ExtractionTarget;
  /** What the SHA-256 of the uncompressed archive must be, `sha256:<hex>`. */
  readonly diffId: string;
  readonly source:
    | { readonly kind: "file"; readonly fd: number; readonly size: number }
    | { readonly kind: "stream"; readonly size: number; readonly digest: string };
  /** Two int32: not 0 when the work shall stop; KiB of the blob done so far, over all jobs. */
  readonly control: SharedArrayBuffer;
}

/** How a job ended. `layer`: the blob is bad; `disk`: it cannot be written; `cancelled`: as asked for. */
export type Outcome =
  | { readonly ok: true; readonly extracted: Extracted }
  | { readonly ok: false; readonly fault: "layer" | "disk" | "cancelled"; readonly message: string };

export type ToWorker =
  | { readonly type: "start"; readonly job: Job }
  | { readonly type: "chunk"; readonly bytes: Uint8Array }
  | { readonly type: "end" };

export type FromWorker =
  | { readonly type: "taken"; readonly bytes: number }
  | { readonly type: "done"; readonly outcome: Outcome };

const chunkSize = 1 << 20;
const buffer = Buffer.allocUnsafeSlow(chunkSize);

/** Errors of the place written to, as opposed to the layer: they concern every layer. */
const diskErrors = new Set([
  "EACCES",
  "EDQUOT",
  "EIO",
  "EMFILE",
  "ENFILE",
  "ENOENT",
  "ENOMEM",
  "ENOSPC",
  "EPERM",
  "EROFS",
]);

class Cancelled extends Error {}
class BlobError extends Error {}

/** Verifies and extracts one layer in a single pass over its bytes. */
class Extraction {
  readonly #job: Job;
  readonly #control: Int32Array;
  readonly #hash = new Bun.CryptoHasher("sha256");
  readonly #extractor: LayerExtractor;
  readonly #reader: TarReader;
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(job: Job) {
    this.#job = job;
    this.#control = new Int32Array(job.control);
    this.#extractor = new LayerExtractor(job.target);
    this.#reader = new TarReader(this.#extractor);
    this.#maxBytes = Math.max(limits.expansionFloor, job.source.size * limits.expansion);
  }

  /** Takes uncompressed bytes. */
  write(bytes: Buffer): void {
    if (Atomics.load(this.#control, 0) !== 0) throw new Cancelled();
    this.#bytes += bytes.length;
    if (this.#bytes > this.#maxBytes) throw new BlobError(`it expands to more than ${this.#maxBytes} bytes`);
    this.#hash.update(bytes);
    this.#reader.write(bytes);
  }

  /** Counts bytes of the blob as done, for progress. */
  count(bytes: number): void {
    Atomics.add(this.#control, 1, Math.round(bytes / 1024));
  }

  finish(): Extracted {
    const diffId = `sha256:${this.#hash.digest("hex")}`;
    if (diffId !== this.#job.diffId)
      throw new BlobError(`its content has the digest ${diffId}, not ${this.#job.diffId}`);
    this.#reader.finish();
    return this.#extractor.finish();
  }

  abort(): void {
    this.#extractor.abort();
  }
}

function extractFile(extraction: Extraction, fd: number): Extracted {
  try {
    for (let position = 0; ; ) {
      const length = readBlob(fd, position);
      if (length === 0) return extraction.finish();
      position += length;
      extraction.write(buffer.subarray(0, length));
      extraction.count(length);
    }
  } finally {
    closeSync(fd);
  }
}

function readBlob(fd: number, position: number): number {
  try {
    return readSync(fd, buffer, 0, chunkSize, position);
  } catch (error) {
    throw new BlobError(`it cannot be read: ${describe(error)}`);
  }
}

/** A layer whose blob arrives in messages. */
class StreamExtraction {
  readonly #extraction: Extraction;
  readonly #digest: string;
  readonly #hash = new Bun.CryptoHasher("sha256");
  readonly #decompressor: Decompressor;

  constructor(extraction: Extraction, digest: string) {
    this.#extraction = extraction;
    this.#digest = digest;
    this.#decompressor = new Decompressor((bytes) => extraction.write(bytes));
  }

  write(chunk: Buffer): void {
    this.#hash.update(chunk);
    this.#decompressor.write(chunk);
    this.#extraction.count(chunk.length);
  }

  finish(): Extracted {
    this.#decompressor.end();
    const digest = `sha256:${this.#hash.digest("hex")}`;
    if (digest !== this.#digest) throw new BlobError(`its blob has the digest ${digest}, not ${this.#digest}`);
    return this.#extraction.finish();
  }

  abort(): void {
    this.#decompressor.close();
    this.#extraction.abort();
  }
}

function post(message: FromWorker): void {
  postMessage(message);
}

/** Turns what goes wrong into an outcome. */
function failure(error: unknown): Outcome {
  if (error instanceof Cancelled) return { ok: false, fault: "cancelled", message: "stopped" };
  const disk = diskErrors.has(errorCode(error) ?? "");
  return { ok: false, fault: disk ? "disk" : "layer", message: describe(error) };
}

declare const self: Worker;
/** The stream under way; undefined when there is none, or it has failed and the rest of it is dropped. */
let stream: StreamExtraction | undefined;

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  try {
    if (data.type === "start") start(data.job);
    else if (data.type === "end") end();
    else take(data.bytes);
  } catch (error) {
    stream?.abort();
    stream = undefined;
    post({ type: "done", outcome: failure(error) });
  }
};

function start(job: Job): void {
  const extraction = new Extraction(job);
  if (job.source.kind === "stream") {
    stream = new StreamExtraction(extraction, job.source.digest);
    return;
  }
  try {
    post({ type: "done", outcome: { ok: true, extracted: extractFile(extraction, job.source.fd) } });
  } catch (error) {
    extraction.abort();
    throw error;
  }
}

function take(bytes: Uint8Array): void {
  stream?.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  post({ type: "taken", bytes: bytes.length });
}

function end(): void {
  if (stream === undefined) return;
  const extracted = stream.finish();
  stream = undefined;
  post({ type: "done", outcome: { ok: true, extracted } });
}
