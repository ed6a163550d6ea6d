import { isTransient, TransportError, toTransportError } from "../http/errors.ts";
import type { HttpAnswer } from "../http/request.ts";
import { backoff, draw } from "../http/retry.ts";
import { quote } from "../text.ts";
import type { Patience } from "./patience.ts";
import type { RegistryTiming } from "./timing.ts";

interface BlobOptions {
  /** Bytes the blob must have. */
  readonly size: number;
  /** Asks for the blob from a byte on; answers 200 or 206. The signal must also end its body. */
  readonly open: (from: number, signal: AbortSignal) => Promise<HttpAnswer>;
  readonly timing: RegistryTiming;
  readonly patience: Patience;
  readonly signal: AbortSignal;
  readonly onResume: (from: number) => void;
}

/**
 * The bytes of a blob, exactly as many as it must have. A body that breaks, or gives nothing for too long, is resumed where
 * it broke off; a server that knows no ranges starts over, and what was delivered already is skipped. Chunks are as they
 * came from the network and belong to whoever takes them. Only time spent waiting for the network counts as a stall.
 */
export async function* streamBlob(options: BlobOptions): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  const { size, timing, signal } = options;
  let delivered = 0;
  let fruitless = 0;
  let stalls = 0;
  for (let resumes = 0; delivered < size; resumes++) {
    const from = delivered;
    using body = new Body(options);
    try {
      for (let chunk = await body.open(from); chunk !== undefined; chunk = await body.read()) {
        if (chunk.length === 0) continue;
        delivered += chunk.length;
        yield chunk;
      }
    } catch (error) {
      signal.throwIfAborted();
      fruitless = delivered > from ? 0 : fruitless + 1;
      if (body.stalled) stalls++;
      if (!body.broken || stalls > 1 || fruitless >= timing.fruitlessResumes || resumes >= timing.resumes) throw error;
      options.onResume(delivered);
      await timing.sleep(draw(backoff(timing, 1)), signal);
    }
  }
}

interface Reader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array<ArrayBuffer> | undefined }>;
}

/** One answer with a part of the blob: from some byte to its end. */
class Body {
  /** It broke off: the rest may be asked for. */
  broken = false;
  /** It broke off because nothing came for too long. */
  stalled = false;
  readonly #options: BlobOptions;
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

  constructor(options: BlobOptions) {
    this.#options = options;
  }

  /** Opens the body at a byte, and reads its first chunk. */
  async open(from: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const answer = await this.#options.open(from, AbortSignal.any([this.#options.signal, this.#abort.signal]));
    this.#url = answer.answered;
    this.#position = startOf(answer, from, this.#options.size);
    this.#wanted = from;
    this.#reader = answer.response.body?.getReader();
    return await this.read();
  }

  /** The next chunk of what is wanted, empty where it is not; undefined at the end of the blob. */
  async read(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const chunk = await this.#next();
    const { size } = this.#options;
    const host = this.#url?.host ?? "the registry";
    if (chunk === undefined) {
      if (this.#position === size) return undefined;
      this.broken = true;
      throw new TransportError("Short", `${host} sent ${this.#position} of ${size} bytes`);
    }
    const skipped = Math.min(chunk.length, this.#wanted - this.#position);
    this.#position += chunk.length;
    if (this.#position > size)
      throw new TransportError("Long", `${host} sends more than the ${size} bytes of the blob`);
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
      const known = this.#url === undefined ? error : toTransportError(error, this.#url, undefined);
      this.broken = isTransient(known);
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
function startOf({ response, answered }: HttpAnswer, from: number, size: number): number {
  const length = response.headers.get("content-length");
  if (response.status !== 206) {
    if (length !== null && Number(length) !== size) {
      throw new TransportError("Size", `${answered.host} has ${length} bytes where the image says ${size}`);
    }
    return 0;
  }
  const sent = response.headers.get("content-range")?.trim() ?? "";
  const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(sent);
  const [start, end] = [Number(range?.[1] ?? -1), Number(range?.[2] ?? -1)];
  const total = range?.[3] === "*" ? size : Number(range?.[3] ?? -1);
  if (start > from || start < 0 || end >= size || total !== size) {
    const asked = quote(`bytes ${from}-${size - 1}/${size}`);
    throw new TransportError(
      "Range",
      `${answered.host} sends ${quote(sent.slice(0, 100))} where ${asked} was asked for`,
    );
  }
  return start;
}
