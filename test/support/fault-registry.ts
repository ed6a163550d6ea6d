import { createHash, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { gzipSync, zstdCompressSync } from "node:zlib";

/** What may go wrong with an answer. */
export type Fault =
  | {
      readonly kind: "status";
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: string;
    }
  /** One byte in the middle is another one. */
  | { readonly kind: "corrupt" }
  /**
   * The connection ends after `at` bytes of the body (half of it by default), whatever was announced. How many of them the
   * client gets to see is chance; where it matters, let it stall instead.
   */
  | { readonly kind: "cut"; readonly at?: number }
  /** The connection ends without an answer. */
  | { readonly kind: "reset" }
  /** Half of the body, announced as if it were all. */
  | { readonly kind: "short" }
  | { readonly kind: "garbage" }
  /** Bytes too many, announced or not. */
  | { readonly kind: "trailing"; readonly announced: boolean }
  /** Nothing more comes: instead of an answer, or after `at` bytes of its body. */
  | { readonly kind: "stall"; readonly at?: number }
  /** One byte at a time, with pauses. */
  | { readonly kind: "trickle"; readonly everyMs: number }
  | { readonly kind: "redirect"; readonly to: string; readonly status?: number }
  | { readonly kind: "ignore-range" }
  | { readonly kind: "wrong-range" }
  /** A body of that many bytes, streamed. */
  | { readonly kind: "huge"; readonly bytes: number };

/** A fault, and which requests it befalls: the first rule that fits counts. */
export interface FaultRule {
  /** Of the path, without query. */
  readonly path: RegExp;
  readonly method?: string;
  /** How often; always by default. */
  readonly times?: number;
  /** How many requests that fit are served well before. */
  readonly after?: number;
  readonly fault: Fault;
}

/** How the registry wants to be asked. With `token`, it hands out tokens itself at `/token`, unless `realm` is elsewhere. */
export type FaultAuth =
  | { readonly kind: "basic"; readonly user: string }
  | { readonly kind: "bearer"; readonly token: string }
  | {
      readonly kind: "token";
      /** `user:password`; without it everybody gets a token. */
      readonly user?: string;
      /** Given by POST, as OAuth2 has it. */
      readonly refreshToken?: string;
      /** Requests for which a token is good; always by default. */
      readonly uses?: number;
      readonly expiresIn?: number;
      readonly realm?: string;
    };

export interface FaultRegistryOptions {
  readonly auth?: FaultAuth;
  readonly rules?: readonly FaultRule[];
  /** Sent with every 401 instead of what `auth` would say. */
  readonly challenge?: string | string[];
  readonly tls?: { readonly key: string; readonly cert: string };
}

export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  /** 0 when there was no answer. */
  status: number;
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
  /** Makes every token handed out so far worthless. */
  revokeTokens(): void;
  /** How many answers of that kind (2xx by default) there were for a path. */
  count(path: RegExp, status?: (status: number) => boolean): number;
}

export interface TestImage {
  readonly mediaType: string;
  readonly bytes: Uint8Array;
  readonly digest: string;
  readonly blobs: ReadonlyMap<string, Uint8Array>;
  /** Of an index. */
  readonly members: readonly TestImage[];
}

