import type { Environment } from "../environment.ts";
import { HttpClient } from "../http/client.ts";
import { concernsTrust, TransportError } from "../http/errors.ts";
import type { HttpAnswer, Listener } from "../http/request.ts";
import type { Keychain } from "../keychain/keychain.ts";
import type { Log } from "../log.ts";
import type { Descriptor } from "../oci/manifest.ts";
import type { Reference } from "../oci/reference.ts";
import { Deadline } from "../waiting.ts";
import { Access, Entrance } from "./access.ts";
import { failedError, getToken, type Operation, type RegistryError, refusal } from "./errors.ts";
import { createHosts, type Hosts, type Scheme } from "./hosts.ts";
import { FailedTwice, streamInPieces } from "./pieces.ts";
import { connectionsOfRegistry, RegistryStates } from "./state.ts";
import { Store } from "./store.ts";
import { defaultTiming, type RegistryTiming } from "./timing.ts";
import { fetchToken, sendsSecret, type Token, type TokenRequest, type TokenServer } from "./tokens.ts";

/** What requests to registries take. */
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
  /** By how many connections at a time a large blob may come; 1 where nothing is said. */
  readonly connections?: number;
}

/** A document below `/v2/<repository>/`. */
interface DocumentRequest {
  /** What is done, in words that go after "failed to": "get the manifest of". */
  readonly step: string;
  readonly path: string;
  readonly accept: string;
  readonly maximumBytes: number;
  /** How many blobs are asked for soon after it. */
  readonly blobsToCome?: number;
}

/** A document as a registry sent it. */
export interface Download {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly headers: Headers;
}

/** A request below `/v2/<repository>/`. */
interface RepositoryRequest {
  readonly reference: Reference;
  readonly step: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly documentBytes?: number;
  readonly soon?: number;
  readonly givesWay?: boolean;
  /** Told what goes on, in place of the registry's patience. */
  readonly listener?: Listener;
}

/** What goes on while a blob is streamed. */
export interface BlobEvents {
  /** A request is sent again, or a connection resumed. */
  readonly onRetry?: () => void;
  /** A request for some of it is answered. */
  readonly onAnswer?: () => void;
}

/** Authenticated requests to registries. Everything throws a RegistryError, or the reason of the run's signal. */
export class RegistryClient {
  readonly #options: ClientOptions;
  readonly #keychain: Keychain;
  readonly #log: Log;
  readonly #signal: AbortSignal;
  readonly #timing: RegistryTiming;
  readonly #hosts: Hosts;
  readonly #http: HttpClient;
  readonly #states: RegistryStates;

  /** Certificates and proxies are read now, unless there is an HTTP client already. */
  constructor(options: ClientOptions, http?: HttpClient) {
    const { keychain, insecureRegistries, env, log, signal, timing } = options;
    this.#options = options;
    this.#keychain = keychain;
    this.#log = log;
    this.#signal = signal;
    this.#timing = { ...defaultTiming, ...timing };
    this.#hosts = createHosts(insecureRegistries);
    this.#http = http ?? new HttpClient({ env, log, verifies: this.#hosts.verifies, timing: this.#timing });
    this.#states = new RegistryStates(this.#timing);
  }

