import { expect, describe as group, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { describe } from "../../lib/errors.ts";
import { streamBlob } from "../../lib/registry/blobs.ts";
import { Patience } from "../../lib/registry/patience.ts";
import { defaultTiming } from "../../lib/registry/timing.ts";
import { Slots } from "../../lib/slots.ts";
import { digestOf, type Fault, type FaultRegistry, type FaultRule, testImage } from "../support/fault-registry.ts";
import {
  anything,
  blobPath,
  collect,
  failure,
  firstLayer,
  layers,
  quick,
  serving,
} from "../support/registry-client.ts";

function streamOf(pieces: readonly Uint8Array<ArrayBuffer>[]): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
}

group("a blob", () => {
  const first = digestOf(layers[0] ?? Buffer.alloc(0));
  async function download(all: Awaited<ReturnType<typeof serving>>): Promise<Buffer> {
    const { found, layer } = await firstLayer(all.registry, all.reference);
    return await collect(all.registry.blob(found, layer));
  }

  const ranges = ({ server }: { server: FaultRegistry }) =>
    server.requests.filter(({ path }) => blobPath(0).test(path)).map(({ headers }) => headers.range);
  const stallsAt = (at: number) => ({ path: blobPath(0), times: 1, fault: { kind: "stall", at } as const });

  /** Downloads a blob whose connection ends once exactly so many bytes of it are there. */
  async function brokenAt(at: number, ...rules: FaultRule[]) {
    await using all = await serving({ rules: [stallsAt(at), ...rules] });
    const { found, layer } = await firstLayer(all.registry, all.reference);
    const parts: Uint8Array[] = [];
    let length = 0;
    const work = async () => {
      for await (const chunk of all.registry.blob(found, layer)) {
        parts.push(chunk);
        length += chunk.length;
        if (length === at) all.server.breakConnections();
      }
    };
    const error = await work().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    return { blob: Buffer.concat(parts), ranges: ranges(all), error };
  }

  test("that broke off is resumed", async () => {
    await using all = await serving({ rules: [{ path: blobPath(0), times: 2, fault: { kind: "cut", at: 50_000 } }] });
    expect(digestOf(await download(all))).toBe(first);
    expect(ranges(all)).toHaveLength(3);
  });

  test("is resumed where it broke off", async () => {
    const { blob, ranges } = await brokenAt(123_456);
    expect(digestOf(blob)).toBe(first);
    expect(ranges).toEqual([undefined, "bytes=123456-"]);
  });

  test("starts over at a server that ignores ranges, and delivers no byte twice", async () => {
    const { blob, ranges } = await brokenAt(123_456, { path: blobPath(0), fault: { kind: "ignore-range" } });
    expect(digestOf(blob)).toBe(first);
    expect(ranges).toEqual([undefined, "bytes=123456-"]);
  });

  test("is given up when it gets no further", async () => {
    await using all = await serving({ rules: [{ path: blobPath(0), fault: { kind: "cut", at: 0 } }] });
    const error = await failure(download(all));
    expect(error.message).toContain(`get the blob ${first}`);
    expect(all.server.count(blobPath(0), anything)).toBe(3);
  });

  test("is not stitched together from another range than asked for", async () => {
    const { error } = await brokenAt(1000, { path: blobPath(0), fault: { kind: "wrong-range" } });
    expect(describe(error)).toContain(
      'sends "bytes 1001-299999/300000" where "bytes 1000-299999/300000" was asked for',
    );
  });

  test.each<[string, Fault, string]>([
    ["shorter than announced in the manifest", { kind: "short" }, "150,000 bytes where the image says 300,000"],
    ["longer", { kind: "trailing", announced: true }, "300,100 bytes where the image says 300,000"],
    ["longer, unannounced", { kind: "trailing", announced: false }, "more than the 300,000 bytes"],
    ["something else", { kind: "garbage" }, "where the image says 300,000"],
  ])("that is %s is an error, at once", async (_, fault, words) => {
    await using all = await serving({ rules: [{ path: blobPath(0), fault }] });
    expect(describe(await failure(download(all)))).toContain(words);
    expect(all.server.count(blobPath(0), anything)).toBe(1);
  });

  test("comes as it is stored, whatever its encoding is said to be", async () => {
    await using all = await serving({});
    const zipped = testImage({ layers, compression: "gzip" });
    all.server.push("org/app", "v1", zipped);
    const { found, layer } = await firstLayer(all.registry, all.reference);
    expect(digestOf(await collect(all.registry.blob(found, layer)))).toBe(layer.digest);
    const asked = all.server.requests.map(({ headers }) => headers["accept-encoding"]);
    expect(new Set(asked)).toEqual(new Set(["identity"]));
  });

  test("that stalls is resumed once, then given up", async () => {
    await using all = await serving(
      { rules: [{ path: blobPath(0), fault: { kind: "stall", at: 100_000 } }] },
      { timing: { ...quick, stallMs: 150 } },
    );
    expect(describe(await failure(download(all)))).toContain("sent nothing for 0.15 s");
    expect(all.server.count(blobPath(0), anything)).toBe(2);
  });

  test("that only trickles has stalled", async () => {
    const fault: Fault = { kind: "trickle", everyMs: 5 };
    await using all = await serving({ rules: [{ path: blobPath(0), fault }] }, { timing: { ...quick, stallMs: 150 } });
    expect(describe(await failure(download(all)))).toMatch(/sent (nothing|no more than \d+ bytes) for 0.15 s/);
    expect(all.server.count(blobPath(0), anything)).toBe(2);
  });

  /** Downloads the blob from a store that answers as told, the first time, and then as it should; tells how often it was asked. */
  async function fromMangling(first: (socket: Socket, bytes: Buffer) => void) {
    const [bytes = Buffer.alloc(0)] = layers;
    let asked = 0;
    const store = createServer((socket) => {
      socket.on("data", (request) => {
        asked += 1;
        if (asked === 1) {
          first(socket, bytes);
          return;
        }
        const from = Number(/range: bytes=(\d+)-/i.exec(`${request}`)?.[1] ?? 0);
        const range = `206 Partial Content\r\nContent-Range: bytes ${from}-${bytes.length - 1}/${bytes.length}`;
        const rest = bytes.subarray(from);
        socket.write(`HTTP/1.1 ${from === 0 ? "200 OK" : range}\r\nContent-Length: ${rest.length}\r\n\r\n`);
        socket.write(rest);
      });
      socket.on("error", () => {});
    });
    await once(store.listen(0, "127.0.0.1"), "listening");
    try {
      const to = `http://127.0.0.1:${(store.address() as AddressInfo).port}/blob`;
      await using all = await serving({ rules: [{ path: blobPath(0), fault: { kind: "redirect", to } }] });
      return { digest: digestOf(await download(all)), asked };
    } finally {
      store.close();
    }
  }

  test.each<[what: string, answer: (socket: Socket, bytes: Buffer) => void]>([
    ["is not HTTP", (socket) => socket.write("garbage that is no answer\r\n\r\n")],
    ["has too many headers", (socket) => socket.write(`HTTP/1.1 200 OK\r\n${"X: y\r\n".repeat(5000)}\r\n`)],
    [
      "has two lengths",
      (socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc"),
    ],
    [
      "is not HTTP any more half way",
      (socket, bytes) => {
        socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n");
        socket.write(bytes.subarray(0, 100));
        socket.write("\r\nnot a length\r\n");
      },
    ],
  ])("whose answer %s is asked for again", async (_, answer) => {
    expect(await fromMangling(answer)).toEqual({ digest: first, asked: 2 });
  });

  test("has not stalled when it is we who are slow", async () => {
    const bytes = randomBytes(20_000);
    const pieces = [0, 5000, 10_000, 15_000].map((at) => new Uint8Array(bytes.subarray(at, at + 5000)));
    const url = new URL("https://reg.io/blob");
    const blob = streamBlob({
      size: bytes.length,
      // Whatever is asked for is there at once: no time is spent on waiting for it.
      open: async () => ({ response: new Response(streamOf(pieces)), asked: url, answered: url }),
      timing: { ...defaultTiming, stallMs: 30 },
      slots: new Slots(2),
      crawl: { ms: 30 },
      patience: new Patience("reg.io", { totalMs: 60_000, spentMs: 0 }, 0),
      signal: new AbortController().signal,
      onResume: () => expect.unreachable("it was resumed"),
    });
    const parts: Uint8Array[] = [];
    for await (const chunk of blob) {
      parts.push(chunk);
      await Bun.sleep(60);
    }
    expect(Buffer.concat(parts)).toEqual(bytes);
  });

  test("may be left in the middle", async () => {
    await using all = await serving({});
    const { found, layer } = await firstLayer(all.registry, all.reference);
    for await (const chunk of all.registry.blob(found, layer)) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
  });
});
