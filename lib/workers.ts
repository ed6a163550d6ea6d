import { availableParallelism } from "node:os";
import type { LayerSource } from "./cache.ts";
import { describe } from "./errors.ts";
import type { ExtractionTarget } from "./extract.ts";
import type { FromWorker, Job, Outcome, ToWorker } from "./worker.ts";

/** More gain little: layers are few, and the disk is one. */
const mostWorkers = 4;
/** Bytes of a stream on their way to a worker. */
const windowBytes = 4 << 20;

interface Thread {
  readonly worker: Worker;
  onMessage: (message: FromWorker) => void;
  onError: (reason: string) => void;
}

/** Threads that extract layers, one at a time each, so that the main thread stays free for signals and the registry. */
export class Workers {
  readonly #url: URL;
  readonly #limit = Math.min(mostWorkers, availableParallelism());
  readonly #idle: Thread[] = [];
  readonly #waiting: ((thread: Thread) => void)[] = [];
  readonly #control = new SharedArrayBuffer(8);
  readonly #view = new Int32Array(this.#control);
  #started = 0;
  #busy = 0;

  /** `url` is the worker script's. Threads start when there is work. */
  constructor(url: URL) {
    this.#url = url;
  }

  /** KiB of blobs done so far. */
  get progress(): number {
    return Atomics.load(this.#view, 1);
  }

  /** How many jobs can run at once. */
  get limit(): number {
    return this.#limit;
  }

  /** Asks all jobs to stop, and resolves when none is running any more. */
  async cancel(): Promise<void> {
    Atomics.store(this.#view, 0, 1);
    while (this.#busy > 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }

  terminate(): void {
    for (const { worker } of this.#idle) worker.terminate();
  }

  /** Extracts one layer, when a thread is free; `open` is called only then. Rejects with what `open` throws. */
  async extract(target: ExtractionTarget, diffId: string, open: () => Promise<LayerSource>): Promise<Outcome> {
    const thread = await this.#acquire();
    this.#busy += 1;
    try {
      if (Atomics.load(this.#view, 0) !== 0) return { ok: false, fault: "cancelled", message: "stopped" };
      return await this.#run(thread, target, diffId, await open());
    } finally {
      this.#busy -= 1;
      this.#release(thread);
    }
  }

  async #run(thread: Thread, target: ExtractionTarget, diffId: string, source: LayerSource): Promise<Outcome> {
    let inFlight = 0;
    let taken: () => void = () => {};
    let outcome: Outcome | undefined;
    const done = new Promise<Outcome>((resolve) => {
      const end = (result: Outcome) => {
        outcome = result;
        taken();
        resolve(result);
      };
      thread.onMessage = (message) => {
        if (message.type === "done") return end(message.outcome);
        inFlight -= message.bytes;
        taken();
      };
      thread.onError = (reason) => end({ ok: false, fault: "disk", message: `a worker thread failed: ${reason}` });
    });
    const { control, ...job } = { control: this.#control, target, diffId };
    if (source.kind === "file") {
      send(thread, { type: "start", job: { ...job, control, source } });
      return done;
    }
    const { chunks, ...description } = source;
    send(thread, { type: "start", job: { ...job, control, source: description } satisfies Job });
    try {
      for await (const chunk of chunks) {
        if (outcome !== undefined || Atomics.load(this.#view, 0) !== 0) break;
        inFlight += chunk.length;
        send(thread, { type: "chunk", bytes: chunk });
        while (inFlight > windowBytes && outcome === undefined) {
          await new Promise<void>((resolve) => {
            taken = resolve;
          });
        }
      }
    } catch (error) {
      // The worker ends with a digest that cannot be right; the reason worth telling is this one.
      send(thread, { type: "end" });
      await done;
      return { ok: false, fault: "layer", message: describe(error) };
    }
    send(thread, { type: "end" });
    return done;
  }

  async #acquire(): Promise<Thread> {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    if (this.#started < this.#limit) {
      this.#started += 1;
      return this.#start();
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #release(thread: Thread): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(thread);
    else next(thread);
  }

  #start(): Thread {
    const worker = new Worker(this.#url.href);
    const thread: Thread = { worker, onMessage: () => {}, onError: () => {} };
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => thread.onMessage(data);
    worker.onerror = (event) => thread.onError(event.message);
    return thread;
  }
}

function send(thread: Thread, message: ToWorker): void {
  const bytes = message.type === "chunk" ? message.bytes : undefined;
  // Bytes that have a buffer of their own change hands without being copied.
  const isWhole = bytes !== undefined && bytes.byteLength === bytes.buffer.byteLength;
  thread.worker.postMessage(message, isWhole && bytes.buffer instanceof ArrayBuffer ? [bytes.buffer] : []);
}
