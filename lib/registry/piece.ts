import { streamBlob } from "./blobs.ts";
import type { BlobOptions } from "./part-body.ts";

/** How much longer than its sisters, and how long at least, a connection may take before it is given up. */
const patience = { times: 3, ms: 1_000 };

/** A part of a blob that is fetched at once, and kept until it is wanted. */
export class Piece {
  /** When it is there, or has failed. */
  readonly over: Promise<void>;
  readonly #queue: Uint8Array<ArrayBuffer>[] = [];
  readonly bytes: number;
  #givenUp = 0;
  #began: number | undefined;
  #ended: number | undefined;
  /** When its present connection was asked for. */
  #asked: number | undefined;
  #failure: { readonly error: unknown } | undefined;
  #arrived = 0;
  #wake = () => {};
  #giveUp = () => {};

  constructor(options: BlobOptions, from: number, end: number) {
    this.bytes = end - from;
    this.over = this.#fetch(options, from, end).catch((error: unknown) => {
      this.#failure = { error };
      this.#wake();
    });
  }

  get isComplete(): boolean {
    return this.#ended !== undefined;
  }

  /** Whether less than half of it has come. */
  get isFarBehind(): boolean {
    return 2 * this.#arrived < this.bytes;
  }

  /** How long it took, without the wait for a connection, once it is there. */
  get msPerByte(): number {
    return ((this.#ended ?? 0) - (this.#began ?? 0)) / this.bytes;
  }

  /** How long its present connection has taken so far. */
  get waitedMs(): number {
    return this.#asked === undefined ? 0 : performance.now() - this.#asked;
  }

  /** How many connections were given up for a new one. */
  get givenUp(): number {
    return this.#givenUp;
  }

  /** Has the rest come by another connection. */
  giveUp(): void {
    this.#givenUp += 1;
    this.#asked = undefined;
    this.#giveUp();
  }

  async *chunks(): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
    for (;;) {
      const chunk = this.#queue.shift();
      if (chunk !== undefined) yield chunk;
      else if (this.#failure !== undefined) throw this.#failure.error;
      else if (this.isComplete) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async #fetch(options: BlobOptions, from: number, end: number): Promise<void> {
    using _slot = await options.slots.take(options.signal);
    this.#began = performance.now();
    const onConnection = (giveUp: () => void) => {
      this.#asked = performance.now();
      this.#giveUp = giveUp;
    };
    // A wait that the server asked for, or that follows a failure, is no sign of a slow connection.
    const waits = () => {
      this.#asked = undefined;
    };
    const open: BlobOptions["open"] = async (from, end, signal, beside) => {
      if (beside !== undefined) return options.open(from, end, signal, beside);
      const answer = await options.open(from, end, signal, { waits });
      this.#asked ??= performance.now();
      return answer;
    };
    for await (const chunk of streamBlob({ ...options, open }, { from, end, onConnection })) {
      this.#arrived += chunk.length;
      this.#queue.push(chunk);
      this.#wake();
    }
    this.#ended = performance.now();
    this.#wake();
  }
}

/**
 * Where others of a window are there, though they began later, and took much less time, the one that is waited for gets a new
 * connection; the last one where those before it did. Each further one gets twice the time: a store with a server that hangs
 * may lead there again.
 */
export function giveUpSlowest([head, ...others]: readonly Piece[], before: Piece | undefined): void {
  const sisters = others.length === 0 && before !== undefined ? [before] : others.filter((piece) => piece.isComplete);
  if (head === undefined || sisters.length === 0) return;
  const usualMs = head.bytes * Math.max(...sisters.map((piece) => piece.msPerByte));
  if (head.waitedMs > Math.max(patience.ms, patience.times * usualMs) * 2 ** head.givenUp) head.giveUp();
}
