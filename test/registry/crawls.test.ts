import { expect, describe as group, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { describe } from "../../lib/errors.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import { streamBlob } from "../../lib/registry/blobs.ts";
import { Patience } from "../../lib/registry/patience.ts";
import { defaultTiming, type RegistryTiming } from "../../lib/registry/timing.ts";
import { Slots } from "../../lib/slots.ts";
import { eventually } from "../support/eventually.ts";
import { digestOf, type Fault, type FaultRule, startFaultRegistry, testImage } from "../support/fault-registry.ts";
import { hangMs } from "../support/harness.ts";
import { client, collect } from "../support/registry-client.ts";

const small = randomBytes(600_000);
const large = randomBytes(20_000_000);
const crawls = { kind: "slow", bytesPerSecond: 1000 } as const;
/** Nothing but a crawl has a connection given up here. */
const timing: Partial<RegistryTiming> = { crawlMs: 300, stallMs: hangMs, silenceMs: hangMs };

/** Downloads a blob with faults; `hasAsked` resolves once it is asked for a second time. */
async function download(content: Buffer, rulesOf: (path: RegExp, hasAsked: Promise<unknown>) => FaultRule[]) {
  const path = new RegExp(`/blobs/${digestOf(content)}`);
  await using server = await startFaultRegistry();
  const requests = () => server.requests.filter((request) => path.test(request.path));
  server.rules.push(
    ...rulesOf(
      path,
      eventually("a second request", () => requests()[1]),
    ),
  );
  server.push("org/app", "v1", testImage({ layers: [content], compression: "none" }));
  const { registry } = await client([server.host], { timing, connections: 4 });
  const found = await registry.image(parseReference(`${server.host}/org/app:v1`));
  const [layer] = found.manifest.layers;
  if (layer === undefined) throw new Error("no layer");
  const digest = await collect(registry.blob(found, layer)).then(digestOf, describe);
  return { digest, ranges: requests().map(({ headers }) => headers.range) };
}

group("a connection that crawls, without another one to compare it with, is given up for a new one:", () => {
  test("that of a small blob", async () => {
    const { digest, ranges } = await download(small, (path) => [{ path, times: 1, fault: crawls }]);
    expect(digest).toBe(digestOf(small));
    expect(ranges[0]).toBeUndefined();
    expect(ranges[1]).toMatch(/^bytes=\d+-$/);
  });

  test("two in a row", async () => {
    const { digest, ranges } = await download(small, (path) => [{ path, times: 2, fault: crawls }]);
    expect(digest).toBe(digestOf(small));
    expect(ranges.length).toBeGreaterThanOrEqual(3);
  });

  test("that of the first piece of a large one", async () => {
    const { digest, ranges } = await download(large, (path) => [{ path, times: 1, fault: crawls }]);
    expect(digest).toBe(digestOf(large));
    expect(ranges[0]).toBe("bytes=0-2097151");
    expect(ranges[1]).toMatch(/^bytes=(?!0)\d+-2097151$/);
  });
});

group("a connection that crawls goes on where a new one", () => {
  const refused: [what: string, fault: Fault][] = [
    ...[403, 404, 416, 500].map((status): [string, Fault] => [`gets status ${status}`, { kind: "status", status }]),
    ["gets status 429", { kind: "status", status: 429, headers: { "retry-after": "60" } }],
    ["brings all of it", { kind: "ignore-range" }],
    ["brings another part", { kind: "wrong-range" }],
    ["is refused", { kind: "reset" }],
    ["is not answered", { kind: "stall" }],
  ];
  test.concurrent.each(refused)("%s", async (_, fault) => {
    const { digest, ranges } = await download(small, (path, hasAsked) => [
      { path, times: 1, fault: { ...crawls, until: hasAsked } },
      { path, fault },
    ]);
    expect(digest).toBe(digestOf(small));
    expect(ranges.length).toBeGreaterThanOrEqual(2);
  });
});

/** Streams a blob that comes as told, by however many connections; tells how many there were. */
async function streamFrom(headers: Record<string, string>, chunks: () => AsyncGenerator<Uint8Array<ArrayBuffer>>) {
  const url = new URL("https://reg.io/blob");
  let opened = 0;
  const blob = streamBlob({
    size: small.length,
    open: async () => {
      opened += 1;
      return { response: new Response(streamOf(chunks()), { headers }), asked: url, answered: url };
    },
    timing: { ...defaultTiming, ...timing },
    slots: new Slots(8),
    crawl: { ms: 20 },
    patience: new Patience("reg.io", { totalMs: hangMs, spentMs: 0 }, 0),
    signal: new AbortController().signal,
    onResume: () => {},
  });
  return { digest: digestOf(await collect(blob)), opened };
}

function streamOf(chunks: AsyncGenerator<Uint8Array<ArrayBuffer>>): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
  });
}

async function* inSteps(bytes: number, ms: number): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (let at = 0; at < small.length; at += bytes) {
    await Bun.sleep(ms);
    yield Uint8Array.from(small.subarray(at, at + bytes));
  }
}

test("a server that pauses does not crawl: it has the time of a stall", async () => {
  const found = await streamFrom({ "accept-ranges": "bytes" }, () => inSteps(small.length, 200));
  expect(found).toEqual({ digest: digestOf(small), opened: 1 });
});

test("a server that knows no ranges is not asked for another connection because it is slow", async () => {
  const found = await streamFrom({}, () => inSteps(1000, 1));
  expect(found).toEqual({ digest: digestOf(small), opened: 1 });
});

test("no further connection is asked for where none is free", async () => {
  const slots = new Slots(1);
  using slot = slots.takeFree();
  expect(slot).toBeDefined();
  expect(slots.takeFree()).toBeUndefined();
  slot?.[Symbol.dispose]();
  using again = slots.takeFree();
  expect(again).toBeDefined();
});
