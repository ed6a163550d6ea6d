/**
 * A registry that looks far away, with one cache image, over TLS: every answer comes a round trip later, and a connection
 * brings no more than so many bytes a second. With `signed` it redirects blobs to a store of its own, which takes signed
 * addresses only, for a while.
 *
 *     bun bench/far-server.ts <bench.json of a cache> <gzip or zstd> <round trip in ms> <bytes per second> [signed]
 *
 * prints the image's reference. A process of its own, whose work is not counted. It ends when its stdin does.
 */
import { readFileSync } from "node:fs";
import { digestOf } from "../lib/oci/digest.ts";
import { certificates } from "../test/support/certificates.ts";
import { type CacheImage, compressions, imageOf } from "./image.ts";
import type { BenchCache } from "./make-cache.ts";

const [path = "", kind, roundTrip, rate, signed] = process.argv.slice(2);
const compression = compressions.find((each) => each === kind);
if (compression === undefined) throw new Error(`${kind} is not one of ${compressions.join(", ")}`);
const [roundTripMs, bytesPerSecond] = [Number(roundTrip), Number(rate)];
const tls = { cert: Bun.file(certificates.server.cert), key: Bun.file(certificates.server.key) };
const image = await imageOf(JSON.parse(readFileSync(path, "utf8")) as BenchCache, compression);

/** Bytes that are sent at a time: a few milliseconds' worth. */
const pieceBytes = 128 * 1024;
/** How long a signed address is good. */
const signatureMs = 60_000;
const key = crypto.randomUUID();
const signatureOf = (text: string): string => new Bun.CryptoHasher("sha256", key).update(text).digest("hex");

/** A body that comes no faster than a connection would bring it. */
function slowly(body: Blob): ReadableStream<Uint8Array> {
  const began = performance.now();
  let at = 0;
  return new ReadableStream({
    async pull(controller) {
      await Bun.sleep(Math.max(0, began + (1000 * at) / bytesPerSecond - performance.now()));
      const piece = await body.slice(at, at + pieceBytes).bytes();
      at += piece.length;
      controller.enqueue(piece);
      if (at >= body.size) controller.close();
    },
  });
}

/** A blob, or the part of it that is asked for. */
function answer(blob: Blob, range: string | null): Response {
  const [, from, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
  if (from === undefined) return sized(blob, 200, {});
  const [start, end] = [Number(from), last === "" ? blob.size : Math.min(blob.size, Number(last) + 1)];
  return sized(blob.slice(start, end), 206, { "content-range": `bytes ${start}-${end - 1}/${blob.size}` });
}

function sized(body: Blob, status: number, headers: Record<string, string>): Response {
  return new Response(slowly(body), { status, headers: { ...headers, "content-length": String(body.size) } });
}

function blobOf({ blobs }: CacheImage, digest: string): Blob | undefined {
  const blob = blobs.get(digest);
  return blob === undefined || blob instanceof Blob ? blob : new Blob([new Uint8Array(blob)]);
}

function serve(handle: (url: URL, request: Request) => Response): string {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    tls,
    async fetch(request) {
      await Bun.sleep(roundTripMs);
      return handle(new URL(request.url), request);
    },
  });
  return `127.0.0.1:${server.port}`;
}

const store = serve(({ pathname, searchParams }, { headers }) => {
  const [digest, expires] = [pathname.slice(1), searchParams.get("expires") ?? ""];
  const isGood = searchParams.get("signature") === signatureOf(`${digest} ${expires}`) && Number(expires) > Date.now();
  const blob = isGood ? blobOf(image, digest) : undefined;
  return blob === undefined ? new Response(null, { status: 403 }) : answer(blob, headers.get("range"));
});

const registry = serve(({ pathname }, { headers }) => {
  if (pathname === "/v2/") return Response.json({});
  if (pathname.includes("/manifests/")) {
    const headers = { "content-type": image.mediaType, "docker-content-digest": digestOf(image.manifest) };
    return new Response(new Uint8Array(image.manifest), { headers });
  }
  const digest = pathname.slice(pathname.lastIndexOf("/") + 1);
  const blob = blobOf(image, digest);
  if (blob === undefined) return new Response(null, { status: 404 });
  if (signed === undefined) return answer(blob, headers.get("range"));
  const expires = String(Date.now() + signatureMs);
  const query = new URLSearchParams({ expires, signature: signatureOf(`${digest} ${expires}`) });
  return new Response(null, { status: 307, headers: { location: `https://${store}/${digest}?${query}` } });
});

process.stdin.on("end", () => process.exit(0)).resume();
console.log(`${registry}/bench/image:${compression}`);
