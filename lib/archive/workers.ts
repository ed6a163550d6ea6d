import { closeSync } from "node:fs";
import { availableParallelism } from "node:os";
import { describe } from "../errors.ts";
import type { BlobJob, FromBlobThread, ToBlobThread } from "./blob-thread.ts";
import type { Extracted, ExtractionTarget } from "./extract.ts";
import type { LayerJob, LayerOutcome } from "./layer-thread.ts";
import { Ring } from "./ring.ts";
import type { LayerSource } from "./source.ts";

/** More gain little: layers are few, and the disk is one. */
const mostLayers = 4;
/** Bytes of a stream on their way to a worker. */
const windowBytes = 1 << 20;

/** How an extraction ended. `layer`: the blob is bad; `disk`: it cannot be written; `cancelled`: the run is cancelled. */
export type Outcome =
  | { readonly ok: true; readonly extracted: Extracted }
  | { readonly ok: false; readonly fault: "layer" | "disk" | "cancelled"; readonly message: string };

export interface WorkerScripts {
  readonly blob: URL;
  readonly layer: URL;
}

/** Two threads that work on one layer: one verifies its blob, the other extracts it. */
interface Pair {
  readonly ring: SharedArrayBuffer;
  readonly blob: Worker;
  readonly layer: Worker;
}

/** Threads that restore layers, so that the main thread stays free for signals and the registry. */
export class Workers {
  readonly #scripts: WorkerScripts;
  readonly #idle: Pair[] = [];
  /** Two int32: not 0 when all work shall stop; KiB of blobs done so far. */
  readonly #control = new SharedArrayBuffer(8);
  readonly #view = new Int32Array(this.#control);
  /** Resolves when all work shall stop. */
  readonly #abandoned = Promise.withResolvers<void>();
  #failure: string | undefined;
  #busy = 0;

  /** How many layers are extracted at once. */
  readonly limit = Math.min(mostLayers, availableParallelism());

  /** Threads start when there is work. */
  constructor(scripts: WorkerScripts) {
    this.#scripts = scripts;
  }

