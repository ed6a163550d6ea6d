import { breaksAnswer, TransportError, toTransportError } from "../http/errors.ts";
import type { HttpAnswer } from "../http/request.ts";
import type { Slots } from "../slots.ts";
import { count, quote, thousands } from "../text.ts";
import { PaceWatch } from "./pace.ts";
import type { Patience } from "./patience.ts";
import type { RegistryTiming } from "./timing.ts";

/** What streaming a blob takes. */
export interface BlobOptions {
  /** Bytes the blob must have. */
  readonly size: number;
  /**
   * Asks for the bytes from one up to another; answers 200 or 206. The signal must also end the answer's body. What it may be
   * told goes for bytes that are asked for beside others.
   */
  readonly open: (from: number, end: number, signal: AbortSignal, beside?: Beside) => Promise<HttpAnswer>;
  readonly timing: RegistryTiming;
  readonly patience: Patience;
  /** Connections to the host that are free. */
  readonly slots: Slots;
  /** For how long connections may crawl, in milliseconds, whichever part they bring: twice as long after each attempt to do better. */
  readonly crawl: { ms: number };
  readonly signal: AbortSignal;
  readonly onResume: (from: number) => void;
}

/** A request beside others: where the host limits its clients, it is not sent again. */
export interface Beside {
  /** It will be sent again, but not yet. */
  readonly waits?: () => void;
}

/** A server does not answer with the part that was asked for, but with all, or with another blob: no part of it is any use. */
export class NotInParts extends Error {}

const checkNetwork = "Check the network between here and the registry.";

interface Reader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array<ArrayBuffer> | undefined }>;
}

/** One answer with a part of the blob. */
export class PartBody {
  /** It broke off: the rest may be asked for. */
  broken = false;
  /** It broke off because nothing came for too long. */
  stalled = false;
  /** It was given up for another connection. */
  isGivenUp = false;
  /** It is all of the blob, though a part was asked for. */
  isWhole = false;
  /**
   * Told that too little has come for so many milliseconds, where the rest can be had by another connection; again and again as
   * long as that is so.
   */
  onCrawl: ((ms: number) => void) | undefined;
  readonly #options: BlobOptions;
  /** Where it ends. */
  #end: number;
  readonly #abort = new AbortController();
  #reader: Reader | undefined;
  /** Read already. */
  #first: Uint8Array<ArrayBuffer> | undefined;
  #url: URL | undefined;
  /** The position in the blob of the next byte read, and of the next byte wanted. */
  #position = 0;
  #wanted = 0;
  readonly #watches: PaceWatch[];

  constructor(options: BlobOptions, end: number) {
    this.#options = options;
    this.#end = end;
    const { stallMs, trickleBytes } = options.timing;
    const stall = new PaceWatch(
      () => ({ ms: stallMs, bytes: trickleBytes }),
      ({ bytes }) => this.#stall(bytes),
    );
    this.#watches = [stall];
  }

  giveUp(): void {
    this.isGivenUp = true;
    const words = `${this.#host} is much slower by one connection than by others`;
    this.#abort.abort(new TransportError("Slow", words, checkNetwork));
  }

  get #host(): string {
    return this.#url?.host ?? "the registry";
  }

  /** Asks for the bytes from one on. Throws a NotInParts where others come, and `only this part` is wanted, or it is not the first. */
  async ask(from: number, wanted?: "only this part"): Promise<void> {
    const { size, open, signal } = this.#options;
    const isAll = from === 0 && this.#end === size;
    const beside = wanted === undefined ? undefined : {};
    const ended = AbortSignal.any([signal, this.#abort.signal]);
    const { response, answered, ...others } = await this.#opened(() => open(from, this.#end, ended, beside));
    this.#url = answered;
    const isPart = response.status === 206;
    const isMore = !isPart && this.#end < size;
    if ((isMore && from > 0) || (!isPart && wanted !== undefined))
      throw new NotInParts(`${answered.host} knows no ranges`);
    if (isMore) [this.isWhole, this.#end] = [true, size];
    this.#position = startOf({ response, answered, ...others }, from, this.#end, size);
    this.#reader = response.body?.getReader();
    if (isPart || (isAll && response.headers.get("accept-ranges") === "bytes")) this.#watchCrawl();
  }

  /** Asks for the bytes from one on, and no others, and waits for the first of them. Throws where they do not come. */
  async prove(from: number): Promise<void> {
    await this.ask(from, "only this part");
    this.#first = await this.#next();
    if (this.#first === undefined) throw new TransportError("Short", `${this.#host} sent nothing`);
  }

  /** Reads the first chunk of what is wanted; asks for it, or for what lies before it, too, where that was not done. */
  async begin(wanted: number, from: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (this.#reader === undefined) await this.ask(from);
    this.#wanted = wanted;
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
    const chunk = this.#first ?? (await this.#next());
    this.#first = undefined;
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
    const much = bytes === 0 ? "nothing" : `no more than ${count(bytes, "byte")}`;
    const words = `${this.#host} sent ${much} for ${this.#options.timing.stallMs / 1000} s`;
    this.#abort.abort(new TransportError("Timeout", words, checkNetwork));
  }

  #watchCrawl(): void {
    const { crawl, timing } = this.#options;
    const bytesIn = (ms: number, rate: number) => (ms / 1000) * rate;
    const pace = () => ({ ms: crawl.ms, bytes: bytesIn(crawl.ms, timing.crawlBytesPerSecond) });
    const watch = new PaceWatch(pace, ({ bytes, ms, quietMs }) => {
      // Some servers pause: for nothing, or next to nothing, there is the time of a stall.
      if (quietMs > timing.pauseMs || bytes * timing.stallMs < timing.trickleBytes * ms) return;
      this.onCrawl?.(ms);
    });
    this.#watches.push(watch);
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches) watch[Symbol.dispose]();
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
