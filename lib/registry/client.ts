import type { Environment } from "../environment.ts";
import { TransportError } from "../http/errors.ts";
import { Patience } from "../http/patience.ts";
import type { RegistryTiming } from "../http/timing.ts";
import { defaultTiming, orAbort } from "../http/timing.ts";
import { type Answer, type Call, createTransport } from "../http/transport.ts";
import type { Keychain } from "../keychain/keychain.ts";
import type { Log } from "../log.ts";
import type { Descriptor } from "../oci/manifest.ts";
import type { Reference } from "../oci/reference.ts";
import { Access } from "./access.ts";
import { streamBlob } from "./blobs.ts";
import { type Attempt, failedError, statusError } from "./errors.ts";
import { createHosts } from "./hosts.ts";
import { fetchToken, type Token, type TokenServer } from "./tokens.ts";

/** A document as a registry sent it. */
export interface Download {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly headers: Headers;
}

export interface ClientOptions {
  readonly keychain: Keychain;
  /** `host` or `host:port`, exactly: plain http and unverified certificates are accepted there. */
  readonly insecureRegistries: readonly string[];
  /** Proxies, SSL_CERT_FILE, SSL_CERT_DIR. */
  readonly env: Environment;
  readonly log: Log;
  /** Ends everything under way; its reason is thrown. */
  readonly signal: AbortSignal;
  readonly timing?: Partial<RegistryTiming>;
}

/** Authenticated requests to registries. Everything throws a RegistryError, or the reason of the run's signal. */
export interface Client {
  /** Gets a document below `/v2/<repository>/`. */
  document(reference: Reference, step: string, path: string, maximumBytes: number, accept: string): Promise<Download>;
  /** Streams a blob. */
  blob(reference: Reference, descriptor: Descriptor): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void>;
}

/** What is remembered of a registry. */
interface Endpoint {
  readonly patience: Patience;
  /** Which scheme answered. */
  scheme: "https" | "http" | undefined;
  readonly accesses: Map<string, Access>;
}

/** A request below `/v2/<repository>/`. */
interface Wish {
  readonly reference: Reference;
  readonly step: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly documentBytes?: number;
}

/** How often a request is sent with other credentials: none, a token, a renewed token. */
const maximumRefusals = 2;

