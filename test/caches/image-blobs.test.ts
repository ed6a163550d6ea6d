import { expect, describe as group } from "bun:test";
import { randomBytes } from "node:crypto";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { thousands } from "../../lib/text.ts";
import {
  blobOf,
  cacheImage,
  expectNeighbour,
  expectWarm,
  forEach,
  gzipped,
  healthy,
  imageWith,
  labelOf,
  parents,
  plain,
  plainTar,
  restore,
  restoreTest,
  type Setup,
  tars,
} from "../support/cache-faults.ts";
import { cacheMetadata, metadataName } from "../support/cache-fixture.ts";
import { digestOf, type Fault, testImage } from "../support/fault-registry.ts";
import { headerOf, tarOf, tarTrailer } from "../support/raw-tar.ts";

group("a blob that is not what it should be costs its layer", () => {
  const damage = (fault: Fault, image = healthy): Setup => ({ image, rules: [{ path: blobOf(image), fault }] });
  const zstd = cacheImage({ compression: "zstd" });
  const otherDigest = `sha256:${"1".repeat(64)}`;
  /** The config and the label agree about the first layer's diffID; its contents have another. */
  const wrongDiffId = (compression: "gzip" | "zstd" | "none") =>
    cacheImage({
      compression,
      labels: labelOf({ one: otherDigest }),
      editConfig: (config) => ({
        ...config,
        rootfs: { type: "layers", diff_ids: [otherDigest, digestOf(tars[1] ?? Buffer.alloc(0))] },
      }),
    });
  forEach(
    [
      ["another byte", damage({ kind: "corrupt" }), /digest|gzip/],
      ["another byte, uncompressed", damage({ kind: "corrupt" }, plain), "digest"],
      ["another byte, in zstd", damage({ kind: "corrupt" }, zstd), /digest|zstd/],
      ["garbage", damage({ kind: "garbage" }), "127.0.0.1"],
      ["half of it, announced as all", damage({ kind: "short" }), `where the image says ${thousands(gzipped.length)}`],
      ["a hundred bytes too many", damage({ kind: "trailing", announced: true }), thousands(gzipped.length)],
      [
        "a hundred bytes too many, unannounced",
        damage({ kind: "trailing", announced: false }),
        thousands(gzipped.length),
      ],
      ["a body without end", damage({ kind: "huge", bytes: 100e9 })],
      ["the right archive, but another digest", { image: imageWith(gzipped, {}, otherDigest) }, otherDigest, "digest"],
      ["another diffID", { image: wrongDiffId("gzip") }, otherDigest, "digest"],
      ["another diffID, uncompressed", { image: wrongDiffId("none") }, otherDigest, "digest"],
      ["another diffID, in zstd", { image: wrongDiffId("zstd") }, otherDigest, "digest"],
      ["gzip cut off", { image: imageWith(gzipped.subarray(0, gzipped.length - 20)) }, "gzip"],
      ["gzip cut off in its header", { image: imageWith(gzipped.subarray(0, 6)) }, "gzip"],
      ["bytes after the gzip data", { image: imageWith(Buffer.concat([gzipped, Buffer.from("junk")])) }, "gzip"],
      ["bytes after the archive", { image: imageWith(Buffer.concat([plainTar, Buffer.from("junk")])) }],
      [
        "the archive of another layer",
        { image: cacheImage({ labels: labelOf({ one: digestOf(tars[1] ?? Buffer.alloc(0)) }) }) },
      ],
      ["no layer in the image", { image: cacheImage({ labels: labelOf({ one: otherDigest }) }) }, otherDigest],
      [
        "no digest in the label",
        { image: cacheImage({ labels: labelOf({ one: "../../etc/passwd" }) }) },
        "is not a sha256 digest",
      ],
    ],
    expectNeighbour,
  );

  /** A small blob, in many parts, for an archive with one file of many zeros. */
  const bomb = (megabytes: number, compress: (bytes: Uint8Array) => Buffer, announced = megabytes * MiB): Setup => {
    const headers = [...parents, { name: "/layers/bp/one", type: "directory" } as const].map((entry) =>
      headerOf(entry, 0),
    );
    const start = Buffer.concat([...headers, headerOf({ name: "/layers/bp/one/data", size: announced }, 0)]);
    const zeros = Array<Buffer>(megabytes / 4).fill(compress(Buffer.alloc(4 * MiB)));
    return { image: imageWith(Buffer.concat([compress(start), ...zeros, compress(tarTrailer)])) };
  };
  const MiB = 1024 * 1024;
  forEach(
    [
      ["a small blob that expands beyond all measure", bomb(300, zstdCompressSync), "expands to more than"],
      ["a small blob that says it will", bomb(4, gzipSync, 2 ** 42)],
      ["a small blob that expands to a lot, all of it wrong", bomb(128, gzipSync), "digest"],
    ],
    expectNeighbour,
  );
});

