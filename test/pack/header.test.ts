import { describe, expect, test } from "bun:test";
import { headerOf, type PackedEntry } from "../../lib/pack/header.ts";

/** An entry, and the beginning of the SHA-256 of the header that Go 1.26's archive/tar writes for it. */
type Row = readonly [
  what: string,
  entry: Partial<PackedEntry> & Pick<PackedEntry, "type" | "name" | "mode">,
  hash: string,
];

const rows: readonly Row[] = [
  [
    "a file",
    { type: "file", name: "/layers/bp/deps/x", mode: 0o644, uid: 1000, gid: 1000, size: 5 },
    "b45eddccbbe46b38",
  ],
  ["a directory", { type: "directory", name: "/layers/bp/deps", mode: 0o1777 }, "c8e20993be859da4"],
  [
    "a symbolic link",
    { type: "symlink", name: "/l/bp/a/x", mode: 0o777, uid: 1, gid: 2, linkname: "../y" },
    "1b8e7c7f936d4023",
  ],
  ["setuid", { type: "file", name: "/l/bp/a/x", mode: 0o4755 }, "2eaf7b9630020d45"],
  ["a name of 100 bytes", { type: "file", name: `/${"a".repeat(99)}`, mode: 0o644, size: 1 }, "1661b3c540bae431"],
  [
    "a name of 101 bytes without a place to part",
    { type: "file", name: `/${"a".repeat(100)}`, mode: 0o644, size: 1 },
    "b11dcc4a0921733e",
  ],
  [
    "a name of 201 bytes that can be parted",
    { type: "file", name: `/${"a".repeat(99)}/${"b".repeat(100)}`, mode: 0o644, size: 1 },
    "00a61ae357782200",
  ],
  [
    "one with too long a rest",
    { type: "file", name: `/${"a".repeat(99)}/${"b".repeat(101)}`, mode: 0o644, size: 1 },
    "08eeace261b57714",
  ],
  [
    "a prefix of 155 bytes",
    { type: "directory", name: `/${"a".repeat(154)}/${"b".repeat(100)}`, mode: 0o755 },
    "a2e5b7d3d26b28ac",
  ],
  [
    "a prefix of 156 bytes",
    { type: "directory", name: `/${"a".repeat(155)}/${"b".repeat(100)}`, mode: 0o755 },
    "6ff87b7715188b42",
  ],
  ["many levels", { type: "file", name: "/abcdefghi".repeat(25), mode: 0o600, size: 77 }, "6793cd7726f4cffc"],
  [
    "a name cut behind a slash",
    { type: "file", name: `${"/abcdefghi".repeat(9)}/abcdefgh/${"c".repeat(120)}`, mode: 0o600, size: 77 },
    "a5c9fc61488398a3",
  ],
  [
    "a name beyond ASCII",
    { type: "file", name: "/l/bp/a/\xc3\xbcn\xc3\xaf", mode: 0o644, size: 1 },
    "9979bea0d9243ed6",
  ],
  ["a name that is not UTF-8", { type: "file", name: "/l/bp/a/\xff\xfe", mode: 0o644, size: 1 }, "121cb37d3890d201"],
  [
    "a target beyond ASCII",
    { type: "symlink", name: "/l/bp/a/x", mode: 0o777, linkname: "\xc3\xbc" },
    "49ca1c5eda1b4d21",
  ],
  [
    "a target of 100 bytes",
    { type: "symlink", name: "/l/bp/a/x", mode: 0o777, linkname: "t".repeat(100) },
    "7d7deb9690ba0c9b",
  ],
  [
    "a target of 101 bytes",
    { type: "symlink", name: "/l/bp/a/x", mode: 0o777, linkname: "t".repeat(101) },
    "ab5eee04f6b13eb6",
  ],
  [
    "a long target and a name that could be parted",
    { type: "symlink", name: `/${"a".repeat(99)}/${"b".repeat(90)}`, mode: 0o777, linkname: "t".repeat(101) },
    "9a2f4c73d22bd1ae",
  ],
  [
    "a target cut behind a slash",
    { type: "symlink", name: "/l/bp/a/x", mode: 0o777, linkname: `${"t".repeat(99)}/${"u".repeat(20)}` },
    "3b89723e76048ef7",
  ],
  [
    "the largest owner of USTAR",
    { type: "directory", name: "/l/bp/a", mode: 0o755, uid: 2097151, gid: 2097151 },
    "34cd061bad4077bd",
  ],
  [
    "an owner beyond it",
    { type: "directory", name: "/l/bp/a", mode: 0o755, uid: 2097152, gid: 4294967294 },
    "b40eab560cf32484",
  ],
  [
    "an owner beyond it and a long name",
    { type: "directory", name: `/${"a".repeat(99)}/${"b".repeat(90)}`, mode: 0o755, uid: 0, gid: 4294967294 },
    "6105d7f22165562d",
  ],
  ["the largest size of USTAR", { type: "file", name: "/l/bp/a/x", mode: 0o644, size: 8589934591 }, "141c14d9feec713e"],
  ["a size beyond it", { type: "file", name: "/l/bp/a/x", mode: 0o644, size: 8589934592 }, "2a8a0804b7ccd2e2"],
  [
    "a record about as long as 83 bytes",
    { type: "file", name: `/${"n".repeat(184)}`, mode: 0o644, size: 1 },
    "1691a27882560b4b",
  ],
  [
    "a record about as long as 84 bytes",
    { type: "file", name: `/${"n".repeat(185)}`, mode: 0o644, size: 1 },
    "90de21e825e41752",
  ],
  [
    "a record about as long as 85 bytes",
    { type: "file", name: `/${"n".repeat(186)}`, mode: 0o644, size: 1 },
    "2b7303ef3f02f58f",
  ],
  [
    "a record about as long as 89 bytes",
    { type: "file", name: `/${"n".repeat(190)}`, mode: 0o644, size: 1 },
    "76ff833effaf3744",
  ],
  [
    "a record about as long as 90 bytes",
    { type: "file", name: `/${"n".repeat(191)}`, mode: 0o644, size: 1 },
    "455ce63ccb8df9a7",
  ],
  [
    "a record about as long as 91 bytes",
    { type: "file", name: `/${"n".repeat(192)}`, mode: 0o644, size: 1 },
    "5b308632d34116d6",
  ],
  [
    "a record about as long as 92 bytes",
    { type: "file", name: `/${"n".repeat(193)}`, mode: 0o644, size: 1 },
    "6eb5ca06a836dbce",
  ],
  [
    "a record about as long as 93 bytes",
    { type: "file", name: `/${"n".repeat(194)}`, mode: 0o644, size: 1 },
    "7e402121c6caa435",
  ],
  [
    "a record about as long as 94 bytes",
    { type: "file", name: `/${"n".repeat(195)}`, mode: 0o644, size: 1 },
    "38765d6caffd0b35",
  ],
  [
    "a record about as long as 98 bytes",
    { type: "file", name: `/${"n".repeat(199)}`, mode: 0o644, size: 1 },
    "1c019aa4969b5b64",
  ],
  [
    "a record about as long as 99 bytes",
    { type: "file", name: `/${"n".repeat(200)}`, mode: 0o644, size: 1 },
    "72d6b17b10636009",
  ],
  [
    "a record about as long as 100 bytes",
    { type: "file", name: `/${"n".repeat(201)}`, mode: 0o644, size: 1 },
    "dec836d57f04c954",
  ],
  [
    "a record about as long as 981 bytes",
    { type: "file", name: `/${"n".repeat(1082)}`, mode: 0o644, size: 1 },
    "1bf1f03eee764366",
  ],
  [
    "a record about as long as 982 bytes",
    { type: "file", name: `/${"n".repeat(1083)}`, mode: 0o644, size: 1 },
    "913248f88fa0d7af",
  ],
  [
    "a record about as long as 983 bytes",
    { type: "file", name: `/${"n".repeat(1084)}`, mode: 0o644, size: 1 },
    "0fb873dfa588c66a",
  ],
  [
    "a record about as long as 984 bytes",
    { type: "file", name: `/${"n".repeat(1085)}`, mode: 0o644, size: 1 },
    "7c0adede2ec6c8e1",
  ],
  [
    "a record about as long as 985 bytes",
    { type: "file", name: `/${"n".repeat(1086)}`, mode: 0o644, size: 1 },
    "f3a0b811f548b7eb",
  ],
  [
    "a record about as long as 986 bytes",
    { type: "file", name: `/${"n".repeat(1087)}`, mode: 0o644, size: 1 },
    "b80a48fb2008283e",
  ],
  [
    "a record about as long as 990 bytes",
    { type: "file", name: `/${"n".repeat(1091)}`, mode: 0o644, size: 1 },
    "404561b79d0c6d8b",
  ],
  [
    "a record about as long as 991 bytes",
    { type: "file", name: `/${"n".repeat(1092)}`, mode: 0o644, size: 1 },
    "70cb4e6b2b6fe52f",
  ],
];

describe("a header is byte for byte the one of Go's archive/tar, for", () => {
  test.each(rows)("%s", (_, entry, hash) => {
    const header = headerOf({ uid: 0, gid: 0, size: 0, linkname: "", ...entry });
    expect(new Bun.CryptoHasher("sha256").update(header).digest("hex").slice(0, 16)).toBe(hash);
  });
});
