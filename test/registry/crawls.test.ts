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
import { client, collect, firstLayer } from "../support/registry-client.ts";

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
  const { found, layer } = await firstLayer(registry, parseReference(`${server.host}/org/app:v1`));
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
      // It goes on crawling until an answer is there, too.
      { path, times: 1, fault: { ...crawls, until: hasAsked.then(() => Bun.sleep(300)) } },
      { path, fault },
    ]);
    expect(digest).toBe(digestOf(small));
    expect(ranges.length).toBeGreaterThanOrEqual(2);
  });
});

test("a new connection that is refused for there being too many leaves other requests their patience", async () => {
  const path = new RegExp(`/blobs/${digestOf(small)}`);
  const limited = (seconds: string): Fault => ({ kind: "status", status: 429, headers: { "retry-after": seconds } });
  const done = Promise.withResolvers<void>();
  await using server = await startFaultRegistry({
    rules: [
      { path, times: 1, fault: { ...crawls, until: done.promise } },
      { path, fault: limited("60") },
      { path: /manifests\/other/, times: 1, fault: limited("0") },
    ],
  });
  const image = testImage({ layers: [small], compression: "none" });
  for (const tag of ["v1", "other"]) server.push("org/app", tag, image);
  const { registry } = await client([server.host], { timing });
  const { found, layer } = await firstLayer(registry, parseReference(`${server.host}/org/app:v1`));
  const blob = collect(registry.blob(found, layer));
  await eventually("a refusal", () => server.requests.find((one) => path.test(one.path) && one.status === 429));
  const other = await registry.image(parseReference(`${server.host}/org/app:other`));
  done.resolve();
  expect(other.descriptor.digest).toBe(image.digest);
  expect(digestOf(await blob)).toBe(digestOf(small));
  expect(server.requests.filter((one) => path.test(one.path))).toHaveLength(2);
});

interface Server {
  readonly headers?: Record<string, string>;
  /** What the first connection brings, the others nothing. */
  readonly chunks: () => AsyncGenerator<Uint8Array<ArrayBuffer>>;
  readonly slots?: Slots;
  /** For how long nothing may come before that is a pause. */
  readonly pauseMs?: number;
}

/** Streams a blob that comes as told, by however many connections; tells how many there were. */
async function streamFrom({ headers = {}, chunks, slots = new Slots(8), pauseMs = hangMs }: Server) {
  const url = new URL("https://reg.io/blob");
  let opened = 0;
  const blob = streamBlob({
    size: small.length,
    open: async (from, _, signal) => {
      opened += 1;
      const range = { "content-range": `bytes ${from}-${small.length - 1}/${small.length}` };
      const silent = new Response(new ReadableStream(), { status: 206, headers: range });
      const response = opened === 1 ? new Response(streamOf(chunks(), signal), { headers }) : silent;
      return { response, asked: url, answered: url };
    },
    timing: { ...defaultTiming, ...timing, crawlBytesPerSecond: 1e9, pauseMs },
    slots,
    crawl: { ms: 20 },
    patience: new Patience("reg.io", { totalMs: hangMs, spentMs: 0 }, 0),
    signal: new AbortController().signal,
    onResume: () => {},
  });
  return { digest: digestOf(await collect(blob)), opened };
}

function streamOf(
  chunks: AsyncGenerator<Uint8Array<ArrayBuffer>>,
  signal: AbortSignal,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    start(controller) {
      signal.addEventListener("abort", () => controller.error(signal.reason), { once: true });
    },
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (signal.aborted) return;
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
  });
}

/** Sends so many bytes at a time, each after a pause in milliseconds. */
async function* inSteps(...steps: (readonly [bytes: number, ms: number])[]) {
  let at = 0;
  for (const [bytes, ms] of steps) {
    await Bun.sleep(ms);
    yield Uint8Array.from(small.subarray(at, at + bytes));
    at += bytes;
  }
}

const slowly = () => inSteps(...Array.from({ length: 600 }, () => [1000, 1] as const));
const ranges = { "accept-ranges": "bytes" };
const byOne = { digest: digestOf(small), opened: 1 };

test.each([
  ["before the first byte", [[small.length, 200]]],
  [
    "behind it",
    [
      [1000, 0],
      [small.length - 1000, 200],
    ],
  ],
] as const)("a server that pauses %s does not crawl: it has the time of a stall", async (_, steps) => {
  expect(await streamFrom({ headers: ranges, chunks: () => inSteps(...steps), pauseMs: 0 })).toEqual(byOne);
});

test("a server that knows no ranges is not asked for another connection because it is slow", async () => {
  expect(await streamFrom({ chunks: slowly })).toEqual(byOne);
});

test("one that crawls goes on while a new one brings nothing", async () => {
  const { digest, opened } = await streamFrom({ headers: ranges, chunks: slowly });
  expect(digest).toBe(digestOf(small));
  expect(opened).toBe(2);
});

test("no further connection is asked for where none is free", async () => {
  const slots = new Slots(1);
  using _taken = slots.takeFree();
  expect(await streamFrom({ headers: ranges, chunks: slowly, slots })).toEqual(byOne);
});
