import { availableParallelism } from "node:os";
import { describe } from "../errors.ts";
import { Slots } from "../slots.ts";
import type { BlobJob, FromBlobThread, ToBlobThread } from "./blob-thread.ts";
import { until } from "./chunks.ts";
import { Control } from "./control.ts";
import type { Extracted } from "./extract.ts";
import { type BlobResult, Feed } from "./feed.ts";
import type { LayerOutcome, LayerTarget } from "./layer-outcome.ts";
import type { LayerJob } from "./layer-thread.ts";
import { Ring } from "./ring.ts";
import { SharedWrites } from "./shared-writes.ts";
import type { SmallLayers, SmallThread } from "./small-layers.ts";
import { closeSource, isSmall, type LayerSource, NotOpened, type SmallSource } from "./source.ts";
import { tooFewThreads } from "./spare-threads.ts";
import { Thread } from "./thread.ts";
import { threadScripts } from "./thread-scripts.ts";
import { type Described, namingBlob } from "./wrong-content.ts";

/** More gain little: layers are few, and the disk is one. */
const mostLayers = 4;

/**
 * How an extraction ended. `layer`: the blob is bad; `disk`: it cannot be written; `thread`: a thread died, or was refused;
 * `cancelled`: the run is cancelled.
 */
type ExtractionOutcome =
  | { readonly ok: true; readonly extracted: Extracted; readonly effort: Effort }
  | { readonly ok: false; readonly fault: "layer" | "disk" | "thread" | "cancelled"; readonly message: string };

/** What a layer took. */
export interface Effort {
  /** Bytes of its blob as stored. */
  readonly bytesRead: number;
  /** How often something of it had to be asked for again. */
  readonly retries: number;
  /** How long was waited for the registry, how long it took to decompress and hash, and to read as tar and write: side by side. */
  readonly waitingMs: number;
  readonly hashingMs: number;
  readonly writingMs: number;
}

/** Two threads that work on one layer: one verifies its blob, the other extracts it. */
interface Pair {
  readonly ring: SharedArrayBuffer;
  readonly writes: SharedArrayBuffer;
  readonly blob: Thread<ToBlobThread, FromBlobThread>;
  readonly layer: Thread<LayerJob, LayerOutcome>;
}

/** Threads that restore layers, so that the main thread stays free for signals and the registry. */
export class Workers {
  readonly #scripts: typeof threadScripts;
  readonly #idle: Pair[] = [];
  readonly #control = new Control();
  /** Resolves when all work shall stop. */
  readonly #abandoned = Promise.withResolvers<void>();
  /** What became of a thread; nothing that still runs can be relied on then. */
  #death: string | undefined;
  /** Why no thread is started; known before the first one is. */
  #refusal: { readonly why: string | undefined } | undefined;
  #busy = 0;
  #small: Promise<SmallLayers> | undefined;

  /** How many layers are extracted at once by threads of their own. */
  readonly limit = Math.min(mostLayers, availableParallelism());
  readonly #turns = new Slots(this.limit);

  /** Threads start when there is work. */
  constructor(scripts = threadScripts) {
    this.#scripts = scripts;
  }

  /** KiB of blobs done so far. */
  get progress(): number {
    return this.#control.doneKiB;
  }

