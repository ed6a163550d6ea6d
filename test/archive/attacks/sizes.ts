import { tarOf } from "../../support/raw-tar.ts";
import { type Attack, allAlike, ascii, cutOff, dir, file, refuses, restores, type Scene, sym } from "./attack.ts";

/** An archive in an archive: what a reader sees that takes the wrong size for the outer file. */
const smuggled = ({ at, canary }: Scene): Buffer =>
  tarOf([file(`${canary}/file`), file(`${at}/smuggled`)], { trailer: false });

export const sizes: readonly Attack[] = [
  restores(
    "pax-size-over-zero-header",
    "Go, GNU tar, libarchive: PAX counts (CVE-2025-62518 where not)",
    (scene) => {
      const data = smuggled(scene);
      return [file(`${scene.at}/x`, data, { pax: { size: String(data.length) }, size: 0 }), file(`${scene.at}/y`, "2")];
    },
    ["x 0644 2048 bytes", 'y 0644 "2"'],
  ),
  refuses(
    "pax-size-contradicts-header",
    "CVE-2025-62518 (tokio-tar)",
    (scene) => {
      const data = smuggled(scene);
      return [file(`${scene.at}/x`, data, { pax: { size: "512" } }), file(`${scene.at}/y`, "2")];
    },
    "contradicts",
  ),
  refuses(
    "pax-size-zero-over-header",
    "CVE-2025-62518 (tokio-tar)",
    (scene) => [file(`${scene.at}/x`, smuggled(scene), { pax: { size: "0" } })],
    "contradicts",
  ),
  refuses(
    "pax-size-on-directory",
    "CVE-2025-62518 (tokio-tar) and alike: readers differ",
    ({ at }) => [{ ...dir(`${at}/d`), pax: { size: "1024" }, data: "x".repeat(1024), size: 0 }],
    "but has",
  ),
  refuses(
    "pax-size-on-symlink",
    "readers differ",
    ({ at }) => [{ ...sym(`${at}/s`, "t"), pax: { size: "512" } }, file(`${at}/x`)],
    "but has",
  ),
  ...(["-1", "1e3", "0x10", " 5", "5 ", "+5", "1.0", "99999999999999999999", "\u0665"] as const).map((size, i) =>
    refuses(
      `pax-size-spelt-oddly-${i + 1}`,
      "Go refuses",
      ({ at }) => [file(`${at}/x`, "12345", { pax: { size } })],
      "a PAX size is",
    ),
  ),
  restores("size-in-base-256", allAlike, ({ at }) => [file(`${at}/x`, "12345", { sizeEncoding: "base256" })], [
    'x 0644 "12345"',
  ]),
  refuses(
    "negative-size",
    "Go refuses",
    ({ at }) => [file(`${at}/x`, "12345", { size: -5, sizeEncoding: "base256" })],
    "negative size",
  ),
  refuses(
    "size-of-8-EiB",
    "all run out of input",
    ({ at }) => [file(`${at}/x`, "1", { size: 2 ** 62, sizeEncoding: "base256" })],
    "beyond reason",
  ),
  refuses(
    "size-of-8-PiB",
    "all run out of input",
    ({ at }) => [file(`${at}/x`, "1", { size: 2 ** 53 - 512, sizeEncoding: "base256" })],
    "claims to be",
  ),
  refuses(
    "size-of-all-ones",
    "Go refuses",
    ({ at }) => [file(`${at}/x`, "1", { tweak: (header) => header.fill(0xff, 124, 136) })],
    "negative size",
  ),
  refuses(
    "size-of-0x80-and-ones",
    "Go refuses",
    ({ at }) => [file(`${at}/x`, "1", { tweak: (header) => header.fill(0xff, 125, 136).fill(0x80, 124, 125) })],
    "beyond reason",
  ),
  refuses("size-of-8-GiB", "all run out of input", ({ at }) => [file(`${at}/x`, "1", { size: 8 ** 11 - 1 })], cutOff),
  refuses(
    "size-of-1-TiB",
    "all run out of input",
    ({ at }) => [file(`${at}/x`, "1", { size: 2 ** 40, sizeEncoding: "base256" })],
    cutOff,
  ),
  refuses(
    "size-larger-than-the-rest",
    "all run out of input",
    ({ at }) => [file(`${at}/x`, "1", { size: 5000 })],
    cutOff,
  ),
  refuses(
    "size-with-a-letter",
    "Go refuses, GNU tar too",
    ({ at }) => [file(`${at}/x`, "1", { tweak: (header) => ascii(header, 124, "0000000000a") })],
    "malformed size",
  ),
  refuses(
    "size-in-hexadecimal",
    "Go refuses",
    ({ at }) => [file(`${at}/x`, "1", { tweak: (header) => ascii(header, 124, "0x000000001") })],
    "malformed size",
  ),
  refuses(
    "size-with-digits-of-8",
    "Go refuses",
    ({ at }) => [file(`${at}/x`, "1", { tweak: (header) => ascii(header, 124, "00000000018") })],
    "malformed size",
  ),
  refuses(
    "size-with-a-sign",
    "Go refuses",
    ({ at }) => [file(`${at}/x`, "1", { tweak: (header) => ascii(header, 124, "-0000000001") })],
    "malformed size",
  ),
  refuses(
    "size-with-a-gap",
    "readers differ",
    ({ at }) => [file(`${at}/x`, "1", { tweak: (header) => ascii(header, 124, "0000 000001") })],
    "malformed size",
  ),
  refuses(
    "size-behind-a-nul",
    "readers differ",
    ({ at }) => [file(`${at}/x`, "1", { tweak: (header) => ascii(header, 124, "\x000000000001") })],
    "malformed size",
  ),
  restores(
    "size-with-spaces",
    "all trim them",
    ({ at }) => [file(`${at}/x`, "1", { tweak: (header) => ascii(header, 124, "         1 \0") })],
    ['x 0644 "1"'],
  ),
  restores(
    "size-of-twelve-digits",
    allAlike,
    ({ at }) => [file(`${at}/x`, "1", { tweak: (header) => ascii(header, 124, "000000000001") })],
    ['x 0644 "1"'],
  ),
  restores("size-blank", "Go: 0", ({ at }) => [file(`${at}/x`, "", { tweak: (header) => header.fill(0, 124, 136) })], [
    'x 0644 ""',
  ]),
  refuses(
    "mode-malformed",
    "Go refuses",
    ({ at }) => [file(`${at}/x`, "1", { tweak: (header) => ascii(header, 100, "rw-r--r") })],
    "malformed mode",
  ),
  refuses(
    "mode-negative",
    "Go refuses",
    ({ at }) => [file(`${at}/x`, "1", { tweak: (header) => header.fill(0xff, 100, 108) })],
    "negative mode",
  ),
  restores(
    "owners-and-times-are-not-read",
    "ours alone; they are never applied",
    ({ at }) => [
      file(`${at}/x`, "1", { tweak: (header) => header.fill("z", 108, 124).fill("z", 136, 148).fill("z", 265, 329) }),
    ],
    ['x 0644 "1"'],
  ),
];
