import { expect, describe as group, test } from "bun:test";
import { randomBytes } from "node:crypto";
import type { RegistryTiming } from "../../lib/registry/timing.ts";
import { sleep } from "../../lib/waiting.ts";
import { eventually } from "../support/eventually.ts";
import {
  digestOf,
  type Fault,
  type FaultRegistry,
  type FaultRule,
  startFaultRegistry,
  testImage,
} from "../support/fault-registry.ts";
import { collect, firstLayer, serving } from "../support/registry-client.ts";

const content = randomBytes(20_000_000);
const digest = digestOf(content);
const path = new RegExp(`/blobs/${digest}`);
/** So that more connections are worth while, however fast this machine is. */
const slow: FaultRule = { path, fault: { kind: "slow", bytesPerSecond: 25_000_000 } };
/** All pieces but the first are refused; a rest is not. */
const limited: FaultRule = {
  path,
  range: /-\d+$/,
  after: 1,
  fault: { kind: "status", status: 429, headers: { "retry-after": "20" } },
};
const [first, rest] = ["bytes=0-2097151", "bytes=2097152-"];

/** Downloads the blob; tells what it waited for, in milliseconds. Nobody really waits unless `wait` does. */
async function download(
  rules: readonly FaultRule[] | ((server: FaultRegistry) => readonly FaultRule[]),
  wait: RegistryTiming["sleep"] = async () => {},
) {
  const waits: number[] = [];
  const sleep: typeof wait = async (ms, signal) => {
    await wait(ms, signal);
    waits.push(ms);
  };
  await using all = await serving({}, { timing: { sleep }, connections: 4 });
  all.server.push("org/app", "v1", testImage({ layers: [content], compression: "none" }));
  all.server.rules.push(...(typeof rules === "function" ? rules(all.server) : rules));
  const { found, layer } = await firstLayer(all.registry, all.reference);
  const got = digestOf(await collect(all.registry.blob(found, layer)));
  return { got, waits, requests: all.server.requests.filter((request) => path.test(request.path)) };
}

/** No piece was asked for twice, and the rest once the host might be asked again. */
function expectPolite(ranges: readonly unknown[], waits: readonly number[]): void {
  expect([ranges[0], ranges.at(-1)]).toEqual([first, rest]);
  expect(ranges.length).toBeWithin(3, 6);
  expect(new Set(ranges).size).toBe(ranges.length);
  expect(Math.max(...waits)).toBeGreaterThan(1000);
}

group("pieces that are refused for there being too many requests are not asked for again one by one", () => {
  test("at a registry", async () => {
    const { got, waits, requests } = await download([limited, slow]);
    expect(got).toBe(digest);
    expectPolite(
      requests.map(({ headers }) => headers.range),
      waits,
    );
  });

  test("at a store, nor is the registry asked for its address again", async () => {
    await using store = await startFaultRegistry({ rules: [limited, slow] });
    store.push("org/app", "v1", testImage({ layers: [content], compression: "none" }));
    const to = `${store.url}/v2/org/app/blobs/${digest}?signature=secret`;
    const { got, waits, requests } = await download([{ path, fault: { kind: "redirect", to } }]);
    expect(got).toBe(digest);
    expect(requests).toHaveLength(1);
    const asked = store.requests.filter((request) => path.test(request.path));
    expectPolite(
      asked.map(({ headers }) => headers.range),
      waits,
    );
  });
});

test("the longest wait counts that any of several pieces was asked for", async () => {
  const refused = (range: RegExp, seconds: number): FaultRule => {
    const headers = { "retry-after": `${seconds}` };
    return { path, range, fault: { kind: "status", status: 429, headers } };
  };
  const [head, second, third] = [/^bytes=2097152-\d/, /^bytes=4194304-\d/, /^bytes=6291456-\d/];
  const { got, waits } = await download(({ requests }) => {
    const isRefused = () => requests.find(({ headers, status }) => third.test(`${headers.range}`) && status === 429);
    const until = eventually("an answer to the third piece", isRefused);
    const waiting: FaultRule = { path, range: head, fault: { kind: "slow", bytesPerSecond: 100_000, until } };
    return [waiting, refused(second, 1), refused(third, 20), slow];
  });
  expect(got).toBe(digest);
  expect(Math.max(...waits)).toBeGreaterThan(2000);
});

test("a piece that waits because the server asked for it is not taken for a slow one", async () => {
  const busy: Fault = { kind: "status", status: 503, headers: { "retry-after": "3" } };
  const { got, waits } = await download([{ path, range: /^bytes=2097152-\d/, times: 1, fault: busy }, slow], sleep);
  expect(got).toBe(digest);
  expect(waits.filter((ms) => ms >= 3000)).toHaveLength(1);
});
