import ky, { HTTPError, TimeoutError } from "ky";
import type { Environment } from "../environment.ts";
import type { Log } from "../log.ts";
import { isTransient, mayBePlainHttp, TransportError, toTransportError } from "./errors.ts";
import type { Patience } from "./patience.ts";
import { createProxies } from "./proxy.ts";
import { backoff, type RegistryTiming, sleep, spread } from "./timing.ts";
import { readTrust } from "./trust.ts";

/** Bytes of an error's body that are read. */
const errorBytes = 64 * 1024;
const maximumRedirects = 10;
/** Statuses that may pass. */
const transientStatuses = [408, 429, 500, 502, 503, 504];

/** A request; sent again while that may help. */
export interface Call {
  /** The address; a further one is tried when the one before speaks no TLS. */
  readonly urls: readonly URL[];
  readonly method?: "GET" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** The value of `Authorization`; sent to the origin of `urls` only, wherever redirects lead. */
  readonly authorization?: string | undefined;
  /** Why a redirect may not be followed; undefined when it may. */
  readonly refuseRedirect: (from: URL, to: URL) => string | undefined;
  /** Reads a body of up to this many bytes as part of the attempt; without it the body is left to the caller. */
  readonly documentBytes?: number;
  readonly signal: AbortSignal;
  /** Told of what comes, and of waits that the server asked for. */
  readonly patience: Patience;
}

export interface Answer {
  readonly response: Response;
  /** Which of the addresses answered. */
  readonly asked: URL;
  /** Where redirects led. */
  readonly answered: URL;
}

interface Transport {
  /** Answers with any status, error bodies cut to 64 KiB. Throws a TransportError, or the signal's reason. */
  send(call: Call): Promise<Answer>;
}

interface TransportOptions {
  /** Proxies, SSL_CERT_FILE, SSL_CERT_DIR. */
  readonly env: Environment;
  /** Whether the TLS certificate of this address must be verified. */
  readonly verifies: (url: URL) => boolean;
  readonly timing: RegistryTiming;
  readonly log: Log;
}

