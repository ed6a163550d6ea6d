import { backoff, draw } from "../http/retry.ts";
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
  for (let resumes = 0; delivered < end; resumes++) {
    const from = delivered;
    using body = successor.take() ?? new PartBody(options, end);
    if (!withoutRange) body.onCrawl = () => void successor.find(body, delivered);
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
      if (!body.isGivenUp) await timing.sleep(draw(backoff(timing, 1)), signal);
    }
  }
  return delivered;
}

/** Comes in the place of a body that crawls, which goes on until this one is there, and altogether where nothing comes of it. */
class Successor implements Disposable {
  readonly #options: BlobOptions;
  readonly #end: number;
  /** Asked for, or there. */
  #body: PartBody | undefined;
  #isThere = false;

  constructor(options: BlobOptions, end: number) {
    this.#options = options;
    this.#end = end;
  }

  /** Asks for the bytes from one on, where there is a connection free. */
  async find(crawling: PartBody, from: number): Promise<void> {
    using slot = this.#options.slots.takeFree();
    if (slot === undefined || this.#body !== undefined) return;
    const body = new PartBody(this.#options, this.#end);
    this.#body = body;
    try {
      await body.ask(from, "only this part");
      if (this.#body !== body) return;
      this.#isThere = true;
      crawling.giveUp();
    } catch {
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