  /** KiB of blobs done so far. */
  get progress(): number {
    return Atomics.load(this.#view, 1);
  }

  /** Asks all jobs to stop, and resolves when none is running any more. */
  async cancel(): Promise<void> {
    this.#abandon();
    while (this.#busy > 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }

  /** Extracts one layer. Rejects with what `open` throws. */
  async extract(target: ExtractionTarget, diffId: string, open: () => Promise<LayerSource>): Promise<Outcome> {
    const pair = this.#acquire();
    this.#busy += 1;
    try {
      if (this.#failure !== undefined) return broken(this.#failure);
      if (this.#isCancelled) return cancelled;
      const source = await open();
      const fd = source.kind === "file" ? source.fd : undefined;
      Ring.reset(pair.ring);
      const [failure, outcome] = await Promise.all([
        this.#verify(pair, diffId, source),
        ask<LayerJob, LayerOutcome>(pair.layer, { ring: pair.ring, fd, control: this.#control, target }, broken),
      ]).finally(() => {
        if (fd !== undefined) closeSync(fd);
      });
      if (this.#failure !== undefined) return broken(this.#failure);
      return this.#isCancelled ? cancelled : combine(failure, outcome);
    } finally {
      this.#busy -= 1;
      this.#idle.push(pair);
    }
  }

  get #isCancelled(): boolean {
    return Atomics.load(this.#view, 0) !== 0;
  }

  /** Has a blob verified; resolves to what is wrong with it. */
  async #verify(pair: Pair, diffId: string, source: LayerSource): Promise<string | undefined> {
    const feed = new Feed(pair.blob);
    const job = { type: "start", ring: pair.ring, control: this.#control, diffId } as const;
    if (source.kind === "file") {
      feed.send({ ...job, source });
      return feed.done;
    }
    const { chunks, ...described } = source;
    feed.send({ ...job, source: described } satisfies BlobJob);
    try {
      for await (const chunk of until(this.#abandoned.promise, chunks)) {
        if (feed.isDone || this.#isCancelled) break;
        await feed.write(chunk);
      }
    } catch (error) {
      // The thread will find that the blob is cut off; the reason worth telling is this one.
      feed.send({ type: "end" });
      await feed.done;
      return describe(error);
    }
    feed.send({ type: "end" });
    return feed.done;
  }

  /** Callers run no more than `limit` extractions at once, so there are no more pairs than that. */
  #acquire(): Pair {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    const { blob, layer } = this.#scripts;
    const pair = { ring: Ring.memory(), blob: new Worker(blob.href), layer: new Worker(layer.href) };
    for (const worker of [pair.blob, pair.layer]) {
      worker.addEventListener("error", (event) => {
        // Its other half waits for it; nothing that still runs can be relied on.
        this.#failure ??= `a worker thread failed: ${event.message}`;
        this.#abandon();
      });
    }
    return pair;
  }

  /** Has every thread stop at the next chunk. */
  #abandon(): void {
    Atomics.store(this.#view, 0, 1);
    this.#abandoned.resolve();
  }
}

const cancelled = { ok: false, fault: "cancelled", message: "stopped" } as const;

/** What the two threads of a pair say, as one. */
function combine(failure: string | undefined, outcome: LayerOutcome): Outcome {
  if (!outcome.ok && outcome.fault === "disk") return { ok: false, fault: "disk", message: outcome.message };
  if (failure !== undefined) return { ok: false, fault: "layer", message: failure };
  return outcome.ok ? outcome : { ok: false, fault: "layer", message: outcome.message };
}

/** A thread that has died is no layer's fault. */
function broken(message: string): { ok: false; fault: "disk"; message: string } {
  return { ok: false, fault: "disk", message };
}

/** Chunks until `stop` resolves: a stalled download must not keep a run that has failed elsewhere. */
async function* until<T>(stop: Promise<void>, chunks: AsyncIterable<T>): AsyncGenerator<T, void, void> {
  const iterator = chunks[Symbol.asyncIterator]();
  const stopped = stop.then(() => undefined);
  try {
    for (;;) {
      const next = iterator.next();
      next.catch(() => {});
      const result = await Promise.race([next, stopped]);
      if (result === undefined || result.done === true) return;
      yield result.value;
    }
  } finally {
    // Not awaited: it waits for the chunk that does not come.
    iterator.return?.()?.catch(() => {});
  }
}

/** Sends a thread a job and resolves to its answer. */
function ask<Job, Answer>(worker: Worker, job: Job, failed: (reason: string) => Answer): Promise<Answer> {
  return new Promise((resolve) => {
    worker.onmessage = ({ data }: MessageEvent<Answer>) => resolve(data);
    worker.onerror = (event) => resolve(failed(event.message));
    worker.postMessage(job);
  });
}

/** Feeds a blob to the thread that reads it, no faster than it takes it. */
class Feed {
  readonly #worker: Worker;
  #inFlight = 0;
  #taken: () => void = () => {};
  isDone = false;
  /** Resolves when the thread is done, to what is wrong with the blob. */
  readonly done: Promise<string | undefined>;

  constructor(worker: Worker) {
    this.#worker = worker;
    this.done = new Promise((resolve) => {
      const end = (failure: string | undefined) => {
        this.isDone = true;
        this.#taken();
        resolve(failure);
      };
      worker.onmessage = ({ data }: MessageEvent<FromBlobThread>) => {
        if (data.type === "done") end(data.failure);
        else {
          this.#inFlight -= data.bytes;
          this.#taken();
        }
      };
      worker.onerror = (event) => end(`a worker thread failed: ${event.message}`);
    });
  }

  send(message: ToBlobThread): void {
    this.#worker.postMessage(message);
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#inFlight += bytes.length;
    // Bytes that have a buffer of their own change hands without being copied.
    const isWhole = bytes.byteLength === bytes.buffer.byteLength;
    const transfer = isWhole && bytes.buffer instanceof ArrayBuffer ? [bytes.buffer] : [];
    this.#worker.postMessage({ type: "chunk", bytes } satisfies ToBlobThread, transfer);
    while (this.#inFlight > windowBytes && !this.isDone) {
      await new Promise<void>((resolve) => {
        this.#taken = resolve;
      });
    }
  }
}
