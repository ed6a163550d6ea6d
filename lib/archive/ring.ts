import type { Control } from "./control.ts";

const slotCount = 4;
const slotBytes = 512 * 1024;

// Words of the memory that the two sides share, ahead of the slots.
const produced = 0;
/** How many chunks each side is done with, and what it waits on: changed whenever the other side has done something. */
const sideWords = { hash: { taken: 1, bell: 2 }, extract: { taken: 3, bell: 4 } } as const;
const ended = 5;
const stopping = 6;
/** 1 while a side reads the next chunk. */
const reading = 7;
/** 1 where the side that extracts hashes, too. */
const hashedByExtractor = 8;
const lengths = 9;
/** A float64 behind the int32 words, at a multiple of eight: the position in the blob of the next chunk. */
const positionAt = 8 * Math.ceil(((lengths + slotCount) * Int32Array.BYTES_PER_ELEMENT) / 8);
const slotsAt = positionAt + Float64Array.BYTES_PER_ELEMENT;

/** More chunks than any blob has. */
const everything = 0x7fffffff;

/** How long a side sleeps before it looks again whether the run is cancelled. */
const napMs = 50;

/** The other side has stopped, or the run is cancelled. */
export class RingStopped extends Error {
  override readonly name = "RingStopped";
}

/** Reads the bytes of a blob from a position on; returns how many there were, 0 at its end. */
export type ReadChunk = (into: Buffer, position: number) => number;

/**
 * Chunks of a blob's uncompressed bytes in memory that two threads share: one hashes them, the other extracts them, each in
 * its own time but never more than all slots apart. A blob that is a file is read by whichever of them has nothing else to
 * do, so that neither waits while a core is idle; one that comes from elsewhere is put in by the side that hashes. Both
 * sides block while they wait, so both belong in workers.
 */
export class Ring {
  readonly #words: Int32Array;
  readonly #position: Float64Array;
  readonly #slots: readonly Buffer[];
  readonly #run: Control;
  readonly #own: { readonly taken: number; readonly bell: number };
  readonly #other: { readonly taken: number; readonly bell: number };

  /** Memory for one ring, to be sent to both threads. */
  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(slotsAt + slotCount * slotBytes);
  }

  /** The ring as one of the two sides sees it. */
  constructor(memory: SharedArrayBuffer, side: "hash" | "extract", run: Control) {
    this.#words = new Int32Array(memory, 0, lengths + slotCount);
    this.#position = new Float64Array(memory, positionAt, 1);
    this.#slots = Array.from({ length: slotCount }, (_, i) => Buffer.from(memory, slotsAt + i * slotBytes, slotBytes));
    this.#run = run;
    this.#own = sideWords[side];
    this.#other = sideWords[side === "hash" ? "extract" : "hash"];
  }

  /** Makes a ring ready for the next job; no side may be at work. */
  static reset(memory: SharedArrayBuffer): void {
    new Uint8Array(memory, 0, slotsAt).fill(0);
  }

  /** An empty slot to fill, as soon as there is one. Throws RingStopped. */
  acquire(): Buffer {
    for (;;) {
      const bell = Atomics.load(this.#words, this.#own.bell);
      if (Atomics.load(this.#words, stopping) !== 0 || this.#run.isCancelled) throw new RingStopped();
      if (this.#hasRoom()) return this.#slot(produced);
      Atomics.wait(this.#words, this.#own.bell, bell, napMs);
    }
  }

  /** Hands over the first `length` bytes of the slot acquired last; returns them. */
  commit(length: number): Buffer {
    const slot = this.#slot(produced);
    this.#words[lengths + (Atomics.load(this.#words, produced) % slotCount)] = length;
    Atomics.add(this.#words, produced, 1);
    this.#tell();
    return slot.subarray(0, length);
  }

  /** Says that this side is done with the next chunk. */
  release(): void {
    Atomics.add(this.#words, this.#own.taken, 1);
    this.#tell();
  }

  /** Leaves hashing to the side that extracts; to be said before the first chunk. */
  leaveHashing(): void {
    Atomics.store(this.#words, hashedByExtractor, 1);
  }

  /** Whether the side that extracts hashes; known with the first chunk. */
  get isHashingLeft(): boolean {
    return Atomics.load(this.#words, hashedByExtractor) !== 0;
  }

  /** Says that all chunks are there. */
  end(): void {
    Atomics.store(this.#words, ended, 1);
    this.#tell();
  }

  /**
   * Calls `take` with every chunk until they end, and meanwhile helps with what else there is to do, while `help` finds
   * something, and reads with `read` what this side would otherwise wait for. Throws RingStopped, and what these throw.
   */
  drain(take: (bytes: Buffer) => void, read?: ReadChunk, help?: () => boolean): void {
    for (;;) {
      const bell = Atomics.load(this.#words, this.#own.bell);
      const isLast = Atomics.load(this.#words, ended) !== 0;
      if (this.#run.isCancelled) throw new RingStopped();
      const taken = Atomics.load(this.#words, this.#own.taken);
      if (Atomics.load(this.#words, produced) > taken) {
        take(this.#slot(this.#own.taken).subarray(0, this.#words[lengths + (taken % slotCount)]));
        this.release();
        continue;
      }
      if (isLast) return;
      if (Atomics.load(this.#words, stopping) !== 0) throw new RingStopped();
      if (help?.() === true) continue;
      if (read === undefined || !this.#readNext(read)) Atomics.wait(this.#words, this.#own.bell, bell, napMs);
    }
  }

  /** Says that this side takes no more; the other goes on without it. */
  leave(): void {
    Atomics.store(this.#words, this.#own.taken, everything);
    this.#tell();
  }

  /** Says that this side takes no more, and that the other need not go on. */
  stop(): void {
    Atomics.store(this.#words, stopping, 1);
    this.#tell();
  }

  /** Reads one chunk, or finds the end; false when there is no room, or the other side is reading. */
  #readNext(read: ReadChunk): boolean {
    if (Atomics.compareExchange(this.#words, reading, 0, 1) !== 0) return false;
    try {
      if (Atomics.load(this.#words, ended) !== 0) return true;
      if (!this.#hasRoom()) return false;
      const [position = 0] = this.#position;
      const length = read(this.#slot(produced), position);
      this.#position[0] = position + length;
      if (length === 0) this.end();
      else this.commit(length);
      return true;
    } finally {
      Atomics.store(this.#words, reading, 0);
    }
  }

  #hasRoom(): boolean {
    const slowest = Math.min(Atomics.load(this.#words, this.#own.taken), Atomics.load(this.#words, this.#other.taken));
    return Atomics.load(this.#words, produced) - slowest < slotCount;
  }

  #slot(counter: number): Buffer {
    return this.#slots[Atomics.load(this.#words, counter) % slotCount] ?? Buffer.alloc(0);
  }

  /** Wakes the other side, should it wait: there is something to help with. */
  askForHelp(): void {
    this.#tell();
  }

  /** Wakes the other side, should it wait. */
  #tell(): void {
    Atomics.add(this.#words, this.#other.bell, 1);
    Atomics.notify(this.#words, this.#other.bell);
  }
}
