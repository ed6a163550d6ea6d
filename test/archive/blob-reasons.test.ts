import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { readBlob } from "../../lib/archive/read-blob.ts";
import type { LayerSource } from "../../lib/archive/source.ts";
import { Workers } from "../../lib/archive/workers.ts";
import { limits } from "../../lib/limits.ts";
import { thousands } from "../../lib/text.ts";
import { blobFile, layer, Notes, stream, targetAt } from "../support/blob-source.ts";
import { type TempDir, tempDir } from "../support/harness.ts";
import { digestOf } from "../support/test-image.ts";

let dir: TempDir;
let workers: Workers;
let count = 0;
beforeAll(() => {
  dir = tempDir("blob-reasons");
  workers = new Workers();
});
afterAll(() => dir[Symbol.dispose]());

const file = (blob: Uint8Array) => blobFile(dir, blob);
const otherDigest = digestOf(Buffer.from("something else"));

/** What is wrong with a blob as read here; "ok" where nothing is. */
async function reasonHere(source: LayerSource, diffId: string): Promise<string> {
  try {
    await readBlob({ source, diffId, handler: new Notes(), signal: new AbortController().signal });
    return "ok";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    if (source.kind === "file") closeSync(source.fd);
  }
}

/** The same, as a restore tells it. */
async function reasonOfRestore(source: LayerSource, diffId: string): Promise<string> {
  const target = targetAt(dir.join(`layer-${count++}`));
  const outcome = await workers.extract(target, diffId, async () => source);
  return outcome.ok ? "ok" : outcome.message;
}

type Make = () => LayerSource;

const plain = layer();
const large = layer(new Uint8Array(3_000_000).fill(7));
const id = digestOf(plain);
const flipped = Buffer.from(plain).fill("X", 1024, 1027);
const headless = Buffer.concat([Buffer.alloc(512, "x"), plain]);
const cutTar = plain.subarray(0, 1024 + 100);
const bomb = gzipSync(Buffer.alloc(limits.expansionFloor + 1));

const nothing = Buffer.alloc(0);
const zeros = Buffer.alloc(2048);
const gzip = gzipSync(plain);
const zstd = Buffer.from(zstdCompressSync(plain));
const cutEnd = plain.subarray(0, plain.length - 1024);
const cutHeader = plain.subarray(0, 100);
const holed = Buffer.from(plain).fill("X", 512, 1024);

const complete = "is complete by its own headers, so that bytes in it were changed, or it is another layer";
const plainOnly = "a volume cache's layers are not";
const endsEarly = (blob: Buffer, whole: number) =>
  `ends early: ${thousands(blob.length)} of ${thousands(whole)} bytes by its own headers`;
const wrong = (blob: Buffer, diffId: string, looks: string) =>
  `its content has the digest ${digestOf(blob)}, not ${diffId}: "blob.tar" has ${thousands(blob.length)} bytes and ${looks}`;

const cutGzip = gzipSync(plain).subarray(0, -9);
const cutZstd = zstdCompressSync(plain).subarray(0, -3);
const longGzip = Buffer.concat([gzipSync(plain), Buffer.from("more")]);
const longZstd = Buffer.concat([zstdCompressSync(plain), Buffer.from("more")]);
const longTar = Buffer.concat([plain, Buffer.from("more")]);
const tapeTar = Buffer.concat([plain, Buffer.alloc(10_240 - (plain.length % 10_240))]);
const zeroTar = Buffer.concat([plain, Buffer.alloc(10_240)]);
const word = Buffer.from("hello");
const xz = Buffer.concat([Buffer.from("fd377a585a00", "hex"), Buffer.alloc(300, 1)]);
const inFile = (blob: Buffer, reason: string) => `${reason}: "blob.tar" has ${thousands(blob.length)} bytes`;
const inBlob = (blob: Buffer, reason: string) =>
  `${reason}: blob ${digestOf(blob)} has ${thousands(blob.length)} bytes`;
const otherContent = (blob: Buffer, content: Buffer, looks: string) =>
  `${inBlob(blob, `its content has the digest ${digestOf(content)}, not ${id}`)} and ${looks}`;

const otherLayer = (blob: Buffer) => inBlob(blob, `its content has the digest ${id}, not ${otherDigest}`);

