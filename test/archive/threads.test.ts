import { describe, expect, test } from "bun:test";
import { pathToFileURL } from "node:url";
import { threadScripts } from "../../lib/archive/thread-scripts.ts";
import { Workers } from "../../lib/archive/workers.ts";
import { targetAt } from "../support/blob-source.ts";
import { tempDir } from "../support/harness.ts";

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
