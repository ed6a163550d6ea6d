import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type Fault, type FaultRule, failure, type Plain, type RecordedRequest, reply } from "./fault.ts";
import { createDoorman, type FaultAuth } from "./fault-auth.ts";
import { close, listen } from "./loopback.ts";
import type { TestImage } from "./test-image.ts";

export type { Fault, FaultRule, RecordedRequest } from "./fault.ts";
export type { FaultAuth } from "./fault-auth.ts";
export { startSilentServer } from "./loopback.ts";
export { digestOf, type TestImage, type TestImageOptions, testImage, testIndex } from "./test-image.ts";

export interface FaultRegistryOptions {
  readonly auth?: FaultAuth;
  readonly rules?: readonly FaultRule[];
  /** Sent with every 401 instead of what `auth` would say. */
  readonly challenge?: string | string[];
  readonly tls?: { readonly key: string; readonly cert: string };
}

export interface FaultRegistry extends AsyncDisposable {
  /** host:port */
  readonly host: string;
  readonly url: string;
  /** Every request so far, challenges and token requests too. */
  readonly requests: RecordedRequest[];
  /** May be added to at any time. */
  readonly rules: FaultRule[];
  /** Serves an image or index: by digest, and as `repository:tag`. */
  push(repository: string, tag: string, image: TestImage): void;
  /** Ends all connections there are, whatever goes on in them. */
  breakConnections(): void;
  /** Makes every token handed out so far worthless. */
  revokeTokens(): void;
  /** How many answers of that kind (2xx by default) there were for a path. */
  count(path: RegExp, status?: (status: number) => boolean): number;
}

interface Document {
  readonly mediaType: string;
  readonly bytes: Uint8Array;
  readonly digest: string;
}

/** Which fault befalls a request, as the rules have it; they may change at any time. */
class Faults {
  readonly rules: FaultRule[];
  readonly #hits = new Map<FaultRule, number>();

  constructor(rules: readonly FaultRule[]) {
    this.rules = [...rules];
  }

  for(method: string, path: string, range: string | undefined): Fault | undefined {
    for (const rule of this.rules) {
      if (!rule.path.test(path) || (rule.method ?? method) !== method) continue;
      if (rule.range?.test(range ?? "") === false) continue;
      const hit = (this.#hits.get(rule) ?? 0) + 1;
      this.#hits.set(rule, hit);
      const { after = 0, times = Number.POSITIVE_INFINITY } = rule;
      if (hit > after && hit <= after + times) return rule.fault;
    }
    return undefined;
  }
}

/** Starts a registry on loopback that serves what is pushed into it, with faults. `await using` ends it. */
export async function startFaultRegistry(options: FaultRegistryOptions = {}): Promise<FaultRegistry> {
  const store = new Map<string, Document>();
  const requests: RecordedRequest[] = [];
  const faults = new Faults(options.rules ?? []);
  const doorman = createDoorman(options.auth, () => url, options.challenge);

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, search } = new URL(request.url ?? "/", url);
    const path = decodeURIComponent(pathname);
    const method = request.method ?? "GET";
    const body = await textOf(request);
    const record: RecordedRequest = { method, path, query: search, headers: request.headers, body, status: 0 };
    requests.push(record);
    const answer = doorman.answer(record) ?? find(store, path, method);
    await reply(request, response, answer, faults.for(method, path, request.headers.range), record);
  }
  const listener: RequestListener = (request, response) => {
    serve(request, response).catch(() => response.socket?.destroy());
  };
  const server =
    options.tls === undefined
      ? createServer(listener)
      : createTlsServer({ key: options.tls.key, cert: options.tls.cert }, listener);
  const host = `127.0.0.1:${await listen(server)}`;
  const url = `${options.tls === undefined ? "http" : "https"}://${host}`;
  return {
    host,
    url,
    requests,
    rules: faults.rules,
    push: (repository, tag, image) => keep(store, repository, tag, image),
    breakConnections: () => server.closeAllConnections(),
    revokeTokens: () => doorman.revoke(),
    count: (path, status = (code) => code >= 200 && code < 300) =>
      requests.filter((request) => path.test(request.path) && status(request.status)).length,
    [Symbol.asyncDispose]: () => close(server),
  };
}

function keep(store: Map<string, Document>, repository: string, tag: string, image: TestImage): void {
  const base = `/v2/${repository}`;
  store.set(`${base}/manifests/${tag}`, image);
  for (const one of [image, ...image.members]) {
    store.set(`${base}/manifests/${one.digest}`, one);
    for (const [digest, bytes] of one.blobs) {
      store.set(`${base}/blobs/${digest}`, { mediaType: "application/octet-stream", bytes, digest });
    }
  }
}

function find(store: Map<string, Document>, path: string, method: string): Plain {
  if (method !== "GET" && method !== "HEAD") return failure(405, "UNSUPPORTED");
  const found = store.get(path);
  if (found === undefined) return failure(404, path.includes("/manifests/") ? "MANIFEST_UNKNOWN" : "BLOB_UNKNOWN");
  const headers = { "content-type": found.mediaType, "docker-content-digest": found.digest };
  return { status: 200, headers, bytes: found.bytes };
}

async function textOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}