  /** A client whose requests end with a further signal, too, the reason of which is thrown then. */
  endingWith(signal: AbortSignal): RegistryClient {
    return new RegistryClient({ ...this.#options, signal: AbortSignal.any([this.#signal, signal]) }, this.#http);
  }

  /** Gets a document whole. */
  async document(reference: Reference, request: DocumentRequest): Promise<Download> {
    const { step, path, accept, maximumBytes, blobsToCome = 0 } = request;
    const never = new AbortController().signal;
    // One of them finds the connection that this comes by.
    const soon = Math.min(blobsToCome, connectionsOfRegistry) - 1;
    const asked = { reference, step, path, headers: { accept }, documentBytes: maximumBytes, soon };
    const { response } = await this.#ask(asked, never);
    return { bytes: new Uint8Array(await response.arrayBuffer()), headers: response.headers };
  }

  /** Streams a blob; a large one by several connections, where one is slow. */
  async *blob(
    reference: Reference,
    { digest, size }: Descriptor,
    { onRetry = () => {}, onAnswer = () => {} }: BlobEvents = {},
  ): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
    const { registry } = reference;
    const { patience, slots } = this.#states.of(registry);
    const step = `get the blob ${digest} of`;
    const operation = { step, reference, credential: this.#access(reference).credential };
    const store = new Store({
      size,
      limitMs: this.#timing.operationMs,
      askRegistry: ({ signal, ...request }) =>
        this.#ask({ reference, step, path: `blobs/${digest}`, ...request }, signal),
      send: (request) => this.#http.send(request),
      refuseRedirect: (from, to) => this.#hosts.refuseRedirect(registry, from, to),
      refuse: (answer) => refusal(operation, answer),
      listener: { heard: () => patience.heard(), excuse: () => patience.excuse(), retried: onRetry },
    });
    const { connections = 1 } = this.#options;
    try {
      yield* streamInPieces({
        size,
        connections,
        slots,
        signal: AbortSignal.any([this.#signal, patience.signal]),
        patience,
        timing: this.#timing,
        crawl: { ms: this.#timing.crawlMs },
        open: async (...part) => {
          const answer = await store.open(...part);
          onAnswer();
          return answer;
        },
        mayWiden: () => ![registry, store.host].some((host) => host !== undefined && this.#http.hasLimited(host)),
        againAtMs: () => store.againAtMs,
        onResume: (from) => {
          onRetry();
          this.#log.debug(`Resuming ${digest} of ${registry} at byte ${from} of ${size}`);
        },
        tell: (message) => this.#log.debug(`${digest} of ${registry}: ${message}`),
      });
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!(error instanceof FailedTwice)) throw this.#failed(operation, registry, error);
      throw this.#failed(operation, registry, error.cause).saying(error.message);
    }
  }

  /** An answer with a status of use: 2xx. */
  async #ask(request: RepositoryRequest, ended: AbortSignal): Promise<HttpAnswer> {
    const { reference, step } = request;
    const { registry } = reference;
    const access = this.#access(reference);
    const operation = { step, reference, credential: access.credential };
    const others = [this.#signal, this.#states.of(registry).patience.signal, ended];
    using deadline = new Deadline(this.#timing.operationMs, tooLate(registry, this.#timing.operationMs), ...others);
    try {
      for (const entrance = new Entrance(access); ; ) {
        const authorization = await entrance.authorization(deadline.signal);
        const answer = await this.#send(request, authorization, deadline.signal);
        const { answered, asked, response } = answer;
        if (response.ok) {
          entrance.passed();
          return answer;
        }
        const isOwn = answered.origin === asked.origin;
        if (isOwn && entrance.refused(answer)) continue;
        if (isOwn && response.status === 401 && entrance.trouble !== undefined) throw entrance.trouble;
        throw await refusal({ ...operation, authorization }, answer);
      }
    } catch (error) {
      this.#signal.throwIfAborted();
      throw this.#failed(operation, registry, error);
    }
  }

  async #send(
    { reference, path, headers, documentBytes, soon = 0, givesWay = false, listener }: RepositoryRequest,
    authorization: string | undefined,
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    const { registry, repository } = reference;
    const state = this.#states.of(registry);
    const urlWith = (scheme: Scheme) => new URL(`${scheme}://${registry}/v2/${repository}/${path}`);
    const [first, ...others] = state.scheme === undefined ? this.#hosts.schemes(registry) : [state.scheme];
    const request = {
      urls: [urlWith(first), ...others.map(urlWith)] as const,
      headers,
      authorization,
      refuseRedirect: (from: URL, to: URL) => this.#hosts.refuseRedirect(registry, from, to),
      ...(documentBytes === undefined ? {} : { documentBytes }),
      soon,
      givesWay,
      signal,
      listener: listener ?? state.patience,
    };
    const answer = await state.patience.while(() => this.#http.send(request));
    // A TLS server answers 400 to plain http: the TLS attempt before it must have had an accident.
    if (answer.response.status !== 400) state.scheme ??= answer.asked.protocol === "https:" ? "https" : "http";
    return answer;
  }

  /** Others may wait for the same token: it is fetched under a deadline of its own. */
  async #token(operation: Operation, server: TokenServer): Promise<Token> {
    const { registry } = operation.reference;
    const { patience } = this.#states.of(registry);
    const { host } = server.realm;
    const late = tooLate(host, this.#timing.tokenMs);
    using deadline = new Deadline(this.#timing.tokenMs, late, this.#signal, patience.signal);
    const refuseRedirect = (from: URL, to: URL) =>
      this.#refuseRealm(operation, from, to) ?? this.#hosts.refuseRedirect(registry, from, to);
    let authorization: string | undefined;
    const send = ({ url, ...request }: TokenRequest) => {
      authorization = request.authorization;
      const { signal } = deadline;
      const limitedMs = this.#timing.tokenLimitedMs;
      return this.#http.send({ ...request, urls: [url], refuseRedirect, limitedMs, signal, listener: patience });
    };
    try {
      const token = await patience.while(() => fetchToken(server, operation.credential, send));
      if ("value" in token) return token;
      throw await refusal({ ...operation, authorization }, token);
    } catch (error) {
      this.#signal.throwIfAborted();
      throw this.#failed(operation, host, error);
    }
  }

  #refuseRealm({ reference, credential }: Pick<Operation, "reference" | "credential">, at: URL, realm: URL) {
    return this.#hosts.refuseRealm(reference.registry, at, realm, sendsSecret(credential));
  }

  #failed(operation: Operation, host: string, cause: unknown): RegistryError {
    const named = concernsTrust(cause) ? this.#hosts.similarInsecure(host) : undefined;
    const meant = `-insecure-registry ${named} is not for ${host}: did you mean -insecure-registry ${host}?`;
    return failedError(operation, host, cause, named === undefined ? undefined : meant);
  }

  #access(reference: Reference): Access {
    const { registry, repository } = reference;
    const { accesses } = this.#states.of(registry);
    const known = accesses.get(repository);
    if (known !== undefined) return known;
    const credential = this.#keychain.for(registry, repository);
    const made = new Access({
      credential,
      repository,
      refuseRealm: (asked, realm) => this.#refuseRealm({ reference, credential }, asked, realm),
      fetchToken: (server) => this.#token({ step: getToken, reference, credential }, server),
    });
    accesses.set(repository, made);
    return made;
  }
}

function tooLate(host: string, ms: number): TransportError {
  return new TransportError("Deadline", `${host} did not answer within ${ms / 1000} s, all attempts together`);
}