  /** Asks all jobs to stop, and resolves when none is running any more. */
  async cancel(): Promise<void> {
    this.#abandon();
    while (this.#busy > 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }

  /** Extracts one layer, or checks it. Rejects with a NotOpened where `open` does, or nothing comes of what it gives. */
  async extract(target: LayerTarget, diffId: string, open: () => Promise<LayerSource>): Promise<ExtractionOutcome> {
    if (this.#control.isCancelled || this.#areThreadsRefused) return this.#stopped();
    this.#busy += 1;
    try {
      const source = await open().catch((error) => {
        throw new NotOpened(error);
      });
      try {
        if (this.#control.isCancelled) return this.#stopped();
        if (isSmall(source)) return await this.#doSmall(target, diffId, source);
        return await this.#inThreads(target, diffId, source);
      } finally {
        closeSource(source);
      }
    } finally {
      this.#busy -= 1;
    }
  }

  async #doSmall(target: LayerTarget, diffId: string, source: SmallSource): Promise<ExtractionOutcome> {
    this.#small ??= this.#loadSmall();
    const outcome = await (await this.#small).do({ source, diffId, target });
    if (this.#control.isCancelled || outcome === undefined) return this.#stopped();
    this.#control.count(source.size);
    if (!outcome.ok) return named(source, outcome);
    const { extracted, hashingMs, writingMs } = outcome;
    return { ok: true, extracted, effort: { bytesRead: source.size, retries: 0, waitingMs: 0, hashingMs, writingMs } };
  }

  /** Loaded only where there is a small layer. */
  async #loadSmall(): Promise<SmallLayers> {
    const { SmallLayers } = await import("./small-layers.ts");
    return new SmallLayers(this.#control, () => this.#startSmallThread());
  }

  #startSmallThread(): SmallThread | undefined {
    if (this.limit === 1) return undefined;
    try {
      return new Thread(this.#scripts.small, (why) => this.#fail(why));
    } catch (error) {
      this.#fail(describe(error));
      return undefined;
    }
  }

  async #inThreads(target: LayerTarget, diffId: string, source: LayerSource): Promise<ExtractionOutcome> {
    using _turn = await this.#turns.take();
    const pair = this.#control.isCancelled ? undefined : this.#acquire();
    if (pair === undefined) return this.#stopped();
    this.#control.begin();
    try {
      return await this.#work(pair, target, diffId, source);
    } finally {
      this.#control.end();
      this.#idle.push(pair);
    }
  }

  async #work(pair: Pair, target: LayerTarget, diffId: string, source: LayerSource): Promise<ExtractionOutcome> {
    Ring.reset(pair.ring);
    SharedWrites.reset(pair.writes);
    const { ring, writes } = pair;
    const job = { ring, writes, control: this.#control.memory, diffId, source: described(source) };
    const [verified, outcome] = await Promise.all([
      this.#verify(pair, job, source),
      ask(pair.layer, { ...job, target }),
    ]);
    if (this.#control.isCancelled || outcome === undefined) return this.#stopped();
    if (verified.notOpened !== undefined) throw verified.notOpened;
    return named(source, combine(verified, outcome, source));
  }

  /** Has a blob verified; resolves to what is wrong with it, and how long it took. */
  async #verify(pair: Pair, job: Omit<BlobJob, "type">, source: LayerSource): Promise<Verified> {
    const feed = new Feed(pair.blob);
    feed.send({ type: "start", ...job });
    if (source.kind === "file") return { ...(await feed.done), waitingMs: 0 };
    let waitingMs = 0;
    let waitingSince = performance.now();
    try {
      for await (const chunk of until(this.#abandoned.promise, source.chunks)) {
        waitingMs += performance.now() - waitingSince;
        if (feed.isDone || this.#control.isCancelled) break;
        await feed.write(chunk);
        waitingSince = performance.now();
      }
    } catch (error) {
      // The thread will find that the blob is cut off; the reason worth telling is this one.
      feed.send({ type: "end" });
      const { busyMs } = await feed.done;
      return { failure: describe(error), busyMs, waitingMs, ...(error instanceof NotOpened && { notOpened: error }) };
    }
    feed.send({ type: "end" });
    return { ...(await feed.done), waitingMs };
  }

  /** Two threads that have nothing to do; undefined where the system refuses them. */
  #acquire(): Pair | undefined {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    const onDeath = (why: string) => this.#fail(why);
    try {
      return {
        ring: Ring.memory(),
        writes: SharedWrites.memory(),
        blob: new Thread(this.#scripts.blob, onDeath),
        layer: new Thread(this.#scripts.layer, onDeath),
      };
    } catch (error) {
      this.#fail(describe(error));
      return undefined;
    }
  }

  /** Looked at also for what is done without them: the runtime aborts where its own are refused. */
  get #areThreadsRefused(): boolean {
    this.#refusal ??= { why: tooFewThreads(2 * this.limit + 1) };
    if (this.#refusal.why !== undefined) this.#fail(this.#refusal.why);
    return this.#refusal.why !== undefined;
  }

  #fail(why: string): void {
    this.#death ??= why;
    this.#abandon();
  }

  /** Has every thread stop at the next chunk. */
  #abandon(): void {
    this.#control.cancel();
    this.#abandoned.resolve();
  }

  #stopped(): ExtractionOutcome {
    if (this.#death !== undefined) return { ok: false, fault: "thread", message: this.#death };
    return { ok: false, fault: "cancelled", message: "stopped" };
  }
}

/** With the name of the blob, where that is bad. */
function named(source: LayerSource, outcome: ExtractionOutcome): ExtractionOutcome {
  if (outcome.ok || outcome.fault !== "layer") return outcome;
  return { ...outcome, message: namingBlob(source, outcome.message) };
}

/** What can be told a thread of a source. */
function described(source: LayerSource): Described {
  if (source.kind === "file") return source;
  const { chunks: _, retries: __, ...described } = source;
  return described;
}

/** What the two threads of a pair say, as one. */
function combine(verified: Verified, outcome: LayerOutcome, source: LayerSource): ExtractionOutcome {
  const { failure, busyMs, waitingMs } = verified;
  if (!outcome.ok && outcome.fault === "disk") return { ok: false, fault: "disk", message: outcome.message };
  if (failure !== undefined) return { ok: false, fault: "layer", message: failure };
  if (!outcome.ok) return { ok: false, fault: "layer", message: outcome.message };
  const { extracted, writingMs } = outcome;
  const hashingMs = busyMs + outcome.hashingMs;
  const retries = (source.kind === "stream" && source.retries?.()) || 0;
  return { ok: true, extracted, effort: { bytesRead: source.size, retries, waitingMs, hashingMs, writingMs } };
}

interface Verified extends BlobResult {
  readonly waitingMs: number;
  /** Where nothing of it can be had. */
  readonly notOpened?: NotOpened;
}

/** Sends a thread a job and resolves to its answer; to undefined if it dies. */
function ask<Job, Answer>(thread: Thread<Job, Answer>, job: Job): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    thread.listen(resolve, () => resolve(undefined));
    thread.send(job);
  });
}
