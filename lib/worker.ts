import { closeSync, readSync } from "node:fs";
import { createGunzip, createZstdDecompress } from "node:zlib";
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

/** Chunks of a blob as they arrive in messages. */
class Arrivals {
  readonly #queue: (Uint8Array | undefined)[] = [];
  #wake: () => void = () => {};

  push(bytes: Uint8Array | undefined): void {
    this.#queue.push(bytes);
    this.#wake();
  }

  /** The next chunk, or undefined at the end. */
  async next(): Promise<Uint8Array | undefined> {
    while (this.#queue.length === 0) {
      await new Promise<void>((wake) => {
        this.#wake = wake;
      });
    }
    return this.#queue.shift();
  }
}

async function extractStream(extraction: Extraction, job: Job, arrivals: Arrivals): Promise<Extracted> {
  if (job.source.kind !== "stream") throw new Error("not a stream");
  const { digest } = job.source;
  const hash = new Bun.CryptoHasher("sha256");
  let decoder: Decoder | undefined;
  for (let chunk = await arrivals.next(); chunk !== undefined; chunk = await arrivals.next()) {
    hash.update(chunk);
    decoder ??= createDecoder(compressionOf(chunk), (bytes) => extraction.write(bytes));
    await decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    extraction.count(chunk.length);
    post({ type: "taken", bytes: chunk.length });
  }
  await decoder?.end();
  const actual = `sha256:${hash.digest("hex")}`;
  if (actual !== digest) throw new BlobError(`its blob has the digest ${actual}, not ${digest}`);
  return extraction.finish();
}

type Compression = "none" | "gzip" | "zstd";

/** How a blob is compressed, by its first bytes: media types are not always true. */
function compressionOf(start: Uint8Array): Compression {
  if (start[0] === 0x1f && start[1] === 0x8b) return "gzip";
  if (start[0] === 0x28 && start[1] === 0xb5 && start[2] === 0x2f && start[3] === 0xfd) return "zstd";
  return "none";
}

interface Decoder {
  write(bytes: Buffer): Promise<void>;
  end(): Promise<void>;
}

/** Decompresses what is written to it into `take`. Its promises reject with what `take` throws, or a BlobError. */
function createDecoder(compression: Compression, take: (bytes: Buffer) => void): Decoder {
  if (compression === "none") return { write: async (bytes) => take(bytes), end: async () => {} };
  const stream = compression === "gzip" ? createGunzip({ chunkSize }) : createZstdDecompress({ chunkSize });
  let failed: (error: unknown) => void = () => {};
  const failure = new Promise<never>((_, reject) => {
    failed = reject;
  });
  failure.catch(() => {});
  stream.on("error", (error) => failed(new BlobError(`its blob is no valid ${compression}: ${describe(error)}`)));
  stream.on("data", (bytes: Buffer) => {
    try {
      take(bytes);
    } catch (error) {
      failed(error);
      stream.destroy();
    }
  });
  const done = new Promise<void>((resolve) => stream.on("end", resolve));
  return {
    write: (bytes) => Promise.race([failure, new Promise<void>((resolve) => stream.write(bytes, () => resolve()))]),
    end: () => {
      stream.end();
      return Promise.race([failure, done]);
    },
  };
}

async function run(job: Job, arrivals: Arrivals): Promise<Outcome> {
  const extraction = new Extraction(job);
  try {
    const { source } = job;
    const extracted =
      source.kind === "file" ? extractFile(extraction, source.fd) : await extractStream(extraction, job, arrivals);
    return { ok: true, extracted };
  } catch (error) {
    extraction.abort();
    if (error instanceof Cancelled) return { ok: false, fault: "cancelled", message: "stopped" };
    const disk = diskErrors.has(errorCode(error) ?? "");
    return { ok: false, fault: disk ? "disk" : "layer", message: describe(error) };
  }
}

function post(message: FromWorker): void {
  postMessage(message);
}

declare const self: Worker;
let arrivals = new Arrivals();

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if (data.type === "chunk") arrivals.push(data.bytes);
  else if (data.type === "end") arrivals.push(undefined);
  else {
    arrivals = new Arrivals();
    run(data.job, arrivals).then((outcome) => post({ type: "done", outcome }));
  }
};
