import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { readBlob } from "../../lib/archive/read-blob.ts";
import type { LayerSource } from "../../lib/archive/source.ts";
import type { TarHandler } from "../../lib/archive/tar.ts";
import { blobFile, layer, Notes, stream } from "../support/blob-source.ts";
import { type TempDir, tempDir } from "../support/harness.ts";
import { digestOf } from "../support/test-image.ts";

let dir: TempDir;
beforeAll(() => {
  dir = tempDir("read-blob");
});
afterAll(() => dir[Symbol.dispose]());

const plain = layer();
const large = layer(new Uint8Array(3_000_000).fill(7));
const id = digestOf(plain);
const file = (blob: Uint8Array) => blobFile(dir, blob);

describe("reading a blob", () => {
  const never = new AbortController().signal;
  const hanging = new Promise<never>(() => {});

  test("tells what the archive holds", async () => {
    const handler = new Notes();
    await readBlob({ source: stream(gzipSync(plain)), diffId: id, handler, signal: never });
    expect(handler.lines).toEqual([
      "directory /layers/bp/l",
      "file /layers/bp/l/file",
      "content",
      "end",
      "symlink /layers/bp/l/link",
    ]);
  });

  test("leaves a file open, for whoever opened it to close", async () => {
    const source = file(plain);
    if (source.kind !== "file") throw new Error("expected a file");
    await readBlob({ source, diffId: id, handler: new Notes(), signal: never });
    closeSync(source.fd);
  });

  test.each<[string, () => LayerSource]>([
    ["file", () => file(large)],
    ["stream", () => stream(gzipSync(large))],
  ])("ends with the signal's reason when it is aborted in the middle of a %s", async (_, make) => {
    const aborter = new AbortController();
    const reason = new Error("stopped by SIGTERM");
    const handler: TarHandler = {
      entry() {},
      data: () => void setImmediate(() => aborter.abort(reason)),
      endFile() {},
    };
    const reading = readBlob({ source: make(), diffId: digestOf(large), handler, signal: aborter.signal });
    await expect(reading).rejects.toBe(reason);
  });

  test("ends with the signal's reason while a stream stalls", async () => {
    const aborter = new AbortController();
    const reason = new Error("stopped by SIGTERM");
    async function* stalled(): AsyncGenerator<Uint8Array> {
      yield plain.subarray(0, 600);
      setImmediate(() => aborter.abort(reason));
      yield await hanging;
    }
    const source: LayerSource = { kind: "stream", chunks: stalled(), size: plain.length, digest: id };
    const reading = readBlob({ source, diffId: id, handler: new Notes(), signal: aborter.signal });
    await expect(reading).rejects.toBe(reason);
  });

  test("ends with what the source or the handler throws", async () => {
    const broken = new Error("the registry sent 600 of 2560 bytes");
    async function* breaking(): AsyncGenerator<Uint8Array> {
      yield plain.subarray(0, 600);
      throw broken;
    }
    const source: LayerSource = { kind: "stream", chunks: breaking(), size: plain.length, digest: id };
    await expect(readBlob({ source, diffId: id, handler: new Notes(), signal: never })).rejects.toBe(broken);

    const full = new Error("no space left on device");
    const handler = new Notes();
    handler.data = () => {
      throw full;
    };
    await expect(readBlob({ source: stream(plain), diffId: id, handler, signal: never })).rejects.toBe(full);
  });
});
