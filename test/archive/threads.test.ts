import { describe, expect, test } from "bun:test";
import { pathToFileURL } from "node:url";
import { threadScripts } from "../../lib/archive/thread-scripts.ts";
import { Workers } from "../../lib/archive/workers.ts";
import { blobFile, layer, targetAt } from "../support/blob-source.ts";
import { tempDir } from "../support/harness.ts";
import { digestOf } from "../support/test-image.ts";

const diffId = `sha256:${"0".repeat(64)}`;

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield new Uint8Array(100_000);
}

const open = async () => ({ kind: "stream", chunks: endless(), size: 1e9, digest: diffId }) as const;

describe("a thread that dies", () => {
  const deaths: [name: string, which: "blob" | "layer", script: string, why: string][] = [
    ["the one that extracts throws", "layer", 'throw new Error("out of luck")', "out of luck"],
    ["the one that reads the blob throws", "blob", 'throw new Error("out of luck")', "out of luck"],
    ["the one that extracts ends", "layer", "process.exit(0)", "it ended"],
    ["the one that reads the blob ends", "blob", "process.exit(0)", "it ended"],
  ];
  test.each(deaths)("is neither the layer's fault nor the disk's: %s", async (_, which, script, why) => {
    using dir = tempDir("threads", { "thread.ts": `self.onmessage = () => { ${script}; };` });
    const workers = new Workers({ ...threadScripts, [which]: pathToFileURL(dir.join("thread.ts")) });
    const outcome = await workers.extract(targetAt(dir.join("l")), diffId, open);
    expect(outcome).toEqual({ ok: false, fault: "thread", message: expect.stringContaining(why) });
    // No thread is asked again.
    expect(await workers.extract(targetAt(dir.join("l")), diffId, open)).toEqual(outcome);
    await workers.cancel();
  });
});

test("one that extracts small layers and dies is neither the layers' fault nor the disk's", async () => {
  using dir = tempDir("threads", { "thread.ts": 'self.onmessage = () => { throw new Error("out of luck"); };' });
  const workers = new Workers({ ...threadScripts, small: pathToFileURL(dir.join("thread.ts")) });
  const blob = layer();
  const extract = (index: number) =>
    workers.extract(targetAt(dir.join(`l${index}`)), digestOf(blob), async () => blobFile(dir, blob));
  // So many that another thread is told of them, where there is a core for it.
  const outcomes = await Promise.all(Array.from({ length: 40 }, (_, index) => extract(index)));
  if (workers.limit === 1) expect(outcomes.every(({ ok }) => ok)).toBe(true);
  else expect(outcomes).toContainEqual({ ok: false, fault: "thread", message: expect.stringContaining("out of luck") });
  await workers.cancel();
});

test("a thread that the system refuses is neither the layer's fault nor the disk's", async () => {
  const real = globalThis.Worker;
  class Refused {
    constructor() {
      throw new TypeError("Failed to spawn worker thread");
    }
  }
  Object.assign(globalThis, { Worker: Refused });
  try {
    const outcome = await new Workers().extract(targetAt("/nowhere"), diffId, open);
    expect(outcome).toEqual({ ok: false, fault: "thread", message: "Failed to spawn worker thread" });
  } finally {
    Object.assign(globalThis, { Worker: real });
  }
});
