import { tarOf } from "../../support/raw-tar.ts";
import {
  type Attack,
  allAlike,
  allRefuse,
  file,
  hard,
  noEarlier,
  outside,
  parents,
  refuses,
  restores,
  special,
  sym,
} from "./attack.ts";

export const extended: readonly Attack[] = [
  refuses(
    "two-pax-headers",
    "GNU tar merges, Go replaces",
    ({ at }) => [special("x", "x", record("path", "/etc/foo")), file(`${at}/x`, "1", { pax: { comment: "c" } })],
    "two extended headers",
  ),
  refuses(
    "two-gnu-long-names",
    "the last one counts",
    ({ at }) => [special("l", "L", `${at}/a\0`), special("l", "L", `${at}/b\0`), file("x")],
    "two extended headers",
  ),
  refuses(
    "pax-and-gnu",
    "Go: GNU counts, GNU tar: PAX",
    ({ at }) => [special("x", "x", record("path", `${at}/a`)), special("l", "L", `${at}/b\0`), file("x")],
    "both PAX and GNU",
  ),
  refuses(
    "gnu-and-pax",
    "Go: GNU counts, GNU tar: PAX",
    ({ at }) => [special("l", "L", `${at}/b\0`), file("x", "1", { pax: { path: `${at}/a` } })],
    "both PAX and GNU",
  ),
  refuses(
    "pax-then-global",
    "Go forgets, GNU tar keeps",
    ({ at }) => [special("x", "x", record("path", "/etc/foo")), file(`${at}/x`, "1", { paxGlobal: { comment: "c" } })],
    "stands between",
  ),
  refuses(
    "pax-without-entry",
    "Go refuses, GNU tar ignores",
    () => [special("x", "x", record("path", "/etc/foo"))],
    "belongs to no entry",
  ),
  refuses(
    "pax-without-entry-or-trailer",
    "Go refuses, GNU tar ignores",
    () => [special("x", "x", record("path", "/etc/foo"))],
    "belongs to no entry",
    { trailer: false },
  ),
  refuses(
    "gnu-long-name-without-entry",
    "Go refuses",
    ({ at }) => [special("l", "L", `${at}/x\0`)],
    "belongs to no entry",
  ),
  refuses(
    "pax-then-zero-block-then-entry",
    "Go refuses",
    (scene) =>
      Buffer.concat([
        tarOf([...parents(scene), special("x", "x", record("path", "/etc/foo"))], { trailer: false }),
        Buffer.alloc(512),
        tarOf([file(`${scene.at}/x`)]),
      ]),
    "follows a zero block",
  ),
  refuses(
    "pax-path-elsewhere",
    allRefuse,
    ({ at }) => [file(`${at}/x`, "1", { pax: { path: "/etc/restorer-was-here" } })],
    outside,
  ),
  refuses(
    "pax-link-elsewhere",
    allRefuse,
    ({ at, canary }) => [{ ...hard(`${at}/x`, `${at}/y`), pax: { linkpath: `${canary}/file` } }],
    noEarlier,
  ),
  restores(
    "pax-names-count",
    allAlike,
    ({ at }) => [
      file("/etc/restorer-was-here", "1", { pax: { path: `${at}/a` } }),
      { ...sym(`${at}/s`, "header"), pax: { linkpath: "pax" } },
    ],
    ['a 0644 "1"', "s -> pax"],
  ),
  restores(
    "pax-last-record-counts",
    "GNU tar and Go alike",
    ({ at }) => [special("x", "x", record("path", `${at}/a`) + record("path", `${at}/b`)), file("x", "1")],
    ['b 0644 "1"'],
  ),
  restores(
    "pax-of-no-concern",
    "contract: not applied",
    ({ at }) => [
      file(`${at}/x`, "1", {
        pax: { mtime: "1.5", uid: "0", "SCHILY.xattr.security.capability": "\x01", comment: "path=/etc" },
      }),
    ],
    ['x 0644 "1"'],
  ),
  restores(
    "global-names-are-ignored",
    "Go ignores, GNU tar obeys",
    ({ at }) => [file(`${at}/x`, "1", { paxGlobal: { path: "/etc/restorer-was-here", linkpath: "/etc", size: "0" } })],
    ['x 0644 "1"'],
  ),
  ...(
    [
      ["length-too-short", "5 path=abc\n"],
      ["length-too-long", "99 path=abc\n"],
      ["length-missing", "path=abc\n"],
      ["length-zero", "0 path=abc\n"],
      ["length-with-leading-zero", "012 path=abc\n"],
      ["length-negative", "-12 path=abc\n"],
      ["length-huge", "99999999999999999999 path=abc\n"],
      ["no-equals", "9 pathabc\n"],
      ["no-newline", "12 path=abcd"],
      ["no-space", "12path=abcde\n"],
      ["empty-key", "6 =ab\n"],
      ["nul-in-key", "10 a\0b=cde\n"],
      ["nul-padding", "12 path=abc\n\0\0\0\0"],
      ["only-spaces", "      "],
    ] as const
  ).map(([name, record]) =>
    refuses(
      `pax-record-${name}`,
      "Go refuses",
      ({ at }) => [special("x", "x", record), file(`${at}/x`)],
      "a PAX header has a",
    ),
  ),
];

/** `<length> <key>=<value>\n`, where the length counts itself. */
function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const digits = String(rest.length + 2).length;
  return `${rest.length + digits}${rest}`;
}
