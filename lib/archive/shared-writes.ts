import { closeSync, constants, openSync } from "node:fs";
import { writeAll } from "../disk/write.ts";
import { toPath } from "../latin1.ts";
import type { Control } from "./control.ts";
import { RingStopped } from "./ring.ts";

// Words of the memory that the two sides share, ahead of the records: all of them only grow.
const offered = 0;
const claimed = 1;
const done = 2;
const recordsAt = 4 * Int32Array.BYTES_PER_ELEMENT;

const recordCount = 256;
const recordBytes = 512;
/** Words of a record; the path follows them. */
const [state, contentAt, contentBytes, fileMode, pathBytes, recordWords] = [0, 1, 2, 3, 4, 5];
const pathAt = recordWords * Int32Array.BYTES_PER_ELEMENT;
const longestPath = recordBytes - pathAt;
const [waiting, written, returned] = [0, 1, 2];

/** How long a side sleeps before it looks again whether the run is cancelled. */
const napMs = 50;

/** A file that could not be written at once, by the name under which it was offered. */
interface Returned {
  readonly name: string;
  readonly mode: number;
  readonly bytes: Buffer;
}

/** For files that nobody has made yet, never by way of a link. */
export const creating = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/**
 * Small files of a layer, that whichever of two threads has time writes: the one that extracts offers those whose content is
 * whole in a chunk of the ring, both take them, and before it goes on to what depends on them it settles. It decides alone what
 * is written where; paths lead through its private root. Errors are its own, too: what fails comes back to it.
 */
export class SharedWrites {
  readonly #words: Int32Array;
  readonly #records: readonly { readonly words: Int32Array; readonly path: Buffer }[];
  readonly #ring: SharedArrayBuffer;
  readonly #run: Control;
  readonly #wake: () => void;
  /** Names of what was offered since it was last settled, and how many were before. */
  readonly #names = new Set<string>();
  #settled = 0;

  /** Memory for one pair of threads, to be sent to both. */
  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(recordsAt + recordCount * recordBytes);
  }

  /** Forgets what an earlier job has left; no side may be at work. */
  static reset(memory: SharedArrayBuffer): void {
    new Uint8Array(memory, 0, recordsAt).fill(0);
  }

  /** As one of the two sides sees it; `ring` is where contents are, `wake` wakes the other side. */
  constructor(memory: SharedArrayBuffer, ring: SharedArrayBuffer, run: Control, wake = () => {}) {
    this.#words = new Int32Array(memory, 0, recordsAt / Int32Array.BYTES_PER_ELEMENT);
    this.#records = Array.from({ length: recordCount }, (_, i) => {
      const at = recordsAt + i * recordBytes;
      return { words: new Int32Array(memory, at, recordWords), path: Buffer.from(memory, at + pathAt, longestPath) };
    });
    this.#ring = ring;
    this.#run = run;
    this.#wake = wake;
  }

  /** Whether a file was offered under a name since it was last settled: it may be there or not. */
  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** Offers a file; false where there is no core for it, no room, or its content is elsewhere. A name may be offered once. */
  offer(name: string, path: string, mode: number, bytes: Uint8Array): boolean {
    if (!this.#run.hasFreeCore || path.length > longestPath || bytes.buffer !== this.#ring) return false;
    const count = Atomics.load(this.#words, offered);
    const record = this.#records[count % recordCount];
    if (record === undefined || count - this.#settled >= recordCount) return false;
    this.#names.add(name);
    const { words } = record;
    words[contentAt] = bytes.byteOffset;
    words[contentBytes] = bytes.length;
    words[fileMode] = mode;
    words[pathBytes] = record.path.write(path, "latin1");
    words[state] = waiting;
    Atomics.store(this.#words, offered, count + 1);
    if (Atomics.load(this.#words, claimed) === count) this.#wake();
    return true;
  }

  /** Writes one file that was offered; false where there is none. */
  help(): boolean {
    const next = Atomics.load(this.#words, claimed);
    if (next >= Atomics.load(this.#words, offered)) return false;
    if (Atomics.compareExchange(this.#words, claimed, next, next + 1) !== next) return true;
    const record = this.#records[next % recordCount];
    if (record !== undefined) record.words[state] = this.#write(next) ? written : returned;
    Atomics.add(this.#words, done, 1);
    Atomics.notify(this.#words, done);
    return true;
  }

  /**
   * Has all that was offered written; returns what could not be, for the side that offered it to try, and to tell. Throws a
   * RingStopped when the run is cancelled.
   */
  settle(): Returned[] {
    const count = Atomics.load(this.#words, offered);
    if (count === this.#settled) return [];
    while (this.help());
    for (let sofar = 0; sofar < count; sofar = Atomics.load(this.#words, done)) {
      if (this.#run.isCancelled) throw new RingStopped();
      Atomics.wait(this.#words, done, sofar, napMs);
    }
    const failed = [...this.#names].flatMap((name, index) => {
      const at = this.#settled + index;
      return this.#records[at % recordCount]?.words[state] === returned ? [{ name, ...this.#read(at) }] : [];
    });
    this.#settled = count;
    this.#names.clear();
    return failed;
  }

  /** Takes back what nobody has begun. */
  abandon(): void {
    Atomics.store(this.#words, claimed, Atomics.load(this.#words, offered));
  }

  #write(at: number): boolean {
    const { path, mode, bytes } = this.#read(at);
    try {
      const fd = openSync(toPath(path), creating, mode);
      try {
        writeAll(fd, bytes);
      } finally {
        closeSync(fd);
      }
      return true;
    } catch {
      // Told by whoever tries again.
      return false;
    }
  }

  #read(at: number): Omit<Returned, "name"> & { readonly path: string } {
    const { words, path } = this.#records[at % recordCount] ?? {
      words: new Int32Array(recordWords),
      path: Buffer.alloc(0),
    };
    return {
      path: path.toString("latin1", 0, words[pathBytes]),
      mode: words[fileMode] ?? 0,
      bytes: Buffer.from(this.#ring, words[contentAt], words[contentBytes]),
    };
  }
}
