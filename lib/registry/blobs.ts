import { breaksAnswer, TransportError, toTransportError } from "../http/errors.ts";
import type { HttpAnswer } from "../http/request.ts";
import { backoff, draw } from "../http/retry.ts";
import { count, quote, thousands } from "../text.ts";
import type { Patience } from "./patience.ts";
import type { RegistryTiming } from "./timing.ts";

export interface BlobOptions {
  /** Bytes the blob must have. */
  readonly size: number;
  /** Asks for the bytes from one up to another; answers 200 or 206. The signal must also end the answer's body. */
  readonly open: (from: number, end: number, signal: AbortSignal) => Promise<HttpAnswer>;
  readonly timing: RegistryTiming;
  readonly patience: Patience;
  readonly signal: AbortSignal;
  readonly onResume: (from: number) => void;
}

/** A part of a blob; all of it where nothing is said. */
export interface Part {
  readonly from?: number;
  readonly end?: number;
  /** Asks for all of the blob, and skips what lies before. */
  readonly withoutRange?: boolean;
  /** Is given, for each connection, what gives it up for a new one. */
  readonly onConnection?: (giveUp: () => void) => void;
}

/** A server does not answer with the part that was asked for, but with all, or with another blob: no part of it is any use. */
export class NotInParts extends Error {}

/**
 * The bytes of a blob, exactly as many as it must have. A body that breaks, or gives nothing for too long, is resumed where
 * it broke off; a server that knows no ranges starts over, and what was delivered already is skipped. Chunks are as they
 * came from the network and belong to whoever takes them. Only time spent waiting for the network counts as a stall.
 *
 * Of a part that begins the blob, all of it comes where the server knows no ranges; of any other that is a NotInParts. Returns
 * where it has got to.
 */
export async function* streamBlob(
  options: BlobOptions,
  { from: start = 0, end = options.size, withoutRange = false, onConnection }: Part = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>, number, void> {
  const { timing, signal } = options;
  let delivered = start;
  let fruitless = 0;
  let stalls = 0;
  for (let resumes = 0; delivered < end; resumes++) {
    const from = delivered;
    using body = new Body(options, end);
    onConnection?.(() => body.giveUp());
    try {
      for (let chunk = await body.open(from, withoutRange ? 0 : from); chunk !== undefined; chunk = await body.read()) {
        if (chunk.length === 0) continue;
        delivered += chunk.length;
        yield chunk;
      }
      if (body.isWhole) return delivered;
    } catch (error) {
      signal.throwIfAborted();
      fruitless = delivered > from ? 0 : fruitless + 1;
      if (body.stalled) stalls++;
      if (!body.broken || stalls > 1 || fruitless >= timing.fruitlessResumes || resumes >= timing.resumes) throw error;
      options.onResume(delivered);
      if (!body.isGivenUp) await timing.sleep(draw(backoff(timing, 1)), signal);
    }
  }
  return delivered;
}

interface Reader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array<ArrayBuffer> | undefined }>;
}

/** One answer with a part of the blob. */
class Body {
  /** It broke off: the rest may be asked for. */
  broken = false;
  /** It broke off because nothing came for too long. */
  stalled = false;
  /** It was given up for another connection. */
  isGivenUp = false;
  /** It is all of the blob, though a part was asked for. */
  isWhole = false;
  readonly #options: BlobOptions;
  /** Where it ends. */
  #end: number;
  readonly #abort = new AbortController();
  #reader: Reader | undefined;
  #url: URL | undefined;
  /** The position in the blob of the next byte read, and of the next byte wanted. */
  #position = 0;
  #wanted = 0;
  /** When the wait for the next chunk began; what was waited before, and what it brought, since there last was enough. */
  #waitingSince: number | undefined;
  #waitedMs = 0;
  #broughtBytes = 0;
  #watch: Timer | undefined;

  constructor(options: BlobOptions, end: number) {
    this.#options = options;
    this.#end = end;
  }

  giveUp(): void {
    this.isGivenUp = true;
    const host = this.#url?.host ?? "the registry";
    this.#abort.abort(new TransportError("Slow", `${host} is much slower by one connection than by others`));
  }

