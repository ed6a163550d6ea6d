import { breaksAnswer, TransportError, toTransportError } from "../http/errors.ts";
import type { HttpAnswer } from "../http/request.ts";
import { backoff, draw } from "../http/retry.ts";
import { count, quote, thousands } from "../text.ts";
import { PaceWatch } from "./pace.ts";
import type { Patience } from "./patience.ts";
import type { RegistryTiming } from "./timing.ts";

/** What streaming a blob takes. */
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
  let crawls = 0;
  for (let resumes = 0; delivered < end; resumes++) {
    const from = delivered;
    // Each further connection gets twice the time: it may be the network that is slow.
    using body = new Body(options, end, timing.crawlMs * 2 ** crawls);
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
      const least = body.stalled || body.crawled ? timing.trickleBytes : 1;
      fruitless = delivered - from >= least ? 0 : fruitless + 1;
      if (body.stalled) stalls++;
      if (body.crawled) crawls++;
      if (!body.broken || stalls > 1 || fruitless >= timing.fruitlessResumes || resumes >= timing.resumes) throw error;
      options.onResume(delivered);
      if (!body.isGivenUp) await timing.sleep(draw(backoff(timing, 1)), signal);
    }
  }
  return delivered;
}

const checkNetwork = "Check the network between here and the registry.";

interface Reader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array<ArrayBuffer> | undefined }>;
}

/** One answer with a part of the blob. */
class Body {
  /** It broke off: the rest may be asked for. */
  broken = false;
  /** It broke off because nothing came for too long. */
  stalled = false;
  /** It was given up because too little came. */
  crawled = false;
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
  readonly #crawlMs: number;
  readonly #watches: PaceWatch[];

  /** `crawlMs`: for how long it may be too slow, where the rest can be had by another connection. */
  constructor(options: BlobOptions, end: number, crawlMs: number) {
    this.#options = options;
    this.#end = end;
    this.#crawlMs = crawlMs;
    const { stallMs, trickleBytes } = options.timing;
    this.#watches = [new PaceWatch({ ms: stallMs, bytes: trickleBytes }, (bytes) => this.#stall(bytes))];
  }

  giveUp(why = "is much slower by one connection than by others"): void {
    this.isGivenUp = true;
    this.#abort.abort(new TransportError("Slow", `${this.#host} ${why}`, checkNetwork));
  }

  get #host(): string {
    return this.#url?.host ?? "the registry";
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
    if (knowsRanges(answer.response)) this.#watches.push(this.#watchCrawl());
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
    if (chunk === undefined) {
      if (this.#position === end) return undefined;
      this.broken = true;
      throw new TransportError("Short", `${this.#host} sent ${this.#position} of ${this.#options.size} bytes`);
    }
    const skipped = Math.min(chunk.length, this.#wanted - this.#position);
    this.#position += chunk.length;
    if (this.#position > end) {
      if (end < this.#options.size) throw new NotInParts(`${this.#host} sends more than was asked for`);
      throw new TransportError("Long", `${this.#host} sends more than the ${count(end, "byte")} of the blob`);
    }
    this.#wanted = Math.max(this.#wanted, this.#position);
    return skipped === 0 ? chunk : chunk.subarray(skipped);
  }

  async #next(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const { patience } = this.#options;
    for (const watch of this.#watches) watch.begin();
    patience.begin();
    let bytes = 0;
    try {
      const chunk = (await this.#reader?.read())?.value;
      patience.heard();
      bytes = chunk?.length ?? 0;
      return chunk;
    } catch (error) {
      const known = this.#url === undefined ? error : toTransportError(error, this.#url);
      this.broken = this.isGivenUp || breaksAnswer(known);
      throw known;
    } finally {
      patience.end();
      for (const watch of this.#watches) watch.end(bytes);
    }
  }

  #stall(bytes: number): void {
    this.stalled = true;
    const words = `${this.#host} sent ${muchOf(bytes)} for ${this.#options.timing.stallMs / 1000} s`;
    this.#abort.abort(new TransportError("Timeout", words, checkNetwork));
  }

  #watchCrawl(): PaceWatch {
    const ms = this.#crawlMs;
    const bytes = (ms / 1000) * this.#options.timing.crawlBytesPerSecond;
    return new PaceWatch({ ms, bytes }, (came) => {
      this.crawled = true;
      this.giveUp(`sent ${muchOf(came)} for ${ms / 1000} s`);
    });
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    this.#abort.abort(new TransportError("Closed", "no longer needed"));
  }
}

/** Whether the rest can be had by another connection. */
function knowsRanges({ status, headers }: Response): boolean {
  return status === 206 || headers.get("accept-ranges")?.trim().toLowerCase() === "bytes";
}

function muchOf(bytes: number): string {
  return bytes === 0 ? "nothing" : `no more than ${count(bytes, "byte")}`;
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
