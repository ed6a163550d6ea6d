const slotCount = 4;
const slotBytes = 512 * 1024;

// Words of the control block.
const produced = 0;
const consumed = 1;
const ending = 2;
const stopping = 3;
/** Rung (changed) by each side whenever the other may have something to do: what a sleeper waits on. */
const producerBell = 4;
const consumerBell = 5;
const lengths = 6;
const controlBytes = (lengths + slotCount) * Int32Array.BYTES_PER_ELEMENT;

/** How long a side sleeps before it looks again whether the run is cancelled. */
const napMs = 50;

/** The other side has stopped, or the run is cancelled. */
export class RingStopped extends Error {
  override readonly name = "RingStopped";
}

/** How the producer ended: all is there and verified, or not. */
type Ending = "verified" | "failed";

/**
 * Chunks of bytes in shared memory on their way from one thread to another: what is hashed here is, without a copy, what
 * is extracted there. Both sides block while they wait, so both belong in workers.
 */
export class Ring {
  readonly #control: Int32Array;
  readonly #slots: readonly Buffer[];
  readonly #isCancelled: () => boolean;

  /** Memory for one ring, to be sent to both threads. */
  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(controlBytes + slotCount * slotBytes);
  }

  constructor(memory: SharedArrayBuffer, isCancelled: () => boolean) {
    this.#control = new Int32Array(memory, 0, lengths + slotCount);
    this.#slots = Array.from({ length: slotCount }, (_, i) =>
      Buffer.from(memory, controlBytes + i * slotBytes, slotBytes),
    );
    this.#isCancelled = isCancelled;
  }

  /** Makes a ring ready for the next job; no side may be at work. */
  static reset(memory: SharedArrayBuffer): void {
    new Int32Array(memory, 0, lengths + slotCount).fill(0);
  }

  /** Producer: an empty slot to fill, as soon as there is one. Throws RingStopped. */
  acquire(): Buffer {
    for (;;) {
      const bell = Atomics.load(this.#control, consumerBell);
      if (Atomics.load(this.#control, stopping) !== 0 || this.#isCancelled()) throw new RingStopped();
      const filled = Atomics.load(this.#control, produced) - Atomics.load(this.#control, consumed);
      if (filled < slotCount) return this.#slot(produced);
      Atomics.wait(this.#control, consumerBell, bell, napMs);
    }
  }

  /** Producer: hands over the first `length` bytes of the slot acquired last. */
  commit(length: number): void {
    this.#control[lengths + (Atomics.load(this.#control, produced) % slotCount)] = length;
    Atomics.add(this.#control, produced, 1);
    this.#ring(producerBell);
  }

  /** Producer: says that nothing more comes, and whether what came is good. */
  end(how: Ending): void {
    Atomics.store(this.#control, ending, how === "verified" ? 1 : 2);
    this.#ring(producerBell);
  }

  /** Consumer: calls `take` with every chunk until the producer ends. Throws RingStopped on cancellation, and what `take` throws. */
  drain(take: (bytes: Buffer) => void): Ending {
    for (;;) {
      const bell = Atomics.load(this.#control, producerBell);
      const how = Atomics.load(this.#control, ending);
      if (this.#isCancelled()) throw new RingStopped();
      const taken = Atomics.load(this.#control, consumed);
      if (Atomics.load(this.#control, produced) > taken) {
        take(this.#slot(consumed).subarray(0, this.#control[lengths + (taken % slotCount)]));
        Atomics.add(this.#control, consumed, 1);
        this.#ring(consumerBell);
      } else if (how !== 0) {
        return how === 1 ? "verified" : "failed";
      } else {
        Atomics.wait(this.#control, producerBell, bell, napMs);
      }
    }
  }

  /** Consumer: says that it takes no more. */
  stop(): void {
    Atomics.store(this.#control, stopping, 1);
    this.#ring(consumerBell);
  }

  #slot(counter: typeof produced | typeof consumed): Buffer {
    return this.#slots[Atomics.load(this.#control, counter) % slotCount] ?? Buffer.alloc(0);
  }

  #ring(bell: typeof producerBell | typeof consumerBell): void {
    Atomics.add(this.#control, bell, 1);
    Atomics.notify(this.#control, bell);
  }
}
