import { availableParallelism } from "node:os";

/** Words of the memory that all threads of a run share. */
const cancelled = 0;
const doneKiB = 1;
/** Layers that are worked on by two threads each. */
const layersAtWork = 2;
const wordCount = 3;

const cores = availableParallelism();

/** What the threads of a run tell each other beside their jobs: whether to stop, and how far they are. */
export class Control {
  /** To be sent to other threads, which make a Control of it. */
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(memory = new SharedArrayBuffer(wordCount * Int32Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
  }

  /** Whether all work shall stop. */
  get isCancelled(): boolean {
    return Atomics.load(this.#words, cancelled) !== 0;
  }

  /** Has every thread stop at its next chunk. */
  cancel(): void {
    Atomics.store(this.#words, cancelled, 1);
  }

  /** Notes that one more layer, or one less, is worked on by two threads. */
  begin(): void {
    Atomics.add(this.#words, layersAtWork, 1);
  }

  end(): void {
    Atomics.sub(this.#words, layersAtWork, 1);
  }

  /** Whether there is a core for each thread that works. */
  get hasFreeCore(): boolean {
    return 2 * Atomics.load(this.#words, layersAtWork) <= cores;
  }

  /** KiB of blobs done so far. */
  get doneKiB(): number {
    return Atomics.load(this.#words, doneKiB);
  }

  /** Counts bytes of a blob as done. */
  count(bytes: number): void {
    Atomics.add(this.#words, doneKiB, Math.round(bytes / 1024));
  }
}