/** HTTP as registries need it. Certificates are read now; no connection is made before it is used. */
export function createTransport({ env, verifies, timing, log }: TransportOptions): Transport {
  const proxyFor = createProxies(env);
  const trust = readTrust(env, log);
  // A session each, so that a connection made without verification is never used where verification is due.
  const sessions = new Map<boolean, Bun.FetchSession>();
  /** Hosts that were waited for in vain. */
  const withoutTime = new Set<string>();

  function session(verified: boolean): Bun.FetchSession {
    const known = sessions.get(verified);
    if (known !== undefined) return known;
    const made = new Bun.FetchSession({ tls: verified ? { ca: trust() } : { rejectUnauthorized: false } });
    sessions.set(verified, made);
    return made;
  }

  /** Whether to wait for a server that limits its clients: for a while, and no more once that was in vain. */
  function isWorthWaiting(host: string, spentMs: number): boolean {
    if (spentMs >= timing.limitedMs) withoutTime.add(host);
    return !withoutTime.has(host);
  }

  /** One request, one line at debug level. The query is left out: that of a redirect's address is often a secret. */
  async function request(url: URL, init: RequestInit): Promise<Response> {
    const proxy = proxyFor(url);
    const verified = url.protocol === "http:" || verifies(url);
    const shown = `${init.method} ${url.origin}${url.pathname}${url.search === "" ? "" : "?…"}`;
    const started = performance.now();
    const elapsed = () => `${Math.round(performance.now() - started)} ms`;
    try {
      const response = await session(verified).fetch(url, {
        ...init,
        redirect: "manual",
        decompress: false,
        proxy: proxy === undefined ? false : { url: proxy.url, respectNoProxy: false },
      });
      log.debug(`${shown}: ${response.status} in ${elapsed()}`);
      return response;
    } catch (error) {
      const known = toTransportError(error, url, proxy?.shown);
      log.debug(`${shown}: ${known instanceof TransportError ? known.code : "given up"} after ${elapsed()}`);
      throw known;
    }
  }

  async function follow(call: Call, start: URL, signal: AbortSignal): Promise<Answer> {
    let url = start;
    let authorization = call.authorization;
    for (let hops = 0; ; hops++) {
      const headers = { ...call.headers, "user-agent": "restorer", "accept-encoding": "identity" };
      const method = call.method ?? "GET";
      const response = await request(url, {
        method,
        headers: authorization === undefined ? headers : { ...headers, authorization },
        signal,
        ...(call.body === undefined ? {} : { body: call.body }),
      });
      call.patience.heard();
      const location = response.headers.get("location");
      if (![301, 302, 303, 307, 308].includes(response.status) || location === null) {
        return { response: await readDocument(call, response, url), asked: start, answered: url };
      }
      discard(response);
      const next = redirectTarget(call, url, location, hops);
      if (next.origin !== start.origin) authorization = undefined;
      url = next;
    }
  }

  /** One attempt: the addresses in turn, the next one when there is nobody or no TLS at the one before. */
  async function attempt(call: Call, signal: AbortSignal): Promise<Answer> {
    const failed: TransportError[] = [];
    for (const url of call.urls.slice(0, -1)) {
      try {
        return await withProbe(signal, timing.probeMs, url, (probe) => follow(call, url, probe));
      } catch (error) {
        if (signal.aborted || !mayBePlainHttp(error)) throw error;
        if (error instanceof TransportError) failed.push(error);
      }
    }
    const last = call.urls.at(-1);
    if (last === undefined) throw new Error("no address to send a request to");
    try {
      return await follow(call, last, signal);
    } catch (error) {
      const other = failed.find((one) => error instanceof TransportError && one.code !== error.code);
      if (other === undefined || !(error instanceof TransportError)) throw error;
      throw new TransportError(error.code, `${error.message}; over TLS: ${other.message}`, error.hint);
    }
  }

  return {
    async send(call) {
      let answer: Answer | undefined;
      const start = call.urls[0] ?? "";
      let failures = 0;
      let limitedSince: number | undefined;
      try {
        const response = await ky(start, {
          method: call.method ?? "GET",
          signal: call.signal,
          timeout: timing.answerMs,
          throwHttpErrors: (status) => transientStatuses.includes(status),
          retry: {
            limit: Number.MAX_SAFE_INTEGER,
            methods: ["get", "post"],
            statusCodes: transientStatuses,
            afterStatusCodes: transientStatuses,
            maxRetryAfter: timing.retryAfterMs,
            delay: (count) => backoff(timing, count),
            shouldRetry: ({ error }) => {
              if (!isLimited(error)) return worthRetrying(error, ++failures, timing);
              limitedSince ??= performance.now();
              const { host } = answer?.answered ?? new URL(start);
              // As long as the server asks for, which ky knows when it is left to decide.
              return isWorthWaiting(host, performance.now() - limitedSince) ? undefined : false;
            },
          },
          hooks: {
            beforeRetry: [
              async ({ error, retryCount }) => {
                if (!asksToWait(error)) return;
                await sleep(spread(timing, retryCount), call.signal);
                call.patience.excuse();
              },
            ],
          },
          fetch: async (input) => {
            if (!(input instanceof Request)) throw new TypeError("expected a Request");
            answer = await attempt(call, input.signal);
            if (answer.response.status !== 429) withoutTime.delete(answer.answered.host);
            return answer.response;
          },
        });
        if (answer === undefined) throw new Error("a response without a request");
        return { ...answer, response };
      } catch (error) {
        call.signal.throwIfAborted();
        if (error instanceof HTTPError && answer !== undefined) {
          const body = typeof error.data === "string" ? error.data : JSON.stringify(error.data ?? undefined);
          const { status, headers } = error.response;
          return { ...answer, response: new Response(body, { status, headers }) };
        }
        if (!(error instanceof TimeoutError)) throw error;
        const { host } = answer?.answered ?? new URL(start);
        throw new TransportError(
          "Timeout",
          `${host} did not answer within ${timing.answerMs / 1000} s`,
          `Check that ${host} can be reached from here, and HTTPS_PROXY and NO_PROXY.`,
        );
      }
    },
  };
}

