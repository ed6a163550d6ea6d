import { type TarEntry, tarOf } from "../../support/raw-tar.ts";
import {
  type Attack,
  allAlike,
  allRefuse,
  ascii,
  bytes,
  cutOff,
  file,
  parents,
  refuses,
  restores,
  type Scene,
} from "./attack.ts";

export const structure: readonly Attack[] = [
  refuses("bad-checksum", allRefuse, ({ at }) => [file(`${at}/x`, "1", { checksumOff: 1 })], "wrong checksum"),
  refuses(
    "blank-checksum",
    allRefuse,
    (scene) => patched([...parents(scene), file(`${scene.at}/x`)], 3, (header) => header.fill(" ", 148, 156)),
    "wrong checksum",
  ),
  refuses(
    "garbage-checksum",
    allRefuse,
    (scene) => patched([...parents(scene), file(`${scene.at}/x`)], 3, (header) => header.fill("x", 148, 156)),
    "malformed checksum",
  ),
  restores(
    "signed-checksum",
    "all take it, for old archives' sake",
    ({ at }) => [file(bytes(`${at}/`, [0xe9]), "1", { longNames: "none", checksumOff: -256 })],
    ['\\xe9 0644 "1"'],
  ),
  refuses("garbage", allRefuse, () => Buffer.alloc(2048, "not a tar archive at all. "), "malformed"),
  refuses(
    "gzip-in-a-volume",
    "others would guess",
    (scene) => Bun.gzipSync(new Uint8Array(tarOf(parents(scene)))),
    cutOff,
  ),
  refuses(
    "one-zero-block-then-entries",
    "Go refuses, GNU tar stops",
    (scene) =>
      Buffer.concat([
        tarOf([...parents(scene), file(`${scene.at}/x`, "1")], { trailer: false }),
        Buffer.alloc(512),
        tarOf([file(`${scene.at}/y`, "2")]),
      ]),
    "follows a zero block",
  ),
  refuses(
    "zero-block-first",
    "Go refuses",
    (scene) => Buffer.concat([Buffer.alloc(512), tarOf(parents(scene))]),
    "follows a zero block",
  ),
  restores("two-zero-blocks-then-entries", "all stop there", ({ at }) => [file(`${at}/x`, "1")], ['x 0644 "1"'], {
    append: tarOf([file("/etc/restorer-was-here")]),
  }),
  restores("trailing-garbage", "all stop there", ({ at }) => [file(`${at}/x`, "1")], ['x 0644 "1"'], {
    append: "garbage".repeat(1000),
  }),
  restores("trailing-zeros", allAlike, ({ at }) => [file(`${at}/x`, "1")], ['x 0644 "1"'], {
    append: new Uint8Array(9000),
  }),
  restores("no-trailer", allAlike, ({ at }) => [file(`${at}/x`, "1")], ['x 0644 "1"'], { trailer: false }),
  restores("one-zero-block-at-the-end", "GNU tar warns", ({ at }) => [file(`${at}/x`, "1")], ['x 0644 "1"'], {
    cut: 512,
  }),
  refuses("half-a-zero-block-at-the-end", "Go: unexpected end", ({ at }) => [file(`${at}/x`, "1")], cutOff, {
    cut: 700,
  }),
  refuses(
    "prefix-in-gnu-format",
    "a name to Go, times to GNU tar",
    ({ at }) => [file("x", "1", { format: "gnu", tweak: (header) => ascii(header, 345, at.slice(1)) })],
    "a prefix that its format does not know",
  ),
  restores(
    "times-in-gnu-format",
    allAlike,
    ({ at }) => [
      file(`${at}/x`, "1", { format: "gnu", tweak: (header) => ascii(header, 345, "14000000000\x0014000000000") }),
    ],
    ['x 0644 "1"'],
  ),
  ...truncations(),
];

/** Every place where one byte, half a header or half a file can be missing. */
function truncations(): Attack[] {
  const whole = (scene: Scene) => [
    ...parents(scene),
    file(`${scene.at}/a`, "1"),
    file(`${scene.at}/b`, "b".repeat(600), { pax: { comment: "before b" } }),
    file(`${scene.at}/c`, "3"),
  ];
  // In blocks: 3 directories, header and content of a, x header and records, header and 2 of content of b, c.
  const after: Readonly<Record<number, readonly string[]>> = {
    3: [],
    5: ['a 0644 "1"'],
    10: ['a 0644 "1"', "b 0644 600 bytes"],
  };
  const rows: Attack[] = [];
  for (let block = 1; block < 12; block++) {
    for (const [label, cut] of [
      ["", 0],
      ["-less-one", -1],
      ["-and-a-half", 256],
    ] as const) {
      const name = `cut-at-block-${block}${label}`;
      const archive = (scene: Scene) => tarOf(whole(scene)).subarray(0, block * 512 + cut);
      const restored = cut === 0 ? after[block] : undefined;
      if (restored !== undefined) rows.push(restores(name, "all take an archive without trailer", archive, restored));
      else if (cut === 0 && block < 3) rows.push(refuses(name, allAlike, archive, "nothing below"));
      else rows.push(refuses(name, allRefuse, archive, block === 7 && cut === 0 ? "belongs to no entry" : cutOff));
    }
  }
  return rows;
}

/** Changes a header after its checksum is taken. */
function patched(entries: readonly TarEntry[], index: number, change: (header: Buffer) => void): Buffer {
  const archive = tarOf(entries);
  change(archive.subarray(index * 512, (index + 1) * 512));
  return archive;
}
