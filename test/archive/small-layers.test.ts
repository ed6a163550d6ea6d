import { expect, test } from "bun:test";
import { closeSync, existsSync, readdirSync, readlinkSync, realpathSync } from "node:fs";
import { Control } from "../../lib/archive/control.ts";
import { LayerExtractor } from "../../lib/archive/extract.ts";
import { SmallLayers } from "../../lib/archive/small-layers.ts";
import { TarReader } from "../../lib/archive/tar.ts";
import { blobFile, layer, targetAt } from "../support/blob-source.ts";
import { tempDir } from "../support/harness.ts";
import { digestOf } from "../support/test-image.ts";

test("where no other thread extracts small layers the program hears of signals between them, and begins no more", async () => {
  using dir = tempDir("small");
  const control = new Control();
  const layers = new SmallLayers(control, () => undefined);
  const blob = layer();
  const job = (index: number) => ({
    source: blobFile(dir, blob),
    diffId: digestOf(blob),
    target: targetAt(dir.join(`l${index}`)),
  });
  const outcomes = Array.from({ length: 40 }, (_, index) => layers.do(job(index)));
  setImmediate(() => control.cancel());
  const [first, ...others] = await Promise.all(outcomes);
  expect(first).toMatchObject({ ok: true });
  expect(others).toEqual(others.map(() => ({ ok: false, fault: "cancelled", message: "stopped" })));
  expect(existsSync(dir.join("l1"))).toBe(false);
});

test("an extraction that ends early keeps its reason, whatever closing its file finds wrong", () => {
  using dir = tempDir("small");
  const extractor = new LayerExtractor(targetAt(dir.join("l")));
  const blob = layer("x".repeat(4096));
  // Its first file is open then.
  new TarReader(extractor).write(blob.subarray(0, 2048));
  const isFile = (fd: string) => readlinkIfThere(`/proc/self/fd/${fd}`) === realpathSync(dir.join("l/file"));
  const open = readdirSync("/proc/self/fd").filter(isFile);
  expect(open).toHaveLength(1);
  closeSync(Number(open[0]));
  expect(() => extractor.abort()).not.toThrow();
});

/** Descriptors come and go meanwhile. */
function readlinkIfThere(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
