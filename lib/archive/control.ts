/** Words of the memory that all threads of a run share. */
const cancelled = 0;
const doneKiB = 1;
const wordCount = 2;

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

  /** KiB of blobs done so far. */
  get doneKiB(): number {
    return Atomics.load(this.#words, doneKiB);
  }

  /** Counts bytes of a blob as done. */
  count(bytes: number): void {
    Atomics.add(this.#words, doneKiB, Math.round(bytes / 1024));
  }
}
