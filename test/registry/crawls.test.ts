import { expect, describe as group, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { describe } from "../../lib/errors.ts";
import type { RegistryTiming } from "../../lib/registry/timing.ts";
import { digestOf, type FaultRule, testImage } from "../support/fault-registry.ts";
import { hangMs } from "../support/harness.ts";
import { collect, serving } from "../support/registry-client.ts";

const small = randomBytes(600_000);
const large = randomBytes(20_000_000);
const crawls = { kind: "slow", bytesPerSecond: 1000 } as const;
/** Nothing but a crawl has a connection given up here. */
const timing: Partial<RegistryTiming> = { crawlMs: 300, stallMs: hangMs, silenceMs: hangMs };

/** Downloads a blob with faults. */
async function download(content: Buffer, rules: (path: RegExp) => FaultRule[], times = timing) {
  const path = new RegExp(`/blobs/${digestOf(content)}`);
  await using all = await serving({ rules: rules(path) }, { timing: times, connections: 4 });
  all.server.push("org/app", "v1", testImage({ layers: [content], compression: "none" }));
  const found = await all.registry.image(all.reference);
  const [layer] = found.manifest.layers;
  if (layer === undefined) throw new Error("no layer");
  const digest = await collect(all.registry.blob(found, layer)).then(digestOf, describe);
  const ranges = all.server.requests.filter((request) => path.test(request.path)).map(({ headers }) => headers.range);
  return { digest, ranges };
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

  test("where next to nothing comes, three times at most", async () => {
    const { digest, ranges } = await download(small, (path) => [{ path, fault: { kind: "stall", at: 1000 } }], {
      ...timing,
      crawlMs: 100,
    });
    expect(digest).toMatch(/^failed to get .*sent no more than 1,000 bytes for 0\.4 s/);
    expect(ranges).toHaveLength(3);
  });
});

test("a server that knows no ranges is not asked for another connection because it is slow", async () => {
  const slow: FaultRule["fault"] = { kind: "ignore-range", bytesPerSecond: 500_000 };
  const { digest, ranges } = await download(small, (path) => [{ path, fault: slow }], { ...timing, crawlMs: 50 });
  expect({ digest, ranges }).toEqual({ digest: digestOf(small), ranges: [undefined] });
});
