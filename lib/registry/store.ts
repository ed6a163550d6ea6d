import { discard } from "../http/body.ts";
import { TransportError } from "../http/errors.ts";
import type { HttpAnswer, HttpRequest, Listener } from "../http/request.ts";
import { Deadline } from "../waiting.ts";
import { RegistryError } from "./errors.ts";
import { type Beside, NotInParts } from "./part-body.ts";

/** The registry's address of a blob, and the store's that it led to. */
type Redirect = Pick<HttpAnswer, "asked" | "answered">;

/** What goes for all requests for a blob. */
interface StoreOptions {
  /** Bytes the blob must have. */
  readonly size: number;
  /** How long the store may take to answer, in milliseconds. */
  readonly limitMs: number;
  /** Asks the registry, which may redirect; throws where the answer is of no use. */
  readonly askRegistry: (request: Request) => Promise<HttpAnswer>;
  readonly send: (request: HttpRequest) => Promise<HttpAnswer>;
  readonly refuseRedirect: HttpRequest["refuseRedirect"];
  /** The error for an answer of the store that is of no use. */
  readonly refuse: (answer: HttpAnswer) => Promise<Error>;
  readonly listener: Listener;
}

type Request = Pick<HttpRequest, "givesWay" | "signal"> & Required<Pick<HttpRequest, "headers" | "listener">>;

/**
 * Where the bytes of a blob are: the registry itself, or the store that it redirects to. The store's address is asked for
 * once, and again when it does not lead to the blob any more: such addresses are signed, and expire.
 */
export class Store {
  readonly #options: StoreOptions;
  #redirect: Redirect | undefined;
  /** What the blob was marked as when its first part came. */
  #tag: string | undefined;
  #againAtMs = 0;

  constructor(options: StoreOptions) {
    this.#options = options;
  }

  /** The host that the registry redirected to; undefined where it did not. */
  get host(): string | undefined {
    return this.#redirect?.answered.host;
  }

  /** When a request that gave way may be sent again, by `performance.now()`; 0 where none did. */
  get againAtMs(): number {
    return this.#againAtMs;
  }

  /** Asks for the bytes from one up to another. Throws a NotInParts where the blob is another one than before. */
  async open(from: number, end: number, signal: AbortSignal, beside?: Beside): Promise<HttpAnswer> {
    const { size } = this.#options;
    const isWhole = from === 0 && end === size;
    const range = end === size ? `bytes=${from}-` : `bytes=${from}-${end - 1}`;
    const headers: Record<string, string> = { accept: "*/*", ...(isWhole ? {} : { range }) };
    const listener = { ...this.#options.listener, ...beside };
    const request = { headers, listener, givesWay: beside !== undefined, signal };
    const answer = await this.#ask(request);
    if (answer.answered.origin !== answer.asked.origin) this.#redirect = answer;
    const tag = answer.response.headers.get("etag") ?? undefined;
    // One stream alone may as well be of another one: its digest tells.
    const isBeside = end < size || beside !== undefined;
    if (isBeside && this.#tag !== undefined && tag !== undefined && tag !== this.#tag) {
      discard(answer.response);
      throw new NotInParts(`${answer.answered.host} has another blob by now`);
    }
    this.#tag ??= tag;
    return answer;
  }

  async #ask(request: Request): Promise<HttpAnswer> {
    try {
      return (await this.#askDirectly(request)) ?? (await this.#options.askRegistry(request));
    } catch (error) {
      if (error instanceof RegistryError) this.#againAtMs = Math.max(this.#againAtMs, error.againAtMs ?? 0);
      throw error;
    }
  }

  /** Undefined where the store's address is not known, or leads to nothing any more. */
  async #askDirectly(request: Request): Promise<HttpAnswer | undefined> {
    const { limitMs, send, refuse, refuseRedirect } = this.#options;
    const redirect = this.#redirect;
    if (redirect === undefined) return undefined;
    const late = new TransportError("Timeout", "the store does not answer");
    using deadline = new Deadline(limitMs, late, request.signal);
    try {
      const answer = await send({ ...request, urls: [redirect.answered], refuseRedirect, signal: deadline.signal });
      if (answer.response.ok) return answer;
      // Another address would be one more request for a host that wants fewer.
      if (answer.response.status === 429) throw await refuse({ ...answer, asked: redirect.asked });
    } catch (error) {
      request.signal.throwIfAborted();
      if (!(error instanceof TransportError)) throw error;
    }
    if (this.#redirect === redirect) this.#redirect = undefined;
    return undefined;
  }
}
