import ky, { TimeoutError } from "ky";
import { hasCode } from "../errors.ts";
import { Deadline } from "../waiting.ts";
import { readDocument } from "./body.ts";
import { type ConnectionOptions, Connections } from "./connections.ts";
import { mayBePlainHttp, TransportError } from "./errors.ts";
import { explainHandshake } from "./handshake.ts";
import { followRedirects } from "./redirects.ts";
import type { HttpAnswer, HttpRequest } from "./request.ts";
import { type AttemptOutcome, decideRetry, draw, parseRetryAfter } from "./retry.ts";
import type { HttpTiming } from "./timing.ts";

/** As for connections, and how long requests wait. */
interface HttpClientOptions extends ConnectionOptions {
  readonly timing: HttpTiming;
}

/** HTTP with proxies, private certificates, guarded redirects and retries. Makes no connection before it is used. */
export class HttpClient {
  readonly #connections: Connections;
  readonly #timing: HttpTiming;
  /** Hosts that limit their clients (status 429), and were waited for in vain. */
  readonly #vain = new Set<string>();
  readonly #limited = new Set<string>();
  /** Hosts that a connection in the clear was opened to while TLS was tried: one each. */
  readonly #prepared = new Set<string>();

  constructor({ timing, ...options }: HttpClientOptions) {
    this.#connections = new Connections(options);
    this.#timing = timing;
  }

