import type { Environment } from "../environment.ts";
import type { Log } from "../log.ts";
import { proxyRefusal, TransportError, toTransportError } from "./errors.ts";
import { createProxies, type ProxyAddress } from "./proxy.ts";
import { readTrust, type Trust } from "./trust.ts";

/** What decides how servers are reached, and whether they are trusted. */
export interface ConnectionOptions {
  /** Proxies, SSL_CERT_FILE, SSL_CERT_DIR. */
  readonly env: Environment;
  /** Whether the TLS certificate of this address must be verified. */
  readonly verifies: (url: URL) => boolean;
  readonly log: Log;
}

/** Connections to servers, by way of proxies, with the certificates that are trusted: they are read when this is made. */
export class Connections {
  readonly #options: ConnectionOptions;
  readonly #proxyFor: (url: URL) => ProxyAddress | undefined;
  readonly #trust: Trust;
  /** One each, so that a connection made without verification is never used where verification is due. */
  readonly #sessions = new Map<boolean, Bun.FetchSession>();

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#proxyFor = createProxies(options.env);
    this.#trust = readTrust(options.env, options.log);
  }

  /**
   * One request, one line at debug level. The query is left out: that of a redirect's address is often a secret. Beside it
   * connections are opened for so many requests that come soon. Throws a TransportError, or the reason of the signal in `init`.
   */
  async request(url: URL, init: RequestInit, soon = 0): Promise<Response> {
    const { log, verifies } = this.#options;
    const proxy = this.#proxyFor(url);
    const shown = `${init.method} ${url.origin}${url.pathname}${url.search === "" ? "" : "?…"}`;
    const started = performance.now();
    const elapsed = () => `${Math.round(performance.now() - started)} ms`;
    try {
      if (this.#trust.obstacle !== undefined) throw this.#trust.obstacle;
      // Only connections that belong to no session can be prepared.
      const send = url.protocol === "http:" ? fetch : this.#session(verifies(url)).fetch;
      const answer = send(url, {
        ...init,
        redirect: "manual",
        decompress: false,
        proxy: proxy === undefined ? false : { url: proxy.url, respectNoProxy: false },
      });
      // Not before: one that is idle would be taken for one of them.
      this.prepare(url, soon);
      const response = await answer;
      // It is always the proxy that says so.
      if (response.status === 407 && proxy !== undefined) throw proxyRefusal(407, url, proxy.shown);
      log.debug(`${shown}: ${response.status} in ${elapsed()}`);
      return response;
    } catch (error) {
      const known = toTransportError(error, url, { proxy: proxy?.shown, trusted: this.#trust.named });
      log.debug(`${shown}: ${known instanceof TransportError ? known.code : "given up"} after ${elapsed()}`);
      throw known;
    }
  }

  /**
   * Opens connections for so many requests that come soon, with nothing sent on them. The runtime does so for plain http
   * without a proxy, at another port than 80; elsewhere none is opened.
   */
  prepare(url: URL, requests: number): void {
    if (url.protocol !== "http:" || url.port === "" || this.proxyFor(url) !== undefined) return;
    for (let opened = 0; opened < requests; opened++) fetch.preconnect(url.origin);
  }

  /** The proxy that requests to an address go by, for people. */
  proxyFor(url: URL): string | undefined {
    return this.#proxyFor(url)?.shown;
  }

  #session(verified: boolean): Bun.FetchSession {
    const known = this.#sessions.get(verified);
    if (known !== undefined) return known;
    const made = new Bun.FetchSession({ tls: verified ? { ca: this.#trust.list() } : { rejectUnauthorized: false } });
    this.#sessions.set(verified, made);
    return made;
  }
}
