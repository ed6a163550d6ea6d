import { expect, test } from "bun:test";
import { truncateSync } from "node:fs";
import { scene } from "../cli/scene.ts";
import { desk } from "./run.ts";

const names = Array.from({ length: 1001 }, (_, at) => `layer-${at}`);

test("counts of a thousand and more have separators wherever they stand", async () => {
  using made = scene({ layers: names });
  for (const name of names) truncateSync(made.cache.blob("bp", name), 512);
  const verified = await desk("verify", made.cache.path);
  expect(verified.stdout).toEndWith("\n1,001 blobs named, 1,001 bad\n");
  const explained = await desk("explain", "-layers", made.layers, "-cache-dir", made.cache.path);
  expect(explained.stdout).toMatch(/\n1,001 layers: 1,001 [a-z ]+\n$/);
});

test("-bytes keeps the unit where a size stands in a sentence", async () => {
  using made = scene({ layers: ["one"] });
  const { path } = made.cache;
  expect((await desk("inspect", "-bytes", path)).stdout).toMatch(/ \d{1,3}(,\d{3})+ bytes stored\n/);
  expect((await desk("inspect", "-bytes", path, "one")).stdout).toMatch(/ \d[\d,]* bytes unpacked; verified\n/);
  const explained = await desk("explain", "-bytes", "-layers", made.layers, "-cache-dir", path, "one");
  expect(explained.stdout).toMatch(/contents and metadata \(\d{1,3}(,\d{3})+ bytes\)/);
});