export interface TestImageOptions {
  /** Uncompressed. */
  readonly layers?: readonly Uint8Array[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly compression?: "gzip" | "zstd" | "none";
  readonly format?: "oci" | "docker";
  readonly architecture?: string;
  readonly variant?: string;
  /** Changes the config before it is serialised: `(config) => ({ ...config, rootfs: {} })`. */
  readonly editConfig?: (config: Record<string, unknown>) => unknown;
  readonly editManifest?: (manifest: Record<string, unknown>) => unknown;
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const keep = (value: Record<string, unknown>): unknown => value;

/** An image in memory: config, layers, and a manifest in either format. */
export function testImage(options: TestImageOptions = {}): TestImage {
  const { layers = [], compression = "gzip", format = "oci", editConfig = keep, editManifest = keep } = options;
  const blobs = new Map<string, Uint8Array>();
  const add = (mediaType: string, bytes: Uint8Array) => {
    const digest = digestOf(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const prefix = format === "oci" ? "application/vnd.oci.image" : "application/vnd.docker";
  const config = {
    os: "linux",
    architecture: options.architecture ?? "amd64",
    ...(options.variant === undefined ? {} : { variant: options.variant }),
    config: { Labels: options.labels ?? {} },
    rootfs: { type: "layers", diff_ids: layers.map(digestOf) },
  };
  const mediaType = format === "oci" ? `${prefix}.manifest.v1+json` : `${prefix}.distribution.manifest.v2+json`;
  const configType = format === "oci" ? `${prefix}.config.v1+json` : `${prefix}.container.image.v1+json`;
  const manifest = {
    schemaVersion: 2,
    mediaType,
    config: add(configType, encode(editConfig(config))),
    layers: layers.map((layer) => add(layerType(format, compression), compress(layer, compression))),
  };
  const bytes = encode(editManifest(manifest));
  return { mediaType, bytes, digest: digestOf(bytes), blobs, members: [] };
}

function layerType(format: "oci" | "docker", compression: "gzip" | "zstd" | "none"): string {
  if (format === "docker")
    return `application/vnd.docker.image.rootfs.diff.tar${compression === "gzip" ? ".gzip" : ""}`;
  return `application/vnd.oci.image.layer.v1.tar${compression === "none" ? "" : `+${compression}`}`;
}

function compress(bytes: Uint8Array, compression: "gzip" | "zstd" | "none"): Uint8Array {
  if (compression === "none") return bytes;
  return compression === "gzip" ? gzipSync(bytes) : zstdCompressSync(bytes);
}

/** An index over images for several platforms. */
export function testIndex(members: readonly { readonly image: TestImage; readonly platform: object }[]): TestImage {
  const mediaType = "application/vnd.oci.image.index.v1+json";
  const manifests = members.map(({ image, platform }) => ({
    mediaType: image.mediaType,
    digest: image.digest,
    size: image.bytes.length,
    platform,
  }));
  const bytes = encode({ schemaVersion: 2, mediaType, manifests });
  return { mediaType, bytes, digest: digestOf(bytes), blobs: new Map(), members: members.map(({ image }) => image) };
}

/** Starts a registry on loopback that serves what is pushed into it, with faults. `await using` ends it. */
export async function startFaultRegistry(options: FaultRegistryOptions = {}): Promise<FaultRegistry> {
  const store = new Map<string, { mediaType: string; bytes: Uint8Array }>();
  const requests: RecordedRequest[] = [];
  const rules = [...(options.rules ?? [])];
  const hits = new Map<FaultRule, number>();
  const doorman = createDoorman(options.auth, () => url, options.challenge);

  function faultFor(method: string, path: string): Fault | undefined {
    for (const rule of rules) {
      if (!rule.path.test(path) || (rule.method ?? method) !== method) continue;
      const hit = (hits.get(rule) ?? 0) + 1;
      hits.set(rule, hit);
      const { after = 0, times = Number.POSITIVE_INFINITY } = rule;
      if (hit > after && hit <= after + times) return rule.fault;
    }
    return undefined;
  }
  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, search } = new URL(request.url ?? "/", url);
    const path = decodeURIComponent(pathname);
    const method = request.method ?? "GET";
    const body = await textOf(request);
    const record: RecordedRequest = { method, path, query: search, headers: request.headers, body, status: 0 };
    requests.push(record);
    const answer = doorman.answer(record) ?? find(store, path, method);
    await reply(request, response, answer, faultFor(method, path), record);
  }

  const listener: RequestListener = (request, response) => {
    serve(request, response).catch(() => response.socket?.destroy());
  };
  const server =
    options.tls === undefined
      ? createServer(listener)
      : createTlsServer({ key: options.tls.key, cert: options.tls.cert }, listener);
  const port = await listen(server);
  const host = `127.0.0.1:${port}`;
  const url = `${options.tls === undefined ? "http" : "https"}://${host}`;
  return {
    host,
    url,
    requests,
    rules,
    push(repository, tag, image) {
      const base = `/v2/${repository}`;
      store.set(`${base}/manifests/${tag}`, image);
      for (const one of [image, ...image.members]) {
        store.set(`${base}/manifests/${one.digest}`, one);
        for (const [digest, bytes] of one.blobs) {
          store.set(`${base}/blobs/${digest}`, { mediaType: "application/octet-stream", bytes });
        }
      }
    },
    revokeTokens: () => doorman.revoke(),
    count: (path, status = (code) => code >= 200 && code < 300) =>
      requests.filter((request) => path.test(request.path) && status(request.status)).length,
    [Symbol.asyncDispose]: () => close(server),
  };
}

interface Plain {
  readonly status: number;
  readonly headers: Record<string, string | string[]>;
  readonly bytes: Uint8Array;
}

function find(store: Map<string, { mediaType: string; bytes: Uint8Array }>, path: string, method: string): Plain {
  if (method !== "GET" && method !== "HEAD") return failure(405, "UNSUPPORTED");
  const found = store.get(path);
  if (found === undefined) return failure(404, path.includes("/manifests/") ? "MANIFEST_UNKNOWN" : "BLOB_UNKNOWN");
  const headers = { "content-type": found.mediaType, "docker-content-digest": digestOf(found.bytes) };
  return { status: 200, headers, bytes: found.bytes };
}

function failure(status: number, code: string, headers: Record<string, string | string[]> = {}): Plain {
  const bytes = encode({ errors: [{ code, message: code.toLowerCase().replaceAll("_", " ") }] });
  return { status, headers: { "content-type": "application/json", ...headers }, bytes };
}

/** Lets requests in, hands out tokens, or answers with a challenge. */
function createDoorman(auth: FaultAuth | undefined, url: () => string, challenge?: string | string[]) {
  const tokens = new Map<string, number>();
  const series = randomUUID();
  let issued = 0;

  function token({ method, headers, body }: RecordedRequest): Plain {
    if (auth?.kind !== "token") return failure(404, "NOT_FOUND");
    const form = new URLSearchParams(body);
    const refreshed =
      method === "POST" && auth.refreshToken !== undefined && form.get("refresh_token") === auth.refreshToken;
    const known = auth.user === undefined || headers.authorization === basic(auth.user);
    if (!refreshed && (method === "POST" || !known)) return failure(401, "UNAUTHORIZED");
    const value = `token-${series}-${++issued}`;
    tokens.set(value, auth.uses ?? Number.POSITIVE_INFINITY);
    const expiry = auth.expiresIn === undefined ? {} : { expires_in: auth.expiresIn };
    const bytes = encode({ [refreshed ? "access_token" : "token"]: value, ...expiry });
    return { status: 200, headers: { "content-type": "application/json" }, bytes };
  }
  function admits(authorization: string | undefined): boolean {
    if (auth === undefined) return challenge === undefined;
    if (auth.kind === "basic") return authorization === basic(auth.user);
    if (auth.kind === "bearer") return authorization === `Bearer ${auth.token}`;
    const value = authorization?.replace(/^Bearer /, "") ?? "";
    const left = tokens.get(value) ?? 0;
    if (left > 0) tokens.set(value, left - 1);
    return left > 0;
  }
  return {
    revoke: () => tokens.clear(),
    answer(request: RecordedRequest): Plain | undefined {
      if (request.path === "/token") return token(request);
      const { authorization } = request.headers;
      if (admits(typeof authorization === "string" ? authorization : undefined)) return undefined;
      const realm = auth?.kind === "token" && auth.realm !== undefined ? auth.realm : `${url()}/token`;
      const own = auth?.kind === "basic" ? 'Basic realm="test"' : `Bearer realm="${realm}",service="test"`;
      return failure(401, "UNAUTHORIZED", { "www-authenticate": challenge ?? own });
    },
  };
}

function basic(user: string): string {
  return `Basic ${Buffer.from(user).toString("base64")}`;
}

async function reply(
  request: IncomingMessage,
  response: ServerResponse,
  found: Plain,
  fault: Fault | undefined,
  record: RecordedRequest,
): Promise<void> {
  const range = /^bytes=(\d+)-$/.exec(String(request.headers.range ?? ""));
  const from = found.status === 200 && range !== null && fault?.kind !== "ignore-range" ? Number(range[1]) : undefined;
  let { status, bytes } = found;
  const headers: Record<string, string | string[]> = { ...found.headers };
  const total = bytes.length;
  if (from !== undefined) {
    status = 206;
    const claimed = fault?.kind === "wrong-range" ? from + 1 : from;
    headers["content-range"] = `bytes ${claimed}-${total - 1}/${total}`;
    bytes = bytes.subarray(from);
  }
  let announced: number | undefined = bytes.length;
  let stopAt: number | undefined;
  switch (fault?.kind) {
    case "status":
      ({ status } = fault);
      bytes = fault.body === undefined ? failure(status, `FAULT_${status}`).bytes : Buffer.from(fault.body);
      Object.assign(headers, fault.headers);
      announced = bytes.length;
      break;
    case "redirect":
      status = fault.status ?? 307;
      headers.location = fault.to;
      bytes = new Uint8Array();
      announced = 0;
      break;
    case "reset":
      request.socket.destroy();
      return;
    case "stall":
      if (fault.at === undefined) return;
      stopAt = fault.at;
      break;
    case "cut":
      stopAt = fault.at ?? Math.floor(bytes.length / 2);
      break;
    case "corrupt":
      bytes = Uint8Array.from(bytes);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0x5a;
      break;
    case "short":
      bytes = bytes.subarray(0, bytes.length >> 1);
      announced = bytes.length;
      break;
    case "garbage":
      bytes = Buffer.from("\0garbage".repeat(40));
      announced = bytes.length;
      break;
    case "trailing":
      bytes = Buffer.concat([bytes, Buffer.alloc(100, "x")]);
      announced = fault.announced ? bytes.length : undefined;
      break;
    case "huge":
      announced = undefined;
      break;
  }
  record.status = status;
  response.writeHead(status, announced === undefined ? headers : { ...headers, "content-length": String(announced) });
  if (record.method === "HEAD") response.end();
  else if (fault?.kind === "huge") await stream(response, fault.bytes);
  else if (fault?.kind === "trickle") await trickle(response, bytes, fault.everyMs);
  else if (stopAt === undefined) response.end(bytes);
  else {
    response.flushHeaders();
    if (stopAt > 0) await new Promise<void>((done) => response.write(bytes.subarray(0, stopAt), () => done()));
    if (fault?.kind === "cut") request.socket.destroy();
  }
}

async function stream(response: ServerResponse, total: number): Promise<void> {
  const piece = Buffer.alloc(256 * 1024, " ");
  const closed = new Promise<void>((done) => {
    response.once("close", done);
  });
  for (let sent = 0; sent < total && !response.destroyed; sent += piece.length) {
    if (!response.write(piece)) {
      const drained = new Promise<void>((done) => {
        response.once("drain", done);
      });
      await Promise.race([drained, closed]);
    }
  }
  response.end();
}

async function trickle(response: ServerResponse, bytes: Uint8Array, everyMs: number): Promise<void> {
  for (let sent = 0; sent < bytes.length && !response.destroyed; sent++) {
    response.write(bytes.subarray(sent, sent + 1));
    await Bun.sleep(everyMs);
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

/** A listener that accepts connections and never says a word; `await using` ends it. */
export async function startSilentServer(): Promise<AsyncDisposable & { readonly host: string }> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  const port = await listen(server);
  const end = () => {
    for (const socket of sockets) socket.destroy();
    return close(server);
  };
  return { host: `127.0.0.1:${port}`, [Symbol.asyncDispose]: end };
}

type Server = ReturnType<typeof createServer> | ReturnType<typeof createTcpServer>;

async function listen(server: Server): Promise<number> {
  await new Promise<void>((done) => {
    server.listen(0, "127.0.0.1", done);
  });
  const address = server.address() as AddressInfo;
  return address.port;
}

function close(server: Server): Promise<void> {
  if ("closeAllConnections" in server) server.closeAllConnections();
  return new Promise((done) => {
    server.close(() => done());
  });
}