export function createClient({ keychain, insecureRegistries, env, log, signal, ...options }: ClientOptions): Client {
  const timing = { ...defaultTiming, ...options.timing };
  const hosts = createHosts(insecureRegistries);
  const transport = createTransport({ env, verifies: hosts.verifies, timing, log });
  const endpoints = new Map<string, Endpoint>();
  const silence = { totalMs: timing.silenceMs, spentMs: 0 };

  function endpointOf(registry: string): Endpoint {
    const known = endpoints.get(registry);
    if (known !== undefined) return known;
    const patience = new Patience(registry, silence, timing.graceMs);
    const made = { patience, scheme: undefined, accesses: new Map() };
    endpoints.set(registry, made);
    return made;
  }

  function accessTo(reference: Reference): Access {
    const { registry, repository } = reference;
    const { accesses } = endpointOf(registry);
    const known = accesses.get(repository);
    if (known !== undefined) return known;
    const credential = keychain.for(registry, repository);
    const made: Access = new Access({
      credential,
      repository,
      refuseRealm: (asked, realm) => hosts.refuseRealm(registry, asked, realm),
      fetchToken: (server) => tokenFor({ step: "get a token for", reference, credential }, server),
    });
    accesses.set(repository, made);
    return made;
  }

  /** Others may wait for the same token: it is fetched under a deadline of its own. */
  async function tokenFor(attempt: Attempt, server: TokenServer): Promise<Token> {
    const { registry } = attempt.reference;
    const { patience } = endpointOf(registry);
    const deadline = new Deadline(timing.tokenMs, server.realm.host, signal, patience.signal);
    let authorization: string | undefined;
    const send = ({
      url,
      ...request
    }: Omit<Call, "urls" | "signal" | "patience" | "refuseRedirect"> & { url: URL }) => {
      authorization = request.authorization;
      return transport.send({
        ...request,
        urls: [url],
        refuseRedirect: (from, to) => hosts.refuseRealm(registry, from, to) ?? hosts.refuseRedirect(registry, from, to),
        signal: deadline.signal,
        patience,
      });
    };
    try {
      const token = await patience.while(() => fetchToken(server, attempt.credential, send));
      if ("value" in token) return token;
      const { answered, response } = token;
      throw statusError({ ...attempt, authorization }, answered.host, response.status, await response.text());
    } catch (error) {
      signal.throwIfAborted();
      throw failedError(attempt, server.realm.host, error);
    } finally {
      deadline.end();
    }
  }

  /** An answer with a status of use: 2xx. */
  async function ask(wish: Wish, mine: AbortSignal): Promise<Answer> {
    const { reference, step, path, headers, documentBytes } = wish;
    const { registry, repository } = reference;
    const endpoint = endpointOf(registry);
    const access = accessTo(reference);
    const attempt = { step, reference, credential: access.credential };
    const deadline = new Deadline(timing.operationMs, registry, signal, endpoint.patience.signal, mine);
    try {
      for (let refusals = 0; ; refusals++) {
        const schemes = endpoint.scheme === undefined ? hosts.schemes(registry) : [endpoint.scheme];
        const authorization = await orAbort(access.authorization(), deadline.signal);
        const call: Call = {
          urls: schemes.map((scheme) => new URL(`${scheme}://${registry}/v2/${repository}/${path}`)),
          headers,
          authorization,
          refuseRedirect: (from, to) => hosts.refuseRedirect(registry, from, to),
          ...(documentBytes === undefined ? {} : { documentBytes }),
          signal: deadline.signal,
          patience: endpoint.patience,
        };
        const answer = await endpoint.patience.while(() => transport.send(call));
        // A TLS server answers 400 to plain http: the TLS attempt before it must have had an accident.
        if (answer.response.status !== 400) endpoint.scheme = answer.asked.protocol === "https:" ? "https" : "http";
        if (answer.response.ok) return answer;
        const own = answer.answered.origin === answer.asked.origin;
        if (own && refusals < maximumRefusals && access.refused(answer, authorization)) continue;
        const { answered, response } = answer;
        throw statusError({ ...attempt, authorization }, answered.host, response.status, await response.text());
      }
    } catch (error) {
      signal.throwIfAborted();
      throw failedError(attempt, registry, error);
    } finally {
      deadline.end();
    }
  }

  return {
    async document(reference, step, path, documentBytes, accept) {
      const never = new AbortController().signal;
      const { response } = await ask({ reference, step, path, headers: { accept }, documentBytes }, never);
      return { bytes: new Uint8Array(await response.arrayBuffer()), headers: response.headers };
    },
    async *blob(reference, { digest, size }) {
      const { registry } = reference;
      const { patience } = endpointOf(registry);
      const step = `get the blob ${digest} of`;
      const open = (from: number, mine: AbortSignal) => {
        const range: Record<string, string> = from === 0 ? {} : { range: `bytes=${from}-` };
        return ask({ reference, step, path: `blobs/${digest}`, headers: { accept: "*/*", ...range } }, mine);
      };
      const onResume = (from: number) => log.debug(`Resuming ${digest} of ${registry} at byte ${from} of ${size}`);
      const ending = AbortSignal.any([signal, patience.signal]);
      try {
        yield* streamBlob({ size, open, timing, patience, signal: ending, onResume });
      } catch (error) {
        signal.throwIfAborted();
        throw failedError({ step, reference, credential: accessTo(reference).credential }, registry, error);
      }
    },
  };
}

/** A signal for one operation; once it has ended, its time no longer counts but the other signals still do. */
class Deadline {
  readonly signal: AbortSignal;
  readonly #timer: Timer;

  constructor(ms: number, host: string, ...others: AbortSignal[]) {
    const late = new AbortController();
    this.signal = AbortSignal.any([late.signal, ...others]);
    const words = `${host} did not answer within ${ms / 1000} s, all attempts together`;
    this.#timer = setTimeout(() => late.abort(new TransportError("Deadline", words)), ms);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
