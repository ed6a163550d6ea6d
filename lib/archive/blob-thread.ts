import { describe } from "../errors.ts";
import { fileReader } from "./blob-file.ts";
import { Control } from "./control.ts";
import type { Sink } from "./decompress.ts";
import { type ReadChunk, Ring, RingStopped } from "./ring.ts";
import { SharedWrites } from "./shared-writes.ts";
import { Stopwatch } from "./stopwatch.ts";
import { Content, StoredBlob } from "./verification.ts";
import type { Described } from "./wrong-content.ts";

/**
 * Verifies the blob of one layer, whose uncompressed bytes go through a ring. The blob is an open file, which both sides
 * of the ring read, or comes in `chunk` messages.
 */
export interface BlobJob {
  readonly type: "start";
  readonly ring: SharedArrayBuffer;
  /** Files that this side may write, while it has nothing to hash. */
  readonly writes: SharedArrayBuffer;
  readonly control: SharedArrayBuffer;
  /** What the SHA-256 of the uncompressed archive must be, `sha256:<hex>`. */
  readonly diffId: string;
  readonly source: Described;
}

/** A job, then, of a stream, its chunks and its end. */
export type ToBlobThread = BlobJob | { readonly type: "chunk"; readonly bytes: Uint8Array } | { readonly type: "end" };

/** `done` comes once for each job; `failure` says why the blob cannot be used, `busyMs` how long it took to decompress and hash. */
export type FromBlobThread =
  | { readonly type: "taken"; readonly bytes: number }
  | { readonly type: "done"; readonly failure: string | undefined; readonly busyMs: number };

/** The side of the ring that hashes what goes through it. */
class Hashing implements Sink {
  readonly #content: Content;
  readonly #control: Control;
  readonly #ring: Ring;
  readonly #writes: SharedWrites;
  readonly #stopwatch = new Stopwatch();

  constructor(job: BlobJob) {
    this.#content = new Content(job.diffId, job.source);
    this.#control = new Control(job.control);
    this.#ring = new Ring(job.ring, "hash", this.#control);
    this.#writes = new SharedWrites(job.writes, job.ring, this.#control);
  }

  get busyMs(): number {
    return this.#stopwatch.ms;
  }

  /** Runs what takes time of its own; what is waited for a slot meanwhile does not count. */
  work(run: () => void): void {
    this.#stopwatch.run(run);
  }

  isSlow(): void {
    this.#ring.leaveHashing();
  }

  acquire(): Buffer {
    return this.#stopwatch.pause(() => this.#ring.acquire());
  }

  commit(length: number): void {
    const bytes = this.#ring.commit(length);
    if (!this.#ring.isHashingLeft) this.#content.take(bytes);
    this.#ring.release();
  }

  /** Hashes a file, read here where the other side does not, and writes what that offers. */
  drain(read: ReadChunk): void {
    const take = (bytes: Buffer) => {
      this.work(() => this.#content.take(bytes));
      this.count(bytes.length);
    };
    this.#ring.drain(take, read, () => this.#writes.help());
  }

  /** Counts bytes of the blob as done, for progress. */
  count(bytes: number): void {
    this.#control.count(bytes);
  }

  finish(): void {
    if (!this.#ring.isHashingLeft) this.#content.verify();
    this.#ring.end();
  }

  fail(): void {
    this.#ring.stop();
  }
}

declare const self: Worker;
/** The job under way; undefined when there is none, or it has failed and the rest of its stream is dropped. */
let current: { readonly hashing: Hashing; readonly blob: StoredBlob | undefined } | undefined;

self.onmessage = ({ data }: MessageEvent<ToBlobThread>) => {
  try {
    if (data.type === "start") start(data);
    else if (data.type === "chunk") take(data.bytes);
    else if (current !== undefined) end();
  } catch (error) {
    // What fails outside of a job is this thread's own trouble, and its end.
    if (current === undefined) throw error;
    current.hashing.fail();
    // Whoever stopped the ring says why.
    done(error instanceof RingStopped ? undefined : describe(error));
  }
};

function start(job: BlobJob): void {
  const { source } = job;
  const hashing = new Hashing(job);
  current = { hashing, blob: source.kind === "stream" ? new StoredBlob(source, hashing) : undefined };
  if (source.kind === "stream") return;
  hashing.drain(fileReader(source.fd));
  end();
}

function take(bytes: Uint8Array): void {
  const { length } = bytes;
  const { hashing, blob } = current ?? {};
  hashing?.work(() => blob?.write(Buffer.from(bytes.buffer, bytes.byteOffset, length)));
  hashing?.count(length);
  // Given back now: the collector would leave megabytes lying about.
  if (bytes.buffer instanceof ArrayBuffer) bytes.buffer.transfer(0);
  post({ type: "taken", bytes: length });
}

function end(): void {
  current?.blob?.finish();
  current?.hashing.finish();
  done(undefined);
}

function done(failure: string | undefined): void {
  const busyMs = current?.hashing.busyMs ?? 0;
  current?.blob?.close();
  current = undefined;
  post({ type: "done", failure, busyMs });
}

function post(message: FromBlobThread): void {
  postMessage(message);
}
