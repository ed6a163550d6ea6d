import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { constants, createGzip, createZstdCompress } from "node:zlib";
import { digestOf } from "../lib/oci/digest.ts";
import { metadataName } from "../test/support/cache-fixture.ts";
import { answers, sha256File } from "../test/support/harness.ts";
import type { BenchCache, BenchLayer } from "./make-cache.ts";

export const compressions = ["gzip", "zstd"] as const;
export type Compression = (typeof compressions)[number];

/** A registry on the loopback device. */
export interface Registry extends Disposable {
  /** `127.0.0.1:<port>` */
  readonly host: string;
}

/** Starts a `docker-registry` that keeps its blobs in `storage`. */
export async function startRegistry(storage: string): Promise<Registry> {
  const program = Bun.which("docker-registry") ?? Bun.which("registry");
  if (program === null) throw new Error("image rows need `docker-registry` on PATH");
  mkdirSync(storage, { recursive: true });
  const host = `127.0.0.1:${await freePort()}`;
  const config = join(storage, "config.yml");
  writeFileSync(
    config,
    `version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: ${JSON.stringify(storage)}}}\nhttp: {addr: "${host}"}\n`,
  );
  const child = Bun.spawn([program, "serve", config], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  for (let tries = 0; !(await answers(`http://${host}/v2/`)); tries++) {
    if (tries === 100 || child.exitCode !== null) throw new Error(`${program} does not answer at ${host}`);
    await Bun.sleep(50);
  }
  return { host, [Symbol.dispose]: () => child.kill() };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** A volume cache as the cache image that an exporter would make of it. */
export interface CacheImage {
  readonly mediaType: string;
  readonly manifest: Buffer;
  /** Of everything the manifest names, by digest. */
  readonly blobs: ReadonlyMap<string, Blob | Buffer>;
}

/** Compresses what is not compressed yet. */
export async function imageOf(cache: BenchCache, compression: Compression): Promise<CacheImage> {
  const layers: Descriptor[] = [];
  const blobs = new Map<string, Blob | Buffer>();
  for (const layer of cache.layers) {
    const path = await compressed(cache, layer, compression);
    const digest = `sha256:${sha256File(path)}`;
    const blob = Bun.file(path);
    blobs.set(digest, blob);
    layers.push({ mediaType: `application/vnd.oci.image.layer.v1.tar+${compression}`, digest, size: blob.size });
  }
  const config = Buffer.from(JSON.stringify(configOf(cache)));
  const digest = digestOf(config);
  blobs.set(digest, config);
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = {
    schemaVersion: 2,
    mediaType,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest, size: config.length },
    layers,
  };
  return { mediaType, manifest: Buffer.from(JSON.stringify(manifest)), blobs };
}

/** Pushes a volume cache as a cache image; returns its reference. */
export async function pushCacheImage({ host }: Registry, cache: BenchCache, compression: Compression): Promise<string> {
  const repository = `bench/${basename(cache.path)}`;
  const api = `http://${host}/v2/${repository}`;
  const { mediaType, manifest, blobs } = await imageOf(cache, compression);
  for (const [digest, blob] of blobs) await pushBlob(api, digest, blob);
  const url = `${api}/manifests/${compression}`;
  const headers = { "content-type": mediaType };
  await expectOk(fetch(url, { method: "PUT", headers, body: manifest }), url);
  return `${host}/${repository}:${compression}`;
}

/** A registry that holds one image, and counts. */
interface CountingRegistry extends Disposable {
  readonly host: string;
  /** `<repository>:<tag>` of the image. */
  readonly name: string;
  /** Requests since it was last asked: those answered with what was asked for, for a token, and with anything else. */
  takeCounts(): { ok: number; token: number; other: number };
}

/** Serves a volume cache as a cache image from this process; with `token`, to those only who fetched one. */
export async function serveCacheImage(
  cache: BenchCache,
  compression: Compression,
  { token = false } = {},
): Promise<CountingRegistry> {
  const image = await imageOf(cache, compression);
  let counts = { ok: 0, token: 0, other: 0 };
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch(request): Response {
      const { pathname, origin } = new URL(request.url);
      if (token && pathname === "/token") {
        counts.token += 1;
        return Response.json({ token: "measuring" });
      }
      if (token && request.headers.get("authorization") !== "Bearer measuring") {
        counts.other += 1;
        return new Response(null, {
          status: 401,
          headers: { "www-authenticate": `Bearer realm="${origin}/token",service="bench"` },
        });
      }
      const answer = answerFrom(image, pathname);
      counts[answer.ok ? "ok" : "other"] += 1;
      return answer;
    },
  });
  return {
    host: `127.0.0.1:${server.port}`,
    name: `bench/image:${compression}`,
    takeCounts() {
      const taken = counts;
      counts = { ok: 0, token: 0, other: 0 };
      return taken;
    },
    [Symbol.dispose]: () => void server.stop(true),
  };
}

function answerFrom({ mediaType, manifest, blobs }: CacheImage, path: string): Response {
  if (path === "/v2/") return Response.json({});
  if (path.includes("/manifests/")) return new Response(manifest, { headers: { "content-type": mediaType } });
  const blob = blobs.get(path.slice(path.lastIndexOf("/") + 1));
  return blob === undefined ? new Response(null, { status: 404 }) : new Response(blob);
}

function configOf(cache: BenchCache): object {
  const metadata = readFileSync(join(cache.path, "committed", metadataName), "utf8");
  return {
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    os: "linux",
    config: { Labels: { [metadataName]: metadata } },
    rootfs: { type: "layers", diff_ids: cache.layers.map(({ diffId }) => diffId) },
  };
}

/** The layer's blob, compressed once and kept beside the cache. */
async function compressed(cache: BenchCache, layer: BenchLayer, compression: Compression): Promise<string> {
  const directory = join(cache.path, compression);
  const path = join(directory, layer.diffId);
  if (existsSync(path)) return path;
  mkdirSync(directory, { recursive: true });
  const compress =
    compression === "gzip"
      ? createGzip({ level: 6 })
      : createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 3 } });
  await pipeline(createReadStream(layer.blob), compress, createWriteStream(`${path}.partial`));
  renameSync(`${path}.partial`, path);
  return path;
}

async function pushBlob(api: string, digest: string, body: Blob | Buffer): Promise<number> {
  const size = body instanceof Blob ? body.size : body.length;
  const present = await fetch(`${api}/blobs/${digest}`, { method: "HEAD" });
  if (present.ok) return size;
  const started = await expectOk(fetch(`${api}/blobs/uploads/`, { method: "POST" }), api);
  const location = new URL(started.headers.get("location") ?? "", api);
  location.searchParams.set("digest", digest);
  const headers = { "content-type": "application/octet-stream" };
  await expectOk(fetch(location, { method: "PUT", headers, body }), location.href);
  return size;
}

async function expectOk(pending: Promise<Response>, url: string): Promise<Response> {
  const response = await pending;
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return response;
}
