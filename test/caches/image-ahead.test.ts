import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { readAhead } from "../../lib/archive/read-ahead.ts";
import { comingNext } from "../../lib/layers/schedule.ts";
import { parents } from "../support/cache-faults.ts";
import { analyzedToml, cacheMetadata, groupToml, metadataName } from "../support/cache-fixture.ts";
import { eventually } from "../support/eventually.ts";
import { digestOf, startFaultRegistry, testImage } from "../support/fault-registry.ts";
import { runRestorer, snapshot, startRestorer, tempDir } from "../support/harness.ts";
import { tarOf } from "../support/raw-tar.ts";
import { startRelay } from "../support/relay.ts";

/** Layers that are restored at once, those that are asked for ahead, and one more; the largest first. */
const atOnce = Math.min(4, availableParallelism());
const ahead = 6;
const layers = Array.from({ length: atOnce + ahead + 1 }, (_, index) => `layer-${index}`);
const archives = layers.map((name, index) =>
  tarOf([
    ...parents,
    { name: `/layers/bp/${name}`, type: "directory" },
    { name: `/layers/bp/${name}/data`, data: randomBytes(200_000 - 1000 * index) },
  ]),
);
const label = cacheMetadata([{ id: "bp", layers: layers.map((name) => ({ name })) }], (_, name) =>
  digestOf(archives[layers.indexOf(name)] ?? Buffer.alloc(0)),
);
const image = testImage({ layers: archives, labels: { [metadataName]: label }, compression: "none" });
const blobs = archives.map((archive) => new RegExp(`/blobs/${digestOf(archive)}$`));

function scene() {
  return tempDir("ahead", { "group.toml": groupToml([{ id: "bp" }]), "analyzed.toml": analyzedToml() });
}

test("the next blobs are asked for while the others are still on their way, and no others", async () => {
  const rules = blobs.slice(0, atOnce).map((path) => ({ path, fault: { kind: "stall", at: 1000 } as const }));
  await using server = await startFaultRegistry({ rules });
  server.push("cache", "latest", image);
  using dir = scene();
  const args = ["-layers", dir.path, "-cache-image", `${server.host}/cache`];
  const run = startRestorer(args);
  for (const next of blobs.slice(atOnce, atOnce + ahead))
    await eventually("a request for a next blob", () => server.requests.find(({ path }) => next.test(path)));
  for (const last of blobs.slice(atOnce + ahead))
    expect(server.requests.filter(({ path }) => last.test(path))).toEqual([]);
  run.kill("SIGTERM");
  expect((await run.result).exitCode).toBe(143);

  server.rules.length = 0;
  server.requests.length = 0;
  expect(await runRestorer(args)).toMatchObject({ exitCode: 0, stderr: "" });
  expect(layers.filter((name) => !snapshot(dir.path).has(`bp/${name}/data`))).toEqual([]);
  for (const path of blobs) expect(server.requests.filter((request) => path.test(request.path))).toHaveLength(1);
});

test("connections for blobs are opened while the config comes", async () => {
  await using server = await startFaultRegistry();
  server.push("cache", "latest", image);
  let others = 0;
  using relay = await startRelay(server.host, (sent, connections) => {
    if (!sent.includes("/blobs/") || others > 0) return undefined;
    others = connections.length;
    return eventually("a connection for blobs", () => connections[others]);
  });
  using dir = scene();
  const args = ["-layers", dir.path, "-cache-image", `${relay.host}/cache`];
  expect(await runRestorer(args)).toMatchObject({ exitCode: 0, stderr: "" });
  expect(relay.failures).toEqual([]);
});

test.each<[sizesInMiB: number[], from: number, names: string]>([
  [[1, 1, 1, 1, 1, 1, 1, 1, 1], 1, "123456"],
  [[900, 800, 700, 600, 500, 400], 0, "0123"],
  [[900, 1.5, 1.5, 1.5, 1.5, 1.5], 0, "01234"],
  [[5, 4], 1, "1"],
  [[5, 4], 2, ""],
  [[], 0, ""],
])("of layers of %j MiB, from number %i on, %j are asked for ahead", (sizes, from, names) => {
  const sized = sizes.map((mebibytes, index) => ({ plan: `${index}`, size: mebibytes * 2 ** 20 }));
  const asked = comingNext(sized, from).map(({ plan }) => plan);
  expect(asked.join("")).toBe(names);
});

async function* chunksOf(parts: readonly string[], failure?: Error): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part);
  if (failure !== undefined) throw failure;
}

async function textOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of chunks) text += Buffer.from(chunk).toString();
  return text;
}

test.each([0, 1, 3, 4, 100])("a stream begun ahead is the same stream: %i bytes of it", async (most) => {
  expect(await textOf(readAhead(chunksOf(["ab", "c", "def"]), most))).toBe("abcdef");
  expect(await textOf(readAhead(chunksOf([]), most))).toBe("");
});

test("a stream begun ahead fails where it failed, and only for who reads it", async () => {
  const failure = new Error("the connection broke");
  for (const most of [1, 100]) {
    readAhead(chunksOf(["ab"], failure), most);
    await expect(textOf(readAhead(chunksOf(["ab", "c"], failure), most))).rejects.toBe(failure);
  }
});

test("a stream begun ahead is ended by who leaves it", async () => {
  let isEnded = false;
  async function* endless(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield Buffer.from("x");
    } finally {
      isEnded = true;
    }
  }
  for await (const _ of readAhead(endless(), 2)) break;
  expect(isEnded).toBe(true);
});
