import type { Slots } from "../slots.ts";
import { type BlobOptions, NotInParts, type Part, streamBlob } from "./blobs.ts";
import { RegistryError } from "./errors.ts";

/** Bytes that a connection brings at a time; as many are kept for each until they are wanted. */
const pieceBytes = 4 * 1024 * 1024;
/** Blobs below this come in one stream. */
const smallest = 16 * 1024 * 1024;
/** Bytes a second of one connection beyond which more of them bring nothing: what is done with the bytes takes longer. */
const enough = 120 * 1024 * 1024;
/** How much longer than its sisters, and how long at least, a connection may take before it is given up. */
const patience = { times: 3, ms: 1_000 };
const watchMs = 250;

/** How a blob is streamed, and by how many connections at a time. */
export interface PieceOptions extends BlobOptions {
  readonly connections: number;
  /** Connections to the host that are free. */
  readonly slots: Slots;
  /** False once the host has asked for fewer requests. */
  readonly mayWiden: () => boolean;
  /** What became of it, for debug. */
  readonly tell: (message: string) => void;
}

type Chunks = AsyncGenerator<Uint8Array<ArrayBuffer>, number, void>;

/**
 * The bytes of a blob, in order. Where one connection is slow, a large blob comes by several, in pieces. A server that knows
 * no ranges, limits its clients, or fails at a piece is asked for the rest in one stream, from where it has got to.
 */
export async function* streamInPieces(options: PieceOptions): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  const { size, connections, mayWiden, signal, tell } = options;
  let delivered = 0;
  if (size >= smallest && connections > 1 && mayWiden()) {
    try {
      for await (const chunk of widened(options)) {
        // What is already there asks no network, which would notice.
        signal.throwIfAborted();
        delivered += chunk.length;
        yield chunk;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof NotInParts)) throw error;
      tell(`going on in one stream at byte ${delivered} of ${size}: ${error.message}`);
    }
  }
  if (delivered < size) yield* stream(options, { from: delivered });
}

/** As far as it comes in pieces, or at once: a first piece tells what the network is like. Throws a NotInParts where it fails. */
async function* widened(options: PieceOptions): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  let hasBegun = false;
  try {
    const first = yield* measured(stream(options, { end: pieceBytes }));
    hasBegun = true;
    if (first.bytesPerSecond < enough && first.delivered < options.size) yield* inPieces(options, first.delivered);
  } catch (error) {
    // What is wrong with the blob itself shows at once, and only then; but some servers refuse whoever asks for a part.
    const isAboutPart = error instanceof RegistryError && (hasBegun || mayRefuseParts(error.status));
    throw isAboutPart ? new NotInParts(error.message, { cause: error }) : error;
  }
}

/** Whether an answer may be about the range that was asked for: not that the blob is absent, or the server busy. */
function mayRefuseParts(status: number | undefined): boolean {
  return status !== undefined && ![401, 404, 410, 429, 503].includes(status);
}

/** Streams a part once there is a connection free. */
async function* stream(options: PieceOptions, part: Part): Chunks {
  using _slot = await options.slots.take(options.signal);
  return yield* streamBlob(options, part);
}

/** Passes a part on, and tells how fast it came while it was awaited, once it had begun. */
async function* measured(
  chunks: Chunks,
): AsyncGenerator<Uint8Array<ArrayBuffer>, { readonly delivered: number; readonly bytesPerSecond: number }, void> {
  let [bytes, waitedMs] = [0, 0];
  try {
    const first = await chunks.next();
    if (first.done === true) return { delivered: first.value, bytesPerSecond: 0 };
    yield first.value;
    for (;;) {
      const since = performance.now();
      const next = await chunks.next();
      waitedMs += performance.now() - since;
      if (next.done === true) return { delivered: next.value, bytesPerSecond: (1000 * bytes) / waitedMs };
      bytes += next.value.length;
      yield next.value;
    }
  } finally {
    await chunks.return(0);
  }
}

/** From a byte on, until all is there or the host has asked for fewer requests. */
async function* inPieces(options: PieceOptions, from: number): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  const { size, connections, mayWiden } = options;
  const ended = new AbortController();
  const signal = AbortSignal.any([options.signal, ended.signal]);
  const window: Piece[] = [];
  let next = from;
  const fill = () => {
    while (next < size && window.length < connections && mayWiden()) {
      const end = Math.min(size, next + pieceBytes);
      window.push(new Piece({ ...options, signal }, next, end));
      next = end;
    }
  };
  const watch = setInterval(() => giveUpSlowest(window), watchMs);
  try {
    for (fill(); ; fill()) {
      const [head] = window;
      if (head === undefined) return;
      yield* head.chunks();
      window.shift();
    }
  } finally {
    clearInterval(watch);
    ended.abort(new NotInParts("no longer needed"));
    await Promise.all(window.map((piece) => piece.over));
  }
}

/** Where all others of a window are there, and took much less time, the one that is waited for gets a new connection. */
function giveUpSlowest([head, ...others]: readonly Piece[]): void {
  if (head === undefined || others.length === 0 || !others.every((piece) => piece.isComplete)) return;
  const usual = Math.max(...others.map((piece) => piece.tookMs));
  if (head.tookMs > Math.max(patience.ms, patience.times * usual)) head.giveUp();
}

/** A part of a blob that is fetched at once, and kept until it is wanted. */
class Piece {
  /** When it is there, or has failed. */
  readonly over: Promise<void>;
  readonly #queue: Uint8Array<ArrayBuffer>[] = [];
  #began: number | undefined;
  #ended: number | undefined;
  #failure: { readonly error: unknown } | undefined;
  #wake = () => {};
  #giveUp = () => {};

  constructor(options: PieceOptions, from: number, end: number) {
    this.over = this.#fetch(options, from, end).catch((error: unknown) => {
      this.#failure = { error };
      this.#wake();
    });
  }

  get isComplete(): boolean {
    return this.#ended !== undefined;
  }

  /** How long its connection has taken so far, without the wait for one. */
  get tookMs(): number {
    return this.#began === undefined ? 0 : (this.#ended ?? performance.now()) - this.#began;
  }

  /** Has the rest come by another connection, once. */
  giveUp(): void {
    this.#giveUp();
    this.#giveUp = () => {};
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

  async #fetch(options: PieceOptions, from: number, end: number): Promise<void> {
    using _slot = await options.slots.take(options.signal);
    this.#began = performance.now();
    let connections = 0;
    const onConnection = (giveUp: () => void) => {
      connections += 1;
      this.#giveUp = connections === 1 ? giveUp : () => {};
    };
    for await (const chunk of streamBlob(options, { from, end, onConnection })) {
      this.#queue.push(chunk);
      this.#wake();
    }
    this.#ended = performance.now();
    this.#wake();
  }
}
