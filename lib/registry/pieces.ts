import { describe, hasCode } from "../errors.ts";
import { TransportError } from "../http/errors.ts";
import type { Slots } from "../slots.ts";
import { thousands } from "../text.ts";
import { type BlobOptions, NotInParts, type Part, streamBlob } from "./blobs.ts";
import { RegistryError } from "./errors.ts";

/** Bytes that a connection brings at a time; as many are kept for each until they are wanted. */
const pieceBytes = 2 * 1024 * 1024;
/** Blobs below this come in one stream. */
const smallest = 16 * 1024 * 1024;
/** Bytes a second of one connection beyond which more of them bring nothing: what is done with the bytes takes longer. */
const enough = 120 * 1024 * 1024;
/** What is done with most blobs' bytes takes this many a second: to begin with, no more connections than bring that. */
const usual = enough / 2;
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

/** A blob that came neither in pieces nor, after that, in one stream, which the cause is about; the message tells what was tried. */
export class FailedTwice extends Error {
  constructor(pieces: NotInParts, from: number, cause: unknown) {
    const at = from === 0 ? "" : ` from byte ${thousands(from)} on`;
    super(`, in one stream${at} after it had failed by several connections (${pieces.message})`, { cause });
  }
}

/**
 * The bytes of a blob, in order. Where one connection is slow, a large blob comes by several, in pieces. A server that knows
 * no ranges, limits its clients, or fails at a piece is asked for the rest in one stream, from where it has got to; where it
 * refuses that, too, for all of it. Throws a FailedTwice where that fails as well.
 */
export async function* streamInPieces(options: PieceOptions): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  const { size, connections, mayWiden, signal, tell } = options;
  let delivered = 0;
  let failure: NotInParts | undefined;
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
      failure = error;
    }
  }
  if (delivered === size) return;
  if (failure === undefined) yield* stream(options, { from: delivered });
  else yield* inOneStream(options, delivered, failure);
}

/** The rest, after pieces have failed. */
async function* inOneStream(
  options: PieceOptions,
  from: number,
  failure: NotInParts,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  const { size, signal, tell } = options;
  let delivered = from;
  try {
    try {
      for await (const chunk of stream(options, { from })) {
        delivered += chunk.length;
        yield chunk;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (delivered === 0 || !concernsRange(error)) throw error;
      tell(`asking for all of it at byte ${delivered} of ${size}: ${describe(error)}`);
      yield* stream(options, { from: delivered, withoutRange: true });
    }
  } catch (error) {
    signal.throwIfAborted();
    throw new FailedTwice(failure, delivered, error);
  }
}

/** Whether a rest did not come because it was asked for as a range. */
function concernsRange(error: unknown): boolean {
  return error instanceof RegistryError ? mayRefuseParts(error.status) : hasCode(error, "Range");
}

/** As far as it comes in pieces, or at once: a first piece tells what the network is like. Throws a NotInParts where it fails. */
async function* widened(options: PieceOptions): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  let hasBegun = false;
  try {
    const first = yield* measured(stream(options, { end: pieceBytes }));
    hasBegun = true;
    if (first.bytesPerSecond < enough && first.delivered < options.size) yield* inPieces(options, first);
  } catch (error) {
    // What is wrong with the blob itself shows at once, and only then; but some servers refuse whoever asks for a part.
    const isAboutPart = hasBegun ? isTrouble(error) : error instanceof RegistryError && mayRefuseParts(error.status);
    throw isAboutPart ? new NotInParts(inShort(error), { cause: error }) : error;
  }
}

/** With a server, or the way to it. */
function isTrouble(error: unknown): boolean {
  return error instanceof RegistryError || error instanceof TransportError;
}

function inShort(error: unknown): string {
  if (!(error instanceof RegistryError)) return describe(error);
  return error.status === undefined ? describe(error.cause ?? error) : `status ${error.status}`;
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

interface Measured {
  /** Where it has got to. */
  readonly delivered: number;
  readonly bytesPerSecond: number;
}

/** Passes a part on, and tells how fast it came while it was awaited, once it had begun. */
async function* measured(chunks: Chunks): AsyncGenerator<Uint8Array<ArrayBuffer>, Measured, void> {
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

/**
 * What follows a first piece, until all is there or the host has asked for fewer requests. By two connections, or by more where
 * they bring too little for what is done with the bytes: each takes memory.
 */
async function* inPieces(
  options: PieceOptions,
  { delivered, bytesPerSecond }: Measured,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  const { size, connections, mayWiden } = options;
  const ended = new AbortController();
  const signal = AbortSignal.any([options.signal, ended.signal]);
  const window: Piece[] = [];
  let next = delivered;
  let wanted = Math.max(2, Math.ceil(usual / bytesPerSecond));
  const fill = () => {
    while (next < size && window.length < Math.min(wanted, connections) && mayWiden()) {
      const end = Math.min(size, next + pieceBytes);
      window.push(new Piece({ ...options, signal }, next, end));
      next = end;
    }
  };
  let before: Piece | undefined;
  const watch = setInterval(() => giveUpSlowest(window, before), watchMs);
  try {
    for (fill(); ; fill()) {
      const [head] = window;
      if (head === undefined) return;
      yield* head.chunks();
      before = window.shift();
      if (window[0]?.isFarBehind === true) wanted += 1;
    }
  } finally {
    clearInterval(watch);
    ended.abort(new NotInParts("no longer needed"));
    await Promise.all(window.map((piece) => piece.over));
  }
}

/**
 * Where others of a window are there, though they began later, and took much less time, the one that is waited for gets a new
 * connection; the last one where those before it did. Each further one gets twice the time: a store with a server that hangs
 * may lead there again.
 */
function giveUpSlowest([head, ...others]: readonly Piece[], before: Piece | undefined): void {
  const sisters = others.length === 0 && before !== undefined ? [before] : others.filter((piece) => piece.isComplete);
  if (head === undefined || sisters.length === 0) return;
  const usualMs = head.bytes * Math.max(...sisters.map((piece) => piece.msPerByte));
  if (head.waitedMs > Math.max(patience.ms, patience.times * usualMs) * 2 ** head.givenUp) head.giveUp();
}

/** A part of a blob that is fetched at once, and kept until it is wanted. */
class Piece {
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

  constructor(options: PieceOptions, from: number, end: number) {
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

  async #fetch(options: PieceOptions, from: number, end: number): Promise<void> {
    using _slot = await options.slots.take(options.signal);
    this.#began = performance.now();
    const onConnection = (giveUp: () => void) => {
      this.#asked = performance.now();
      this.#giveUp = giveUp;
    };
    for await (const chunk of streamBlob(options, { from, end, onConnection })) {
      this.#arrived += chunk.length;
      this.#queue.push(chunk);
      this.#wake();
    }
    this.#ended = performance.now();
    this.#wake();
  }
}
