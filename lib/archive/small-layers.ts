import type { Control } from "./control.ts";
import { doUnlessCancelled, type SmallJob, type SmallOutcome } from "./small-layer.ts";
import type { SmallBatch } from "./small-thread.ts";
import type { Thread } from "./thread.ts";

/** So many are told the other thread at a time: one alone is done sooner than told. */
const batchSize = 16;

/** The other thread, which is told batches. */
export type SmallThread = Thread<SmallBatch, SmallOutcome[]>;

interface Waiting {
  readonly job: SmallJob;
  readonly resolve: (outcome: SmallOutcome | undefined | Promise<SmallOutcome>) => void;
}

/**
 * Small layers, of which a few are extracted in this thread. Where many come at a time, and there is another core, another
 * thread does that, while this one opens the blobs and publishes the layers of others.
 */
export class SmallLayers {
  readonly #control: Control;
  /** Starts the other thread; undefined where there is no core for it, or it is refused. */
  readonly #start: () => SmallThread | undefined;
  #thread: SmallThread | undefined;
  #waiting: Waiting[] = [];
  /** What the other thread has not answered yet, in order. */
  readonly #sent: Waiting[][] = [];

  constructor(control: Control, start: () => SmallThread | undefined) {
    this.#control = control;
    this.#start = start;
  }

  /** Resolves to undefined if the other thread dies. */
  do(job: SmallJob): Promise<SmallOutcome | undefined> {
    const { promise, resolve } = Promise.withResolvers<SmallOutcome | undefined>();
    const count = this.#waiting.push({ job, resolve });
    if (count === 1) this.#comeBack();
    if (count === batchSize) this.#tell();
    return promise;
  }

  /** Sees to those that are too few to be told, once no others come. */
  #comeBack(): void {
    if (this.#sent.length === 0) setImmediate(() => this.#doHere());
    // Answers that bring others would else be heard after it.
    else setTimeout(() => this.#doHere(), 1);
  }

  #tell(): void {
    this.#thread ??= this.#startThread();
    if (this.#thread === undefined) return;
    this.#sent.push(this.#waiting);
    this.#thread.send({ control: this.#control.memory, jobs: this.#waiting.map(({ job }) => job) });
    this.#waiting = [];
  }

  /** What was not told the other thread: one at a time, for on a slow disk each may take long, and signals are heard in between. */
  #doHere(): void {
    const next = this.#waiting.shift();
    if (next === undefined) return;
    next.resolve(Promise.try(() => doUnlessCancelled(this.#control, next.job)));
    if (this.#waiting.length > 0) setImmediate(() => this.#doHere());
  }

  #startThread(): SmallThread | undefined {
    const thread = this.#start();
    const settle = (outcomes: readonly SmallOutcome[]) => {
      for (const [at, { resolve }] of (this.#sent.shift() ?? []).entries()) resolve(outcomes[at]);
    };
    thread?.listen(settle, () => {
      while (this.#sent.length > 0) settle([]);
    });
    return thread;
  }
}
