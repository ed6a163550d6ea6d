import { describe, hasCode } from "../errors.ts";
import { TransportError } from "../http/errors.ts";
import { thousands } from "../text.ts";
import { type Part, streamBlob } from "./blobs.ts";
import { RegistryError } from "./errors.ts";
import { type BlobOptions, NotInParts } from "./part-body.ts";
import { giveUpSlowest, Piece } from "./piece.ts";

/** Bytes that a connection brings at a time; as many are kept for each until they are wanted. */
const pieceBytes = 2 * 1024 * 1024;
/** Blobs below this come in one stream. */
const smallest = 16 * 1024 * 1024;
/** Bytes a second of one connection beyond which more of them bring nothing: what is done with the bytes takes longer. */
const enough = 120 * 1024 * 1024;
/** What is done with most blobs' bytes takes this many a second: to begin with, no more connections than bring that. */
const usual = enough / 2;
const watchMs = 250;

/** How a blob is streamed, and by how many connections at a time. */
interface PiecesOptions extends BlobOptions {
  readonly connections: number;
  /** False once the host has asked for fewer requests. */
  readonly mayWiden: () => boolean;
  /** When the host may be asked again that has limited its clients, by `performance.now()`. */
  readonly againAtMs: () => number;
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
export async function* streamInPieces(options: PiecesOptions): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
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

/** The rest, after pieces have failed; not before the host may be asked again. */
async function* inOneStream(
  options: PiecesOptions,
  from: number,
  failure: NotInParts,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  const { size, signal, tell, timing, againAtMs } = options;
  let delivered = from;
  const waitMs = againAtMs() - performance.now();
  if (waitMs > 0) {
    tell(`waiting for ${Math.ceil(waitMs / 1000)} s, as the host asks`);
    await timing.sleep(waitMs, signal);
  }
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
async function* widened(options: PiecesOptions): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
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
async function* stream(options: PiecesOptions, part: Part): Chunks {
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
  options: PiecesOptions,
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
