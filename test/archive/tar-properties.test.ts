import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type TarEntry as Entry, TarReader } from "../../lib/archive/tar.ts";
import { TarError } from "../../lib/archive/tar-error.ts";
import { tarOf } from "../support/raw-tar.ts";
import { attacks } from "./attack-table.ts";
import { fixChecksum, isHeader } from "./fix-checksum.ts";

/** What a reader tells of an archive given in certain chunks; its content joined, so that chunks do not show. */
function read(archive: Uint8Array, sizes: readonly number[] = []): string[] {
  const events: string[] = [];
  let content: Buffer[] = [];
  const reader = new TarReader({
    entry: (entry: Entry) => events.push(JSON.stringify(entry)),
    data: (chunk) => content.push(Buffer.from(chunk)),
    endFile: () => {
      events.push(`content ${Buffer.concat(content).toString("latin1")}`);
      content = [];
    },
  });
  try {
    let at = 0;
    for (const size of sizes) {
      reader.write(Buffer.from(archive.subarray(at, at + size)));
      at += size;
    }
    reader.write(Buffer.from(archive.subarray(at)));
    reader.finish();
  } catch (error) {
    if (!(error instanceof TarError)) throw error;
    // How much of a file came before the trouble depends on the chunks.
    events.push(`error ${error.message}`);
  }
  return events;
}

const scene = { at: "/layers/bp/l", buildpack: "/layers/bp", layer: "l", layersDir: "/real", canary: "/canary" };
const seeds = Object.values(attacks)
  .flat()
  .map((row) => row.archive(scene))
  .filter((archive) => archive.length < 20_000);

/** Puts right the checksums of all blocks that look like headers, so that a mutation is read rather than refused. */
function fixChecksums(archive: Buffer): void {
  for (let at = 0; at + 512 <= archive.length; at += 512) if (isHeader(archive, at)) fixChecksum(archive, at);
}

/** Archives of the attack table with some bytes changed, blocks repeated, and the end cut off. */
const mutated = fc
  .record({
    seed: fc.constantFrom(...seeds),
    bytes: fc.array(fc.tuple(fc.nat(), fc.oneof(fc.nat(255), fc.constantFrom(0, 32, 48, 55, 128, 255))), {
      maxLength: 6,
    }),
    repeat: fc.option(fc.tuple(fc.nat(), fc.nat())),
    cut: fc.option(fc.nat()),
    fix: fc.boolean(),
  })
  .map(({ seed, bytes, repeat, cut, fix }) => {
    let archive = Buffer.from(seed);
    for (const [at, byte] of bytes) if (archive.length > 0) archive[at % archive.length] = byte;
    if (repeat !== null) {
      const blocks = Math.max(1, Math.floor(archive.length / 512));
      const [from, to] = repeat.map((block) => (block % blocks) * 512);
      archive = Buffer.concat([
        archive.subarray(0, to),
        archive.subarray(from, (from ?? 0) + 512),
        archive.subarray(to),
      ]);
    }
    if (cut !== null) archive = archive.subarray(0, cut % (archive.length + 1));
    if (fix) fixChecksums(archive);
    return archive;
  });

const chunkSizes = fc.array(fc.oneof(fc.nat(3), fc.integer({ min: 500, max: 520 }), fc.nat(3000)), { maxLength: 40 });

describe("the tar reader", () => {
  test("throws nothing but TarErrors, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => void read(bytes)),
      { numRuns: 1000 },
    );
  });
  test("throws nothing but TarErrors, whatever is changed in an archive", () => {
    fc.assert(
      fc.property(mutated, (archive) => void read(archive)),
      { numRuns: 5000 },
    );
  });
  test("sees the same archive in whatever chunks it comes", () => {
    fc.assert(
      fc.property(mutated, chunkSizes, (archive, sizes) => expect(read(archive, sizes)).toEqual(read(archive))),
      { numRuns: 3000 },
    );
  });
  test("gives back the names, targets, modes and contents that were written, in each format", () => {
    const name = fc
      .uint8Array({ minLength: 1, maxLength: 300 })
      .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte))));
    const entry = fc.record({
      name,
      linkname: name,
      mode: fc.nat(0o7777),
      data: fc.uint8Array({ maxLength: 1500 }),
      type: fc.constantFrom("file", "directory", "symlink", "link"),
      longNames: fc.constantFrom("pax", "gnu"),
    } as const);
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 5 }), (entries) => {
        const archive = tarOf(
          entries.map(({ linkname, data, longNames, ...rest }) => ({
            ...rest,
            longNames,
            format: longNames === "gnu" ? "gnu" : "ustar",
            ...(rest.type === "file" ? { data } : {}),
            ...(rest.type === "symlink" || rest.type === "link" ? { linkname } : {}),
          })),
        );
        const expected = entries.flatMap(({ name: path, linkname, mode, data, type }) => [
          JSON.stringify({
            path: path.toString("latin1"),
            type,
            mode,
            size: type === "file" ? data.length : 0,
            linkpath: type === "symlink" || type === "link" ? linkname.toString("latin1") : "",
          }),
          ...(type === "file" ? [`content ${Buffer.from(data).toString("latin1")}`] : []),
        ]);
        expect(read(archive)).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });
});
