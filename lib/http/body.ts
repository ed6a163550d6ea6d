import { errorCode } from "../errors.ts";
import { TransportError, toTransportError } from "./errors.ts";
import type { HttpRequest } from "./request.ts";

/** Bytes of an error's body that are read. */
const errorBytes = 64 * 1024;

/** Content codings of HTTP (RFC 9110, section 8.4.1). */
const encodings: Readonly<Record<string, Bun.CompressionFormat>> = {
  gzip: "gzip",
  "x-gzip": "gzip",
  deflate: "deflate",
  br: "brotli",
  zstd: "zstd",
};

/** Reads a document, or the beginning of an error's body, so that cut connections count as part of the attempt. */
export async function readDocument(request: HttpRequest, response: Response, url: URL): Promise<Response> {
  const { status, statusText, headers } = response;
  const { documentBytes, listener } = request;
  if (!response.ok) {
    const start = await readUpTo(response, errorBytes, url);
    // Some statuses may have no body at all.
    return new Response(start.bytes.length === 0 ? null : start.bytes, { status, statusText, headers });
  }
  if (documentBytes === undefined) return response;
  const { bytes, complete } = await readUpTo(response, documentBytes, url);
  listener?.heard();
  if (!complete) throw new TransportError("TooLarge", `${url.host} answers with more than ${documentBytes} bytes`);
  return new Response(bytes, { status, statusText, headers });
}

/** Without the encoding that some servers and proxies put on what they send, though none was asked for. */
async function* decoded({ headers, body }: Response, url: URL): AsyncGenerator<Uint8Array, void, void> {
  const format = encodings[headers.get("content-encoding")?.trim().toLowerCase() ?? ""];
  if (body === null) return;
  try {
    yield* format === undefined ? body : body.pipeThrough(new DecompressionStream(format));
  } catch (error) {
    const isMalformed = format !== undefined && errorCode(error) === undefined;
    if (isMalformed)
      throw new TransportError("Encoding", `${url.host} says that it answers in ${format}, and does not`);
    throw toTransportError(error, url);
  }
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
  for await (const part of decoded(response, url)) {
    parts.push(part);
    length += part.length;
    if (length > limit) break;
  }
  const bytes = new Uint8Array(Buffer.concat(parts).subarray(0, limit));
  return { bytes, complete: length <= limit };
}

/** Ends a body that nobody will read. */
export function discard(response: Response): void {
  response.body?.cancel().catch(() => {});
}
