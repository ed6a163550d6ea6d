import {
  type Attack,
  allAlike,
  allRefuse,
  both,
  dir,
  file,
  hard,
  noLayer,
  outside,
  refuses,
  restores,
  special,
  sym,
} from "./attack.ts";

export const kinds: readonly Attack[] = [
  ...(
    [
      ["character-device", "3"],
      ["block-device", "4"],
      ["fifo", "6"],
      ["contiguous-file", "7"],
      ["old-gnu-sparse-file", "S"],
      ["gnu-multi-volume", "M"],
      ["gnu-volume-name", "V"],
      ["gnu-dump-directory", "D"],
      ["solaris-extended-header", "X"],
      ["solaris-acl", "A"],
      ["socket-as-some-write-it", "s"],
      ["unknown-type", "Z"],
      ["typeflag-of-a-high-byte", "\xff"],
    ] as const
  ).map(([name, flag]) =>
    refuses(
      name,
      "containerd makes devices and fifos; Python's data filter refuses",
      ({ at }) => [special(`${at}/x`, flag)],
      noLayer,
    ),
  ),
  refuses("device-outside", allRefuse, () => [special("/dev/restorer-was-here", "3")], noLayer),
  refuses(
    "sparse-in-pax-0.1",
    "GNU tar and Go expand it",
    ({ at }) => [file(`${at}/x`, "1", { pax: { "GNU.sparse.map": "0,1" } })],
    "sparsely",
  ),
  refuses(
    "sparse-in-pax-1.0",
    "GNU tar and Go expand it",
    ({ at }) => [
      file(`${at}/x`, "1", {
        pax: { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "99999" },
      }),
    ],
    "sparsely",
  ),
  refuses(
    "sparse-in-pax-of-solaris",
    "libarchive expands it",
    ({ at }) => [file(`${at}/x`, "1", { pax: { "SUN.holesdata": " 0 1" } })],
    "sparsely",
  ),
  refuses(
    "sparse-name-in-pax",
    "GNU tar takes the name",
    ({ at }) => [file(`${at}/x`, "1", { pax: { "GNU.sparse.name": "../evil" } })],
    "sparsely",
  ),
  restores(
    "set-ids-and-sticky",
    "containerd keeps, Python's data filter clears",
    ({ at }) => [
      file(`${at}/u`, "1", { mode: 0o4755 }),
      file(`${at}/g`, "1", { mode: 0o2755 }),
      dir(`${at}/s`, 0o1777),
      dir(`${at}/t`, 0o2770),
      file(`${at}/t/f`, "1", { mode: 0o6711 }),
      dir(`${at}/t/d`),
    ],
    ['u 4755 "1"', 'g 2755 "1"', "s/ 1777", "t/ 2770", 't/f 6711 "1"', "t/d/ 0755"],
  ),
  restores(
    "modes-that-lock-out",
    allAlike,
    ({ at }) => [
      dir(`${at}/d`, 0o500),
      file(`${at}/d/f`, "1", { mode: 0o400 }),
      dir(`${at}/r`, 0o555),
      dir(`${at}/r/s`, 0o444),
      file(`${at}/r/f`, "1", { mode: 0o444 }),
    ],
    ["d/ 0500", 'd/f 0400 "1"', "r/ 0555", 'r/f 0444 "1"', "r/s/ 0444"],
  ),
  restores(
    "mode-with-type-bits",
    "all mask them",
    ({ at }) => [file(`${at}/x`, "1", { mode: 0o100640 }), dir(`${at}/d`, 0o40750)],
    ['x 0640 "1"', "d/ 0750"],
  ),
  restores(
    "whiteouts-are-names",
    "containerd and moby delete; a cache is not a stack of layers",
    ({ at }) => [file(`${at}/data`, "1"), file(`${at}/.wh.data`, ""), file(`${at}/.wh..wh..opq`, "")],
    ['data 0644 "1"', '.wh.data 0644 ""', '.wh..wh..opq 0644 ""'],
  ),
  refuses("whiteout-outside", "containerd and moby confine it", () => [file("/layers/.wh.group.toml", "")], outside),
  refuses(
    "size-on-directory",
    "Go ignores it, old GNU tar too",
    ({ at }) => [{ ...dir(`${at}/d`), data: "x".repeat(600) }],
    "but has",
  ),
  refuses(
    "size-on-symlink",
    "readers differ",
    ({ at }) => [{ ...sym(`${at}/s`, "t"), size: 512 }, file(`${at}/x`)],
    "but has",
  ),
  refuses(
    "size-on-hard-link",
    "readers differ",
    ({ at }) => [file(`${at}/a`), { ...hard(`${at}/b`, `${at}/a`), data: "content" }],
    "but has",
  ),
];

export const conflicts: readonly Attack[] = [
  restores(
    "file-twice",
    "all: the last one counts",
    ({ at }) => [file(`${at}/x`, "first"), file(`${at}/x`, "2", { mode: 0o600 })],
    ['x 0600 "2"'],
  ),
  restores(
    "read-only-file-twice",
    "all: the last one counts",
    ({ at }) => [file(`${at}/x`, "1", { mode: 0o444 }), file(`${at}/x`, "2")],
    ['x 0644 "2"'],
  ),
  restores(
    "directory-twice",
    "all: the last one counts",
    ({ at }) => [dir(`${at}/d`, 0o700), file(`${at}/d/x`, "1"), dir(`${at}/d`, 0o750)],
    ["d/ 0750", 'd/x 0644 "1"'],
  ),
  restores("directory-after-its-content", allAlike, ({ at }) => [file(`${at}/d/x`, "1"), dir(`${at}/d`, 0o500)], [
    "d/ 0500",
    'd/x 0644 "1"',
  ]),
  restores("same-name-spelt-twice", allAlike, ({ at }) => [file(`${at}/x`, "1"), file(`.${at}//./x`, "2")], [
    'x 0644 "2"',
  ]),
  refuses("file-then-directory", "GNU tar refuses, moby replaces", ({ at }) => [file(`${at}/x`), dir(`${at}/x`)], both),
  refuses("file-then-content-below", allRefuse, ({ at }) => [file(`${at}/x`), file(`${at}/x/y`)], both),
  refuses("directory-then-file", "GNU tar refuses, moby replaces", ({ at }) => [dir(`${at}/x`), file(`${at}/x`)], both),
  refuses(
    "full-directory-then-file",
    "GNU tar refuses, moby replaces",
    ({ at }) => [file(`${at}/x/y`), file(`${at}/x`)],
    both,
  ),
  restores(
    "symlink-then-file-then-symlink",
    "all: the last one counts",
    ({ at }) => [sym(`${at}/x`, "a"), file(`${at}/x`), sym(`${at}/x`, "b")],
    ["x -> b"],
  ),
];
