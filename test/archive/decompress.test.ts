import { expect, describe as group, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { Decompressor } from "../../lib/archive/decompress.ts";

const text = Buffer.from("hello hello world ".repeat(3));

/** What comes out of a blob that arrives in these chunks, or the words it is refused with. */
function outcome(chunks: readonly Buffer[], room: number): string {
  const parts: Buffer[] = [];
  let slot = Buffer.alloc(0);
  const decompressor = new Decompressor({
    acquire() {
      slot = Buffer.alloc(room);
      return slot;
    },
    commit: (length) => void parts.push(slot.subarray(0, length)),
  });
  try {
    for (const chunk of chunks) decompressor.write(chunk);
    decompressor.end();
    return Buffer.concat(parts).toString("latin1");
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return `${error.name}: ${error.message}`;
  } finally {
    decompressor.close();
  }
}

/** Room for output: little, just enough for one text, plenty. */
const rooms = [7, text.length, 4096];

/** Every outcome of a blob, in one piece, in two wherever it is split, and byte by byte. */
function outcomes(blob: Buffer): string[] {
  const halves = Array.from({ length: blob.length + 1 }, (_, at) => [blob.subarray(0, at), blob.subarray(at)]);
  const bytes = Array.from(blob, (byte) => Buffer.from([byte]));
  return [...new Set(rooms.flatMap((room) => [[blob], ...halves, bytes].map((chunks) => outcome(chunks, room))))];
}

const checked = { params: { [constants.ZSTD_c_checksumFlag]: 1 } };
const codecs: [name: string, compress: (bytes: Buffer) => Buffer][] = [
  ["gzip", (bytes) => gzipSync(bytes)],
  ["zstd", (bytes) => zstdCompressSync(bytes)],
  ["zstd with checksums", (bytes) => zstdCompressSync(bytes, checked)],
];

for (const [name, compress] of codecs) {
  const codec = name.slice(0, 4);
  const one = compress(text);
  const none = compress(Buffer.alloc(0));
  const zeros = (count: number) => Buffer.alloc(count);
  const junk = Buffer.from("junk");

  group(`${name}, wherever its chunks end:`, () => {
    test.each<[string, Buffer[], string]>([
      ["one part", [one], `${text}`],
      ["two parts", [one, one], `${text}${text}`],
      ["a part with nothing in it", [none], ""],
      ["parts with nothing in them", [none, one, none, none, one, none], `${text}${text}`],
      ["a zero after it", [one, zeros(1)], `${text}`],
      ["zeros after it", [one, zeros(9)], `${text}`],
      ["zeros after two parts", [one, one, zeros(9)], `${text}${text}`],
      ["zeros after nothing", [none, zeros(9)], ""],
    ])("%s may be", (_, parts, content) => {
      expect(outcomes(Buffer.concat(parts))).toEqual([content]);
    });

    test.each<[string, Buffer[]]>([
      ["junk after it", [one, junk]],
      ["a byte after it", [one, Buffer.from([1])]],
      ["zeros and junk after it", [one, zeros(3), junk]],
      ["zeros between its parts", [one, zeros(5), one]],
      ["the beginning of another part", [one, one.subarray(0, 1)]],
      ["the beginning of another part, and zeros", [one, one.subarray(0, 2), zeros(6)]],
      ["a part of another kind", [one, codec === "gzip" ? zstdCompressSync(text) : gzipSync(text)]],
    ])("%s may not be", (_, parts) => {
      const all = outcomes(Buffer.concat(parts));
      expect(all).toHaveLength(1);
      expect(all[0]).toMatch(new RegExp(`^CompressionError: its blob .*${codec}`));
    });

    test("it may not be cut off anywhere", () => {
      for (let length = 4; length < one.length; length++) {
        for (const blob of [one.subarray(0, length), Buffer.concat([one, one.subarray(0, length)])]) {
          expect(outcomes(blob)).toEqual([`CompressionError: its blob is not valid ${codec}: unexpected end of file`]);
        }
      }
    });
  });
}

group("zstd", () => {
  test("may have frames to be skipped among its frames, and after them", () => {
    const skipped = Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    const one = zstdCompressSync(text);
    expect(outcomes(Buffer.concat([one, skipped, skipped, one, skipped, Buffer.alloc(3)]))).toEqual([`${text}${text}`]);
    expect(outcomes(Buffer.concat([one, skipped.subarray(0, -1)]))[0]).toContain("unexpected end of file");
  });

  const noise = randomBytes(400_000);
  const mixed = Buffer.concat([
    noise,
    Buffer.alloc(900_000),
    noise.subarray(0, 300_000),
    Buffer.from(`${text}`.repeat(99)),
  ]);
  test.each<[string, Buffer]>([
    ["blocks of every kind", zstdCompressSync(mixed)],
    ["no size in its header", zstdCompressSync(mixed, { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } })],
    ["a checksum", zstdCompressSync(mixed, checked)],
    ["a size of two bytes", zstdCompressSync(mixed.subarray(0, 1000))],
  ])("with %s ends where it ends", (_, frame) => {
    const blob = Buffer.concat([frame, frame, Buffer.alloc(2000)]);
    for (const size of [1000, 65_536, frame.length, frame.length * 2]) {
      const chunks: Buffer[] = [];
      for (let at = 0; at < blob.length; at += size) chunks.push(blob.subarray(at, at + size));
      const content = mixed.subarray(0, frame.length < 2000 ? 1000 : mixed.length).toString("latin1");
      expect(outcome(chunks, 65_536) === content + content).toBe(true);
    }
  });
});

test("what is not compressed comes as it is, nothing as nothing", () => {
  expect(outcomes(Buffer.alloc(0))).toEqual([""]);
  for (const blob of ["x", "tar", "plain text", "\0\0\0\0\0"]) expect(outcomes(Buffer.from(blob))).toEqual([blob]);
});

group("zstd that is valid, but not for us, is told as that:", () => {
  /** A frame's header with a window of 2^(10 + exponent) bytes, and an empty last block. */
  const frame = (exponent: number) => Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3, 1, 0, 0]);

  test.each([18, 19, 21, 31])("a window of 2^(10 + %i) bytes", (exponent) => {
    expect(outcomes(frame(exponent))).toEqual([
      "CompressionError: its blob needs a zstd window of more than 128 MiB, which is not supported: compress it without --long or --ultra",
    ]);
  });

  test("but 128 MiB are taken", () => {
    expect(outcomes(frame(17))).toEqual([""]);
  });

  test("a dictionary", () => {
    expect(outcomes(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x21, 7, 0, 1, 0, 0]))).toEqual([
      "CompressionError: its blob needs a zstd dictionary, which is not supported: compress it without",
    ]);
  });
});