  /** Opens the body at a byte, or one before it, and reads its first chunk. */
  async open(wanted: number, from: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const { size, open, signal } = this.#options;
    const answer = await this.#opened(() => open(from, this.#end, AbortSignal.any([signal, this.#abort.signal])));
    this.#url = answer.answered;
    if (answer.response.status !== 206 && this.#end < size) {
      if (from > 0) throw new NotInParts(`${answer.answered.host} knows no ranges`);
      this.isWhole = true;
      this.#end = size;
    }
    this.#position = startOf(answer, from, this.#end, size);
    this.#wanted = wanted;
    this.#reader = answer.response.body?.getReader();
    return await this.read();
  }

  async #opened<T>(open: () => Promise<T>): Promise<T> {
    try {
      return await open();
    } catch (error) {
      this.broken = this.isGivenUp;
      throw error;
    }
  }

  /** The next chunk of what is wanted, empty where it is not; undefined at the end of the blob. */
  async read(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const chunk = await this.#next();
    const end = this.#end;
    const host = this.#url?.host ?? "the registry";
    if (chunk === undefined) {
      if (this.#position === end) return undefined;
      this.broken = true;
      throw new TransportError("Short", `${host} sent ${this.#position} of ${this.#options.size} bytes`);
    }
    const skipped = Math.min(chunk.length, this.#wanted - this.#position);
    this.#position += chunk.length;
    if (this.#position > end) {
      if (end < this.#options.size) throw new NotInParts(`${host} sends more than was asked for`);
      throw new TransportError("Long", `${host} sends more than the ${count(end, "byte")} of the blob`);
    }
    this.#wanted = Math.max(this.#wanted, this.#position);
    return skipped === 0 ? chunk : chunk.subarray(skipped);
  }

  async #next(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const { patience, timing } = this.#options;
    const since = performance.now();
    this.#waitingSince = since;
    this.#watch ??= setTimeout(() => this.#check(), timing.stallMs);
    patience.begin();
    try {
      const chunk = (await this.#reader?.read())?.value;
      patience.heard();
      this.#waitedMs += performance.now() - since;
      this.#broughtBytes += chunk?.length ?? 0;
      if (this.#broughtBytes >= timing.trickleBytes) [this.#waitedMs, this.#broughtBytes] = [0, 0];
      return chunk;
    } catch (error) {
      const known = this.#url === undefined ? error : toTransportError(error, this.#url);
      this.broken = this.isGivenUp || breaksAnswer(known);
      throw known;
    } finally {
      patience.end();
      this.#waitingSince = undefined;
    }
  }

  #check(): void {
    const { stallMs } = this.#options.timing;
    const current = this.#waitingSince === undefined ? 0 : performance.now() - this.#waitingSince;
    const left = stallMs - this.#waitedMs - current;
    // Timers may fire a little early.
    if (left > 1) {
      this.#watch = setTimeout(() => this.#check(), left);
      return;
    }
    this.stalled = true;
    const much = this.#broughtBytes === 0 ? "nothing" : `no more than ${this.#broughtBytes} bytes`;
    const words = `${this.#url?.host} sent ${much} for ${stallMs / 1000} s`;
    this.#abort.abort(new TransportError("Timeout", words, "Check the network between here and the registry."));
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#watch);
    this.#abort.abort(new TransportError("Closed", "no longer needed"));
  }
}

/** The position of the first byte of an answer's body; what its headers say must fit the blob. */
function startOf({ response, answered }: HttpAnswer, from: number, until: number, size: number): number {
  const length = response.headers.get("content-length");
  if (response.status !== 206) {
    if (length !== null && Number(length) !== size) {
      throw new TransportError(
        "Size",
        `${answered.host} has ${count(Number(length), "byte")} where the image says ${thousands(size)}`,
      );
    }
    return 0;
  }
  const sent = response.headers.get("content-range")?.trim() ?? "";
  const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(sent);
  const [start, end] = [Number(range?.[1] ?? -1), Number(range?.[2] ?? -1)];
  const total = range?.[3] === "*" ? size : Number(range?.[3] ?? -1);
  const isOther = start !== from || end !== until - 1 || total !== size;
  if (until < size && (isOther || (length !== null && Number(length) !== until - from)))
    throw new NotInParts(`${answered.host} sends other parts`);
  if (start > from || start < 0 || end >= size || total !== size) {
    const asked = quote(`bytes ${from}-${size - 1}/${size}`);
    throw new TransportError(
      "Range",
      `${answered.host} sends ${quote(sent.slice(0, 100))} where ${asked} was asked for`,
    );
  }
  return start;
}
