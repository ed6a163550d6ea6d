import { discard } from "../http/body.ts";
import { TransportError } from "../http/errors.ts";
import type { HttpAnswer, HttpRequest, Listener } from "../http/request.ts";
import { Deadline } from "../waiting.ts";
import { NotInParts } from "./blobs.ts";

/** The registry's address of a blob, and the store's that it led to. */
type Redirect = Pick<HttpAnswer, "asked" | "answered">;

interface PartRequest {
  readonly from: number;
  readonly end: number;
  /** Asks the registry, which may redirect; throws where the answer is of no use. */
  readonly ask: (headers: Record<string, string>) => Promise<HttpAnswer>;
  /** The error for an answer of the store that is of no use. */
  readonly refuse: (answer: HttpAnswer) => Promise<Error>;
  readonly givesWay: boolean;
  readonly refuseRedirect: HttpRequest["refuseRedirect"];
  readonly listener: Listener;
  readonly signal: AbortSignal;
}

/**
 * Where the bytes of a blob are: the registry itself, or the store that it redirects to. The store's address is asked for
 * once, and again when it does not lead to the blob any more: such addresses are signed, and expire.
 */
export class Store {
  readonly #send: (request: HttpRequest) => Promise<HttpAnswer>;
  readonly #size: number;
  readonly #limitMs: number;
  #redirect: Redirect | undefined;
  /** What the blob was marked as when its first part came. */
  #tag: string | undefined;

  /** Of a blob of so many bytes; how long the store may take to answer. */
  constructor(send: (request: HttpRequest) => Promise<HttpAnswer>, size: number, limitMs: number) {
    this.#send = send;
    this.#size = size;
    this.#limitMs = limitMs;
  }

  /** The host that the registry redirected to; undefined where it did not. */
  get host(): string | undefined {
    return this.#redirect?.answered.host;
  }

  /** Asks for a part. Throws a NotInParts where the blob is another one than before. */
  async open(request: PartRequest): Promise<HttpAnswer> {
    const { from, end, ask } = request;
    const isWhole = from === 0 && end === this.#size;
    const range = end === this.#size ? `bytes=${from}-` : `bytes=${from}-${end - 1}`;
    const headers: Record<string, string> = { accept: "*/*", ...(isWhole ? {} : { range }) };
    const answer = (await this.#askDirectly(request, headers)) ?? (await ask(headers));
    if (answer.answered.origin !== answer.asked.origin) this.#redirect = answer;
    const tag = answer.response.headers.get("etag") ?? undefined;
    if (end < this.#size && this.#tag !== undefined && tag !== undefined && tag !== this.#tag) {
      discard(answer.response);
      throw new NotInParts(`${answer.answered.host} has another blob by now`);
    }
    this.#tag ??= tag;
    return answer;
  }

  /** Undefined where the store's address is not known, or leads to nothing any more. */
  async #askDirectly(
    { refuseRedirect, refuse, listener, givesWay, signal }: PartRequest,
    headers: Record<string, string>,
  ): Promise<HttpAnswer | undefined> {
    const redirect = this.#redirect;
    if (redirect === undefined) return undefined;
    const urls = [redirect.answered] as const;
    using deadline = new Deadline(this.#limitMs, new TransportError("Timeout", "the store does not answer"), signal);
    try {
      const answer = await this.#send({ urls, headers, refuseRedirect, givesWay, signal: deadline.signal, listener });
      if (answer.response.ok) return answer;
      // Another address would be one more request for a host that wants fewer.
      if (answer.response.status === 429) throw await refuse({ ...answer, asked: redirect.asked });
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof TransportError)) throw error;
    }
    if (this.#redirect === redirect) this.#redirect = undefined;
    return undefined;
  }
}
