import { backoff, draw } from "../http/retry.ts";
import { RegistryError } from "./errors.ts";
import { type BlobOptions, PartBody } from "./part-body.ts";

/** A part of a blob; all of it where nothing is said. */
export interface Part {
  readonly from?: number;
  readonly end?: number;
  /** Asks for all of the blob, and skips what lies before. */
  readonly withoutRange?: boolean;
  /** Is given, for each connection, what gives it up for a new one. */
  readonly onConnection?: (giveUp: () => void) => void;
}

/**
 * The bytes of a blob, exactly as many as it must have. A body that breaks, or gives nothing for too long, is resumed where
 * it broke off; a server that knows no ranges starts over, and what was delivered already is skipped. One that crawls is
 * given up as soon as another one is there. Chunks are as they came from the network and belong to whoever takes them. Only
 * time spent waiting for the network counts.
 *
 * Of a part that begins the blob, all of it comes where the server knows no ranges; of any other that is a NotInParts. Returns
 * where it has got to.
 */
export async function* streamBlob(
  options: BlobOptions,
  { from: start = 0, end = options.size, withoutRange = false, onConnection }: Part = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>, number, void> {
  const { timing, signal } = options;
  using successor = new Successor(options, end);
  let delivered = start;
  let fruitless = 0;
  let stalls = 0;
  let resumes = 0;
  while (delivered < end) {
    const from = delivered;
    using body = successor.take() ?? new PartBody(options, end);
    if (!withoutRange) body.onCrawl = (ms) => void successor.find(body, delivered, ms);
    onConnection?.(() => body.giveUp());
    try {
      for (
        let chunk = await body.begin(from, withoutRange ? 0 : from);
        chunk !== undefined;
        chunk = await body.read()
      ) {
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
      if (body.isGivenUp) continue;
      resumes++;
      await timing.sleep(draw(backoff(timing, 1)), signal);
    }
  }
  return delivered;
}

/** Comes in the place of a body that crawls, which goes on until this one brings something, and altogether where it does not. */
class Successor implements Disposable {
  readonly #options: BlobOptions;
  readonly #end: number;
  /** Asked for, or there. */
  #body: PartBody | undefined;
  #isThere = false;
  /** The host wants fewer requests. */
  #isRefused = false;

  constructor(options: BlobOptions, end: number) {
    this.#options = options;
    this.#end = end;
  }

  /** Asks for the bytes from one on, where there is a connection free, after so many milliseconds of crawling. */
  async find(crawling: PartBody, from: number, ms: number): Promise<void> {
    const { slots, crawl } = this.#options;
    if (this.#body !== undefined || this.#isRefused) return;
    using slot = slots.takeFree();
    if (slot === undefined) return;
    // Those that crawl beside it have come to the same at the same time.
    crawl.ms = Math.max(crawl.ms, 2 * ms);
    const body = new PartBody(this.#options, this.#end);
    this.#body = body;
    try {
      await body.prove(from);
      if (this.#body !== body) return;
      this.#isThere = true;
      crawling.giveUp();
    } catch (error) {
      this.#isRefused = error instanceof RegistryError && error.status === 429;
      // The one that crawls is all there is.
      if (this.#body === body) this.#drop();
    }
  }

  /** Undefined where there is none yet: then what goes on needs none. */
  take(): PartBody | undefined {
    const body = this.#isThere ? this.#body : undefined;
    if (body === undefined) this.#drop();
    this.#body = undefined;
    this.#isThere = false;
    return body;
  }

  #drop(): void {
    this.#body?.[Symbol.dispose]();
    this.#body = undefined;
  }

  [Symbol.dispose](): void {
    this.#drop();
  }
}