const rows: readonly [name: string, diffId: string, make: Make, reason: string][] = [
  ["a file", id, () => file(plain), "ok"],
  ["a file of several chunks", digestOf(large), () => file(large), "ok"],
  ["a plain stream", id, () => stream(plain), "ok"],
  ["a gzip stream", id, () => stream(gzipSync(plain)), "ok"],
  ["a zstd stream", id, () => stream(zstdCompressSync(plain)), "ok"],
  ["a gzip stream of several chunks", digestOf(large), () => stream(gzipSync(large)), "ok"],
  ["a stream that comes byte by byte", id, () => stream(gzipSync(plain), { pieceBytes: 1 }), "ok"],
  ["a gzip stream with zeros behind it", id, () => stream(Buffer.concat([gzipSync(plain), Buffer.alloc(9)])), "ok"],
  [
    "a gzip stream that is cut off",
    id,
    () => stream(cutGzip),
    inBlob(cutGzip, "its blob is not valid gzip: unexpected end of file"),
  ],
  [
    "a zstd stream that is cut off",
    id,
    () => stream(cutZstd),
    inBlob(cutZstd, "its blob is not valid zstd: unexpected end of file"),
  ],
  [
    "a gzip stream that goes on",
    id,
    () => stream(longGzip),
    inBlob(longGzip, "its blob is not valid gzip: incorrect header check"),
  ],
  [
    "a zstd stream that goes on",
    id,
    () => stream(longZstd),
    inBlob(longZstd, "its blob goes on after the end of its zstd data"),
  ],
  [
    "a stream of another blob",
    id,
    () => stream(plain, { digest: otherDigest }),
    `its blob of ${thousands(plain.length)} bytes has the digest ${id}, not ${otherDigest}`,
  ],
  [
    "a stream of another layer",
    otherDigest,
    () => stream(plain),
    `its content has the digest ${id}, not ${otherDigest}: blob ${id} has ${thousands(plain.length)} bytes`,
  ],
  ["a gzip stream of another layer", otherDigest, () => stream(gzip), otherLayer(gzip)],
  ["a zstd stream of another layer", otherDigest, () => stream(zstd), otherLayer(zstd)],
  ["a file of another layer", otherDigest, () => file(plain), wrong(plain, otherDigest, complete)],
  ["a file with a byte changed", id, () => file(flipped), wrong(flipped, id, complete)],
  ["an empty file", id, () => file(nothing), wrong(nothing, id, "is empty")],
  ["a file of a few bytes", id, () => file(word), wrong(word, id, "is too short for a tar archive")],
  [
    "a file that goes on after its archive",
    id,
    () => file(longTar),
    wrong(longTar, id, `goes on after the end of its archive, at byte ${thousands(plain.length)}`),
  ],
  [
    "a file that goes on with zeros after its archive",
    id,
    () => file(zeroTar),
    wrong(zeroTar, id, "goes on for 10,240 bytes of zeros after the end of its archive"),
  ],
  ["a file that is filled up with zeros, as on a tape", id, () => file(tapeTar), wrong(tapeTar, id, complete)],
  ["a stream of nothing", id, () => stream(nothing), otherContent(nothing, nothing, "is empty")],
  ["a stream of a few bytes", id, () => stream(word), otherContent(word, word, "is not a tar archive")],
  [
    "a stream of something else, compressed",
    id,
    () => stream(gzipSync(word)),
    otherContent(gzipSync(word), word, "is not a tar archive"),
  ],
  [
    "a stream that is compressed with something else",
    id,
    () => stream(xz),
    otherContent(xz, xz, "is xz-compressed, which is not supported for layers of images"),
  ],
  ["a file of zeros", id, () => file(zeros), wrong(zeros, id, "begins with zeros")],
  ["a file that was compressed with gzip", id, () => file(gzip), wrong(gzip, id, `is gzip-compressed, ${plainOnly}`)],
  ["a file that was compressed with zstd", id, () => file(zstd), wrong(zstd, id, `is zstd-compressed, ${plainOnly}`)],
  ["a file cut off in its content", id, () => file(cutTar), wrong(cutTar, id, endsEarly(cutTar, plain.length - 512))],
  ["a file cut off between entries", id, () => file(cutEnd), wrong(cutEnd, id, endsEarly(cutEnd, plain.length))],
  [
    "a file cut off in its first header",
    id,
    () => file(cutHeader),
    wrong(cutHeader, id, "is too short for a tar archive"),
  ],
  ["a file with a header overwritten", id, () => file(holed), wrong(holed, id, "is damaged: no header at byte 512")],
  [
    "a file that is corrupt, and therefore not a tar archive",
    id,
    () => file(headless),
    wrong(headless, id, "is not a tar archive"),
  ],
  [
    "a file that is not a tar archive",
    digestOf(headless),
    () => file(headless),
    inFile(headless, "a header has a malformed checksum"),
  ],
  [
    "a stream that is not a tar archive",
    digestOf(headless),
    () => stream(headless),
    inBlob(headless, "a header has a malformed checksum"),
  ],
  [
    "a file with a tar archive that is cut off",
    digestOf(cutTar),
    () => file(cutTar),
    inFile(cutTar, "the archive is cut off"),
  ],
  [
    "a stream with a tar archive that is cut off",
    digestOf(cutTar),
    () => stream(cutTar),
    inBlob(cutTar, "the archive is cut off"),
  ],
  [
    "a stream that expands beyond reason",
    id,
    () => stream(bomb, { pieceBytes: 65_536 }),
    inBlob(bomb, `it expands to more than ${limits.expansionFloor} bytes`),
  ],
];

describe("what is said of", () => {
  test.each(rows)("%s", async (_, diffId, make, reason) => {
    expect(await reasonHere(make(), diffId)).toBe(reason);
  });
});

describe("a restore says the same of", () => {
  test.each(rows)("%s", async (_, diffId, make, reason) => {
    expect(await reasonOfRestore(make(), diffId)).toBe(reason);
  });
});

test("a file that cannot be read is the blob's trouble", async () => {
  const fd = openSync(dir.path, "r");
  const source: LayerSource = { kind: "file", fd, size: 1, path: dir.path };
  expect(await reasonHere(source, id)).toBe(`it cannot be read: is a directory: "${dir.path}" has 1 byte`);
});
