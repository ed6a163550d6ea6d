/**
 * Stand-ins for the servers of clouds. They go by their real names: a proxy (HTTPS_PROXY) leads all of them here, with a
 * certificate that SSL_CERT_FILE trusts. What clouds serve on link-local addresses is here on loopback, in the clear.
 */
import { createHash, createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect } from "node:net";
import { certificates } from "./certificates.ts";
import { close, listen } from "./loopback.ts";

export interface CloudRequest {
  /** `local` for what is asked on loopback in the clear. */
  readonly host: string;
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** The fields of a form. */
  readonly form: Readonly<Record<string, string>>;
}

export interface CloudAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly text?: string;
  readonly bytes?: Uint8Array;
}

/** What a server says to `POST sts.eu-west-1.amazonaws.com/`; "silence" stands for never answering, "broken" for a cut connection. */
export type Answers = Record<
  string,
  | CloudAnswer
  | "silence"
  | "broken"
  | ((request: CloudRequest) => CloudAnswer | "silence" | Promise<CloudAnswer>)
  | undefined
>;

export interface Clouds extends AsyncDisposable {
  /** For HTTPS_PROXY. */
  readonly proxy: string;
  /** `127.0.0.1:<port>`: where metadata services stand. */
  readonly local: string;
  readonly requests: CloudRequest[];
  /** `POST sts.eu-west-1.amazonaws.com/` for each request so far; those on loopback have the host `local`. */
  asked(): string[];
  /** What is answered from now on, and nothing of what was before; what is not in it is answered with 404. */
  answer(answers: Answers): void;
  /** Variables that lead everything here. */
  readonly env: Readonly<Record<string, string>>;
}

/** `addresses` of this machine are listened on, too, in the clear and at port 80. */
export async function startClouds(addresses: readonly string[] = []): Promise<Clouds> {
  const requests: CloudRequest[] = [];
  let answers: Answers = {};
  const serve = (isLocal: boolean) => (request: IncomingMessage, response: ServerResponse) => {
    respond(request, response, isLocal).catch(() => response.socket?.destroy());
  };
  async function respond(request: IncomingMessage, response: ServerResponse, isLocal: boolean): Promise<void> {
    const read = await readRequest(request, isLocal);
    requests.push(read);
    const known = answers[`${read.method} ${read.host}${read.path}`] ?? answers[`${read.host}/*`] ?? { status: 404 };
    const answer = typeof known === "function" ? await known(read) : known;
    if (answer === "silence") return;
    if (answer === "broken") return void response.socket?.destroy();
    const body = answer.bytes ?? (answer.json === undefined ? (answer.text ?? "") : JSON.stringify(answer.json));
    response.writeHead(answer.status ?? 200, { ...answer.headers }).end(body);
  }
  const tls = { key: readFileSync(certificates.clouds.key), cert: readFileSync(certificates.clouds.cert) };
  const [local, secure, proxy] = [createServer(serve(true)), createTlsServer(tls, serve(false)), createServer()];
  const [localPort, securePort] = [await listen(local), await listen(secure)];
  /** Those that a client leaves in the midst of a handshake would be waited for at the end. */
  const sockets = new Set<{ destroy(): void }>();
  for (const server of [secure, proxy]) server.on("connection", (socket) => void sockets.add(socket));
  proxy.on("connect", (_, socket, head) => {
    const inner = connect(securePort, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      inner.write(head);
      inner.pipe(socket).pipe(inner);
    });
    for (const end of [inner, socket]) end.on("error", () => [inner, socket].map((one) => one.destroy()));
  });
  const further = addresses.map(() => createServer(serve(true)));
  for (const [index, one] of addresses.entries()) {
    await new Promise<void>((done) => void further[index]?.listen(80, one, done));
  }
  const address = `http://127.0.0.1:${await listen(proxy)}`;
  return {
    proxy: address,
    local: `127.0.0.1:${localPort}`,
    requests,
    asked: () => requests.map(({ method, host, path }) => `${method} ${host}${path}`),
    answer(next) {
      answers = next;
      requests.length = 0;
    },
    env: { HTTPS_PROXY: address, HTTP_PROXY: "http://127.0.0.1:1", SSL_CERT_FILE: certificates.clouds.cert },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      for (const server of [proxy, secure, local, ...further]) await close(server);
    },
  };
}

async function readRequest(request: IncomingMessage, isLocal: boolean): Promise<CloudRequest> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts).toString();
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://host");
  const host = request.headers.host ?? "";
  const isForm = request.headers["content-type"] === "application/x-www-form-urlencoded";
  return {
    host: isLocal && host.startsWith("127.0.0.1:") ? "local" : host,
    method: request.method ?? "",
    path: pathname,
    query: Object.fromEntries(searchParams),
    headers: request.headers,
    body,
    form: isForm ? Object.fromEntries(new URLSearchParams(body)) : {},
  };
}

/**
 * The value of `Authorization` that a request of Amazon's must have, computed anew from what came ("Signature Version 4
 * signing process"): equal to what it has where it was signed with this secret.
 */
export function amazonSignature(request: CloudRequest, secret: string): string {
  const authorization = request.headers.authorization ?? "";
  const match = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\S+), SignedHeaders=(\S+), Signature=/.exec(authorization);
  const [, keyId = "", scope = "", names = ""] = match ?? [];
  const [day = "", region = "", service = ""] = scope.split("/");
  const header = (name: string) => String(request.headers[name] ?? "").trim();
  const hash = (text: string) => createHash("sha256").update(text).digest("hex");
  const mac = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text).digest();
  const headers = names.split(";").map((name) => `${name}:${header(name)}\n`);
  const canonical = [request.method, request.path, "", headers.join(""), names, hash(request.body)].join("\n");
  const toSign = ["AWS4-HMAC-SHA256", header("x-amz-date"), scope, hash(canonical)].join("\n");
  const key = mac(mac(mac(mac(`AWS4${secret}`, day), region), service), "aws4_request");
  const signature = mac(key, toSign).toString("hex");
  return `AWS4-HMAC-SHA256 Credential=${keyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`;
}