/** Whether to send a request again after its `failures`th failure; undefined leaves statuses to ky, which knows no error of Bun's. */
function worthRetrying(error: Error, failures: number, timing: RegistryTiming): boolean | undefined {
  if (failures >= timing.attempts) return false;
  if (error instanceof HTTPError) return undefined;
  // These take long, or tell much: nobody listens there.
  const rare = error instanceof TimeoutError || ("code" in error && error.code === "ECONNREFUSED");
  return (rare && failures < timing.attempts - 1) || (!rare && isTransient(error));
}

/** The server has more to do than it can, or wants to: it answers, and will have time for us. */
function isLimited(error: Error): boolean {
  return error instanceof HTTPError && error.response.status === 429;
}

function asksToWait(error: Error): boolean {
  return isLimited(error) || (error instanceof HTTPError && error.response.headers.has("retry-after"));
}

/** Runs something that is given up after a while, unless it has finished: a body may then take as long as it likes. */
async function withProbe<T>(
  signal: AbortSignal,
  ms: number,
  url: URL,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const probe = new AbortController();
  const timer = setTimeout(() => probe.abort(new TransportError("Timeout", `${url.host} does not answer`)), ms);
  try {
    return await run(AbortSignal.any([signal, probe.signal]));
  } finally {
    clearTimeout(timer);
  }
}

function redirectTarget(call: Call, url: URL, location: string, hops: number): URL {
  const refused = (why: string) =>
    new TransportError("Redirect", `${url.host} redirects to ${why}`, "Ask whoever runs the registry.");
  if (call.method === "POST") throw refused("another address, where a secret would go along");
  if (hops >= maximumRedirects) throw refused(`yet another address, after ${maximumRedirects} redirects`);
  if (!URL.canParse(location, url.href)) throw refused("a malformed address");
  const next = new URL(location, url);
  [next.username, next.password, next.hash] = ["", "", ""];
  const why = call.refuseRedirect(url, next);
  if (why !== undefined) throw refused(`${next.host || next.protocol}, which is not followed: ${why}`);
  return next;
}

/** Reads a document, or the beginning of an error's body, so that cut connections count as part of the attempt. */
async function readDocument(call: Call, response: Response, url: URL): Promise<Response> {
  const { status, statusText, headers } = response;
  if (!response.ok) {
    const start = await readUpTo(response, errorBytes, url);
    // Some statuses may have no body at all.
    return new Response(start.bytes.length === 0 ? null : start.bytes, { status, statusText, headers });
  }
  if (call.documentBytes === undefined) return response;
  const { bytes, complete } = await readUpTo(response, call.documentBytes, url);
  call.patience.heard();
  if (!complete) {
    throw new TransportError("TooLarge", `${url.host} answers with more than ${call.documentBytes} bytes`);
  }
  return new Response(bytes, { status, statusText, headers });
}

async function readUpTo(
  response: Response,
  limit: number,
  url: URL,
): Promise<{ bytes: Uint8Array<ArrayBuffer>; complete: boolean }> {
  const declared = Number(response.headers.get("content-length") ?? 0);
  if (response.ok && declared > limit) {
    discard(response);
    return { bytes: new Uint8Array(), complete: false };
  }
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const part of response.body ?? []) {
      parts.push(part);
      length += part.length;
      if (length > limit) break;
    }
  } catch (error) {
    throw toTransportError(error, url, undefined);
  }
  const bytes = new Uint8Array(Buffer.concat(parts).subarray(0, limit));
  return { bytes, complete: length <= limit };
}

function discard(response: Response): void {
  response.body?.cancel().catch(() => {});
}