group("a blob in an unusual shape is a blob", () => {
  const tar = plainTar;
  const half = tar.length >> 1;
  const inParts = (compress: (bytes: Uint8Array) => Buffer) =>
    Buffer.concat([compress(tar.subarray(0, half)), compress(tar.subarray(half))]);
  const shapes: [what: string, blob: Buffer][] = [
    ["gzip in two members", inParts(gzipSync)],
    ["zstd in two frames", inParts(zstdCompressSync)],
    ["gzip with zeros after it", Buffer.concat([gzipped, Buffer.alloc(1000)])],
    ["zstd with zeros after it", Buffer.concat([zstdCompressSync(tar), Buffer.alloc(1000)])],
  ];
  for (const [what, blob] of shapes) {
    restoreTest(what, async () => expectWarm(await restore({ image: imageWith(blob) })));
  }

  restoreTest("and one that fails does not spoil those that the same threads work on next", async () => {
    const many = Array.from({ length: 16 }, (_, i) => `layer-${i}`);
    const contents = many.map((_, i) => randomBytes(i % 4 === 0 ? 1_500_000 : 3000));
    const archives = many.map((name, i) =>
      tarOf([
        ...parents,
        { name: `/layers/bp/${name}`, type: "directory" },
        { name: `/layers/bp/${name}/data`, data: contents[i] ?? "" },
      ]),
    );
    const shaOf = (_: string, name: string) => digestOf(archives[many.indexOf(name)] ?? Buffer.alloc(0));
    const label = cacheMetadata([{ id: "bp", layers: many.map((name) => ({ name })) }], shaOf);
    const image = testImage({ layers: archives, labels: { [metadataName]: label }, compression: "zstd" });
    const faults: Fault[] = [
      { kind: "corrupt" },
      { kind: "short" },
      { kind: "trailing", announced: false },
      { kind: "cut", at: 0 },
    ];
    const rules = faults.map((fault, i) => ({ path: blobOf(image, 3 * i), fault }));
    const { exitCode, stderr, after } = await restore({ image, rules });
    expect(exitCode).toBe(0);
    expect([...(stderr.match(/^Warning: Not restoring "bp:layer-\d+": /gm) ?? [])].sort()).toEqual(
      faults.map((_, i) => `Warning: Not restoring "bp:layer-${3 * i}": `).sort(),
    );
    const there = many.filter((_, i) => i % 3 !== 0 || i >= 3 * faults.length);
    const digests = there.map((name) => `${name} ${digestOf(contents[many.indexOf(name)] ?? Buffer.alloc(0))}`);
    const found = [...after].filter(([path]) => path.endsWith("/data"));
    expect(found.map(([path, { sha256 }]) => `${path.split("/")[1]} sha256:${sha256}`).sort()).toEqual(digests.sort());
    const tomls = [...after.keys()].filter((path) => path.startsWith("bp/") && path.endsWith(".toml"));
    expect(tomls).toHaveLength(there.length);
  });
});