  /** Answers with any status, error bodies cut to 64 KiB. Throws a TransportError, or the signal's reason. */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    const { signal, listener, limitedMs = this.#timing.limitedMs } = request;
    const outcomes: AttemptOutcome[] = [];
    for (;;) {
      const result = await this.#attempt(request).catch((error: unknown) => ({ error }));
      signal.throwIfAborted();
      outcomes.push(outcomeOf(result));
      const host = "error" in result ? request.urls[0].host : result.answered.host;
      const isLimited = "response" in result && result.response.status === 429;
      if ("response" in result && !isLimited) this.#vain.delete(host);
      if (isLimited) this.#limited.add(host);
      const decision = decideRetry(outcomes, this.#vain.has(host), { ...this.#timing, limitedMs });
      if (isLimited && request.givesWay === true && decision.kind === "again") {
        return { ...result, againAtMs: performance.now() + draw(decision.wait) };
      }
      if (decision.kind !== "again") {
        if ("error" in result) throw result.error;
        // One that gives way has not waited.
        if (isLimited && request.givesWay !== true) this.#vain.add(host);
        return decision.kind === "too-long" ? { ...result, askedMs: decision.askedMs } : result;
      }
      listener?.waits?.();
      await this.#timing.sleep(draw(decision.wait), signal);
      if (decision.isAsked) listener?.excuse();
      listener?.retried?.();
    }
  }

  /** Whether a host has ever refused a request for there being too many (status 429). */
  hasLimited(host: string): boolean {
    return this.#limited.has(host);
  }

  /** So that an attempt at TLS that comes to nothing costs no more than itself, the address behind it has a connection then. */
  #prepareLast(urls: HttpRequest["urls"]): void {
    const last = urls.at(-1);
    const byProxy = urls.some((url) => this.#connections.proxyFor(url) !== undefined);
    if (urls.length === 1 || last === undefined || byProxy || this.#prepared.has(last.host)) return;
    this.#prepared.add(last.host);
    this.#connections.prepare(last, 1);
  }

  /** One attempt at a request. */
  async #attempt(request: HttpRequest): Promise<HttpAnswer> {
    const { answerMs } = this.#timing;
    const { method = "GET", signal } = request;
    const [first] = request.urls;
    let answer: HttpAnswer | undefined;
    // What ky takes for one fetch is all the requests that one answer takes: its limit of time is for all of them.
    const fetch = async (input: string | URL | Request) => {
      if (!(input instanceof Request)) throw new TypeError("expected a Request");
      answer = await this.#askInTurn(request, input.signal);
      return answer.response;
    };
    try {
      const response = await ky(first, { method, signal, fetch, timeout: answerMs, retry: 0, throwHttpErrors: false });
      if (answer === undefined) throw new Error("a response without a request");
      return { ...answer, response };
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
      const hint = `Check that ${first.host} can be reached from here, and HTTPS_PROXY and NO_PROXY.`;
      throw new TransportError("Timeout", `${first.host} did not answer within ${answerMs / 1000} s`, hint);
    }
  }

  /** Asks the addresses in turn, the next one when there is nobody or no TLS at the one before. */
  async #askInTurn(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    const failed: TransportError[] = [];
    let slow: URL | undefined;
    for (const url of request.urls.slice(0, -1)) {
      const late = new TransportError("Timeout", `${url.host} does not answer`);
      // Once there is an answer, its body may take as long as it likes.
      using probe = new Deadline(this.#timing.probeMs, late, signal);
      try {
        const answer = this.#ask(request, url, probe.signal);
        this.#prepareLast(request.urls);
        return await answer;
      } catch (error) {
        if (signal.aborted || !this.#mayBeElsewhere(error, request)) throw error;
        if (error instanceof TransportError) failed.push(error);
        if (error === late) slow = url;
      }
    }
    const last = await this.#askLast(request, failed, signal).catch((error: unknown) => ({ error }));
    const isElsewhere = "error" in last ? mayBePlainHttp(last.error) : last.response.status === 400;
    // It was only slow: a server that speaks TLS makes nothing of plain http.
    if (slow !== undefined && isElsewhere && !signal.aborted) return this.#ask(request, slow, signal);
    const refusing = request.urls.find((url) => url.protocol === "https:");
    const isRefused =
      hasCode("error" in last ? last.error : undefined, "EPROTO") || failed.some(({ code }) => code === "EPROTO");
    if (isElsewhere && isRefused && refusing !== undefined && this.#connections.proxyFor(refusing) === undefined) {
      const why = await explainHandshake(refusing, signal);
      if (why !== undefined) throw why;
    }
    if ("error" in last) throw last.error;
    return last;
  }

  /** Whether the last address may answer where another one did not: by plain http, or by a proxy that knows the name. */
  #mayBeElsewhere(error: unknown, { urls }: HttpRequest): boolean {
    const last = urls.at(-1);
    const byProxy = last !== undefined && this.#connections.proxyFor(last) !== undefined;
    return mayBePlainHttp(error) || (byProxy && hasCode(error, "ENOTFOUND"));
  }

  async #askLast(request: HttpRequest, failed: readonly TransportError[], signal: AbortSignal): Promise<HttpAnswer> {
    try {
      return await this.#ask(request, request.urls.at(-1) ?? request.urls[0], signal);
    } catch (error) {
      const other = failed.find((one) => error instanceof TransportError && one.code !== error.code);
      if (other === undefined || !(error instanceof TransportError)) throw error;
      throw new TransportError(error.code, `${error.message}; over TLS: ${other.message}`, error.hint);
    }
  }

  async #ask(request: HttpRequest, asked: URL, signal: AbortSignal): Promise<HttpAnswer> {
    const { method = "GET", body } = request;
    const { response, answered } = await followRedirects(request, asked, (url, authorization) => {
      const own = { "user-agent": "restorer", "accept-encoding": "identity" };
      const headers = { ...request.headers, ...own, ...(authorization === undefined ? {} : { authorization }) };
      const init = { method, headers, signal, ...(body === undefined ? {} : { body }) };
      const soon = url === asked && !this.hasLimited(url.host) ? request.soon : 0;
      return this.#connections.request(url, init, soon);
    });
    const proxy = answered.protocol === "http:" ? this.#connections.proxyFor(answered) : undefined;
    return { response: await readDocument(request, response, answered), asked, answered, proxy };
  }
}

function outcomeOf(result: HttpAnswer | { readonly error: unknown }): AttemptOutcome {
  const atMs = performance.now();
  if ("error" in result) return { atMs, error: result.error };
  const { status, headers } = result.response;
  return { atMs, status, retryAfterMs: parseRetryAfter(headers.get("retry-after"), Date.now()) };
}
