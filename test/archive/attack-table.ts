import { type Bytes, type TarEntry, type TarOptions, tarOf, tarTrailer } from "../support/tar-writer.ts";

/** Where an attack stands: what the archive calls its layer, and what it must not reach. */
export interface Scene {
  /** `/layers/<bp>/<layer>`, the layer's place in the archive. */
  readonly at: string;
  /** `/layers/<bp>`. */
  readonly buildpack: string;
  readonly layer: string;
  /** The real layers directory. */
  readonly layersDir: string;
  /** A real directory outside of it, which holds `file` and `dir/inside`. */
  readonly canary: string;
}

/** One row: an archive, what has to come of it, and how other extractors decide. */
export interface Attack {
  readonly name: string;
  readonly archive: (scene: Scene) => Uint8Array;
  /** The restored layer in full, as `listing` shows it, or a part of the reason for which it is refused. */
  readonly outcome: readonly string[] | { readonly refused: string };
  readonly others: string;
}

type Contents = (scene: Scene) => readonly TarEntry[] | Uint8Array;

/** Entries follow the entries of the parents and the layer's own; bytes stand as they are. */
function archiveOf(contents: Contents, options: TarOptions): (scene: Scene) => Uint8Array {
  return (scene) => {
    const made = contents(scene);
    return made instanceof Uint8Array ? made : tarOf([...parents(scene), ...made], options);
  };
}

function restores(
  name: string,
  others: string,
  contents: Contents,
  outcome: readonly string[],
  options: TarOptions = {},
): Attack {
  return { name, others, outcome: [...outcome].sort(), archive: archiveOf(contents, options) };
}

function refuses(name: string, others: string, contents: Contents, reason: string, options: TarOptions = {}): Attack {
  return { name, others, outcome: { refused: reason }, archive: archiveOf(contents, options) };
}

const parents = ({ at, buildpack }: Scene): TarEntry[] => [dir("/layers"), dir(buildpack), dir(at)];
const dir = (name: Bytes, mode = 0o755): TarEntry => ({ name, type: "directory", mode });
const file = (name: Bytes, data: Bytes = "evil", more: Partial<TarEntry> = {}): TarEntry => ({ name, data, ...more });
const sym = (name: Bytes, linkname: Bytes): TarEntry => ({ name, type: "symlink", linkname });
const hard = (name: Bytes, linkname: Bytes): TarEntry => ({ name, type: "link", linkname });
const special = (name: Bytes, flag: string, data: Bytes = ""): TarEntry => ({ name, type: { flag }, data });
const bytes = (...parts: (string | number[])[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from(part))));
const ascii = (header: Buffer, at: number, text: string): void => {
  header.write(text, at, "latin1");
};

const leadsOut = "leads out of the layer";
const outside = "lies outside of the layer";
const both = "both a directory and something else";
const noEarlier = "which is not an earlier file of the layer";
const noLayer = "which no layer may hold";
const cutOff = "cut off";
const allRefuse = "all refuse";
const allAlike = "all alike";

const dotDot: readonly Attack[] = [
  refuses("dotdot", allRefuse, ({ at }) => [file(`${at}/../evil`)], leadsOut),
  refuses("dotdot-to-canary", allRefuse, ({ at }) => [file(`${at}/../../../canary/file`)], leadsOut),
  refuses("dotdot-many", allRefuse, ({ at, canary }) => [file(`${at}/${"../".repeat(40)}${canary}/file`)], leadsOut),
  refuses("dotdot-first", allRefuse, ({ at }) => [file(`../canary/file`), file(`${at}/x`)], leadsOut),
  refuses("dotdot-absolute", "all refuse or resolve", ({ at }) => [file(`/..${at}/x`)], leadsOut),
  refuses(
    "dotdot-that-stays-inside",
    "GNU tar refuses, containerd cleans",
    ({ at }) => [file(`${at}/a/../b`)],
    leadsOut,
  ),
  refuses("dotdot-last", allRefuse, ({ at }) => [file(`${at}/a/..`)], leadsOut),
  refuses("dotdot-directory", allRefuse, ({ at }) => [dir(`${at}/..`)], leadsOut),
  refuses("dotdot-directory-slash", allRefuse, ({ at }) => [dir(`${at}/../`)], leadsOut),
  refuses("dotdot-with-dots-and-slashes", allRefuse, ({ at }) => [file(`${at}/.//..//./evil`)], leadsOut),
  refuses("dotdot-symlink-name", allRefuse, ({ at }) => [sym(`${at}/../link`, "x")], leadsOut),
  refuses("dotdot-in-pax", allRefuse, ({ at }) => [file("x", "evil", { pax: { path: `${at}/../evil` } })], leadsOut),
  refuses(
    "dotdot-in-gnu-long-name",
    allRefuse,
    ({ at }) => [file(`${at}/${"d/".repeat(60)}../evil`, "evil", { longNames: "gnu", format: "gnu" })],
    leadsOut,
  ),
  refuses(
    "dotdot-in-ustar-prefix",
    allRefuse,
    ({ at }) => [file("evil", "evil", { tweak: (header) => ascii(header, 345, `${at}/..`) })],
    leadsOut,
  ),
  refuses(
    "dotdot-split-by-ustar-prefix",
    allRefuse,
    ({ at }) => [file("./evil", "evil", { tweak: (header) => ascii(header, 345, `${at}/x/../..`) })],
    leadsOut,
  ),
  restores(
    "dotdot-look-alikes",
    allAlike,
    ({ at }) => [
      file(`${at}/...`, "1"),
      file(`${at}/.. `, "2"),
      file(`${at}/..\\..\\evil`, "3"),
      file(`${at}/..%2f..%2fevil`, "4"),
      file(`${at}/\u2024\u2024`, "5"),
      file(`${at}/..\u2215evil`, "6"),
      file(`${at}/C:\\evil`, "7"),
    ],
    [
      '... 0644 "1"',
      '..  0644 "2"',
      '..\\\\..\\\\evil 0644 "3"',
      '..%2f..%2fevil 0644 "4"',
      '\u2024\u2024 0644 "5"',
      '..\u2215evil 0644 "6"',
      'C:\\\\evil 0644 "7"',
    ],
  ),
  refuses(
    "dotdot-over-long-utf8-is-a-name",
    allAlike,
    // C0 AE is an over-long "."; only a decoder that is wrong twice would see a dot.
    ({ at, canary }) => [file(bytes(`${at}/`, [0xc0, 0xae, 0xc0, 0xae], "/x"), "1"), file(`${canary}/evil`)],
    outside,
  ),
];

const elsewhere: readonly Attack[] = [
  refuses("absolute-elsewhere", allRefuse, ({ canary }) => [file(`${canary}/file`)], outside),
  refuses("absolute-etc", allRefuse, () => [file("/etc/restorer-was-here")], outside),
  refuses("double-slash-elsewhere", allRefuse, ({ canary }) => [file(`//${canary}/file`)], outside),
  refuses("relative-elsewhere", "others confine to their root", () => [file("canary/file")], outside),
  refuses(
    "other-layer",
    "others know one root only",
    ({ buildpack }) => [file(`${buildpack}/neighbour/data`)],
    outside,
  ),
  refuses("other-buildpack", "others know one root only", () => [file("/layers/bystander/layer/data")], outside),
  refuses("group-toml", "others know one root only", () => [file("/layers/group.toml", "[[group]]")], outside),
  refuses("own-toml", "others know one root only", ({ at }) => [file(`${at}.toml`, "[types]\nlaunch = true")], outside),
  refuses("own-sbom", "others know one root only", ({ at }) => [file(`${at}.sbom.cdx.json`, "{}")], outside),
  refuses("store-toml", "others know one root only", ({ buildpack }) => [file(`${buildpack}/store.toml`)], outside),
  refuses("name-with-the-layer-as-start", allRefuse, ({ at }) => [file(`${at}-and-more/x`)], outside),
  refuses("case-variant-of-parent", "all alike on Linux", ({ at }) => [file(`/LAYERS${at.slice(7)}/x`)], outside),
  refuses("directory-elsewhere", allRefuse, ({ canary }) => [dir(`${canary}/new`)], outside),
  refuses("directory-beside", allRefuse, ({ buildpack }) => [dir(`${buildpack}/new`)], outside),
  refuses("parent-as-file", allRefuse, ({ buildpack }) => [file(buildpack)], outside),
  refuses("parent-as-symlink", allRefuse, ({ buildpack, canary }) => [sym(buildpack, canary)], outside),
  refuses(
    "parent-as-symlink-first",
    allRefuse,
    (scene) => tarOf([sym("/layers", scene.canary), dir(scene.at), file(`${scene.at}/x`)]),
    "nothing below",
  ),
  refuses(
    "layer-as-file",
    "others would write it",
    (scene) => tarOf([dir("/layers"), dir(scene.buildpack), file(scene.at)]),
    "is the layer itself, but a file",
  ),
  refuses(
    "layer-as-symlink",
    "CVE-2021-32803 (node-tar)",
    (scene) => tarOf([dir("/layers"), dir(scene.buildpack), sym(scene.at, scene.canary), file(`${scene.at}/file`)]),
    "is the layer itself, but a symbolic link",
  ),
  refuses(
    "layer-swapped-for-symlink",
    allRefuse,
    ({ at, canary }) => [sym(at, canary)],
    "is the layer itself, but a symbolic link",
  ),
  refuses("layer-as-hard-link", allRefuse, ({ at }) => [hard(at, `${at}/x`)], "is the layer itself, but a hard link"),
  restores("layer-entry-twice", allAlike, ({ at }) => [file(`${at}/x`, "1"), dir(at, 0o750)], [
    "./ 0750",
    'x 0644 "1"',
  ]),
  restores(
    "leading-slash-or-none-or-dot",
    allAlike,
    ({ at }) => [
      file(`${at}/a`, "1"),
      file(`${at.slice(1)}/b`, "2"),
      file(`.${at}/c`, "3"),
      file(`//.//${at}//./d`, "4"),
    ],
    ['a 0644 "1"', 'b 0644 "2"', 'c 0644 "3"', 'd 0644 "4"'],
  ),
  restores(
    "another-prefix",
    "ours alone relocates",
    (scene) => tarOf([dir("/old"), dir("/old/place"), file(`/old/place${scene.at.slice(7)}/x`, "1")]),
    ['x 0644 "1"'],
  ),
  refuses(
    "two-prefixes",
    "ours alone relocates",
    (scene) => tarOf([file(`/one${scene.at.slice(7)}/x`, "1"), file(`/two${scene.at.slice(7)}/y`, "2")]),
    outside,
  ),
  refuses(
    "usual-prefix-then-another",
    "ours alone relocates",
    (scene) => tarOf([file(`/layers${scene.at.slice(7)}/x`, "1"), file(`/one${scene.at.slice(7)}/y`, "2")]),
    outside,
  ),
  restores(
    "prefix-is-another-layer",
    "ours alone relocates",
    (scene) => tarOf([file(`${scene.buildpack}/neighbour${scene.at.slice(7)}/x`, "1")]),
    ['x 0644 "1"'],
  ),
  restores(
    "layer-within-itself",
    allAlike,
    ({ at }) => [file(`${at}${at}/x`, "1")],
    (() => {
      const names = (layer: string) => ["layers/", "layers/attack_table/", `layers/attack_table/${layer}/`];
      return [
        ...names("layer-within-itself").map((name) => `${name} 0755`),
        'layers/attack_table/layer-within-itself/x 0644 "1"',
      ];
    })(),
  ),
  refuses("empty-bytes", "GNU tar and Go read no entries", () => new Uint8Array(), "nothing below"),
  refuses("only-a-trailer", allAlike, () => tarTrailer, "nothing below"),
  refuses("only-parents", allAlike, (scene) => tarOf([dir("/layers"), dir(scene.buildpack)]), "nothing below"),
  refuses("nothing-of-this-layer", allAlike, () => tarOf([file("/layers/other/layer/x")]), "nothing below"),
];

const throughLinks: readonly Attack[] = [
  refuses(
    "through-symlink-directory",
    "CVE-2021-32803 (node-tar); all refuse or confine",
    ({ at, canary }) => [sym(`${at}/d`, canary), file(`${at}/d/file`)],
    both,
  ),
  refuses(
    "through-relative-symlink",
    "os.Root refuses",
    ({ at }) => [sym(`${at}/d`, "../../../canary"), file(`${at}/d/file`)],
    both,
  ),
  refuses(
    "through-symlink-inside",
    "os.Root and GNU tar allow, moby confines",
    ({ at }) => [dir(`${at}/real`), sym(`${at}/d`, "real"), file(`${at}/d/x`)],
    both,
  ),
  refuses(
    "through-symlink-chain",
    "CVE-2021-37712 (node-tar)",
    ({ at, canary }) => [sym(`${at}/a`, "b"), sym(`${at}/b`, "c"), sym(`${at}/c`, canary), file(`${at}/a/file`)],
    both,
  ),
  refuses("through-symlink-to-self", allRefuse, ({ at }) => [sym(`${at}/a`, "a"), file(`${at}/a/file`)], both),
  refuses("through-symlink-to-dot", allRefuse, ({ at }) => [sym(`${at}/a`, "."), file(`${at}/a/x`)], both),
  refuses(
    "through-symlink-two-levels-below",
    allRefuse,
    ({ at, canary }) => [dir(`${at}/p`), sym(`${at}/p/d`, canary), file(`${at}/p/d/dir/inside`)],
    both,
  ),
  refuses(
    "directory-through-symlink",
    allRefuse,
    ({ at, canary }) => [sym(`${at}/d`, canary), dir(`${at}/d/new`)],
    both,
  ),
  refuses(
    "directory-over-symlink",
    "moby replaces it",
    ({ at, canary }) => [sym(`${at}/d`, canary), dir(`${at}/d`, 0o777)],
    both,
  ),
  refuses(
    "directory-swapped-for-symlink",
    "CVE-2021-37701 (node-tar)",
    ({ at, canary }) => [dir(`${at}/d`), file(`${at}/d/x`), sym(`${at}/d`, canary), file(`${at}/d/file`)],
    both,
  ),
  refuses(
    "empty-directory-swapped-for-symlink",
    "CVE-2021-37701 (node-tar)",
    ({ at, canary }) => [dir(`${at}/d`), sym(`${at}/d`, canary), file(`${at}/d/file`)],
    both,
  ),
  refuses(
    "implied-directory-swapped-for-symlink",
    allRefuse,
    ({ at, canary }) => [file(`${at}/d/x`), sym(`${at}/d`, canary), file(`${at}/d/file`)],
    both,
  ),
  refuses(
    "symlink-directory-by-case",
    "CVE-2021-37712 (node-tar), harmless on Linux",
    ({ at, canary }) => [dir(`${at}/D`), sym(`${at}/d`, canary), file(`${at}/d/file`)],
    both,
  ),
  restores(
    "file-over-symlink",
    "GNU tar, moby, os.Root: the link gives way",
    ({ at, canary }) => [sym(`${at}/f`, `${canary}/file`), file(`${at}/f`, "mine")],
    ['f 0644 "mine"'],
  ),
  restores(
    "file-over-dangling-symlink",
    "GNU tar, moby: the link gives way",
    ({ at, canary }) => [sym(`${at}/f`, `${canary}/not-yet`), file(`${at}/f`, "mine")],
    ['f 0644 "mine"'],
  ),
  restores("symlink-over-symlink", allAlike, ({ at, canary }) => [sym(`${at}/f`, canary), sym(`${at}/f`, "x")], [
    "f -> x",
  ]),
  restores(
    "setuid-over-symlink",
    "the mode must not follow",
    ({ at, canary }) => [sym(`${at}/f`, `${canary}/file`), file(`${at}/f`, "mine", { mode: 0o4755 })],
    ['f 4755 "mine"'],
  ),
  restores(
    "symlinks-out-are-kept-verbatim",
    "Python's data filter refuses, containerd keeps",
    ({ at, canary }) => [
      sym(`${at}/absolute`, canary),
      sym(`${at}/relative`, "../../../canary/file"),
      sym(`${at}/root`, "/"),
      sym(`${at}/self`, "self"),
      sym(`${at}/odd`, "..//./a\\b\n"),
    ],
    ["absolute -> CANARY", "relative -> ../../../canary/file", "root -> /", "self -> self", "odd -> ..//./a\\\\b\n"],
  ),
  refuses("symlink-to-nothing", "the kernel refuses", ({ at }) => [sym(`${at}/x`, "")], "to nowhere"),
  refuses(
    "symlink-target-of-4096-bytes",
    "the kernel refuses",
    ({ at }) => [sym(`${at}/x`, "t".repeat(4096))],
    "name too long",
  ),
  restores("symlink-target-of-4095-bytes", allAlike, ({ at }) => [sym(`${at}/x`, "t".repeat(4095))], [
    `x -> ${"t".repeat(4095)}`,
  ]),
];

const hardLinks: readonly Attack[] = [
  refuses(
    "hard-link-outside",
    "CVE-2018-20834 (node-tar); all refuse",
    ({ at, canary }) => [hard(`${at}/x`, `${canary}/file`)],
    noEarlier,
  ),
  refuses(
    "hard-link-outside-then-written",
    "CVE-2026-23745 (node-tar)",
    ({ at, canary }) => [hard(`${at}/x`, `${canary}/file`), file(`${at}/x`)],
    noEarlier,
  ),
  refuses(
    "hard-link-dotdot",
    "CVE-2026-24842 (node-tar)",
    ({ at }) => [hard(`${at}/x`, `${at}/../../../canary/file`)],
    leadsOut,
  ),
  refuses(
    "hard-link-relative-name",
    "tar names are from the root",
    ({ at }) => [file(`${at}/a`), hard(`${at}/x`, "a")],
    noEarlier,
  ),
  refuses(
    "hard-link-to-other-layer",
    "others know one root only",
    ({ at, buildpack }) => [hard(`${at}/x`, `${buildpack}/neighbour/data`)],
    noEarlier,
  ),
  refuses(
    "hard-link-to-real-path",
    allRefuse,
    ({ at, layersDir }) => [hard(`${at}/x`, `${layersDir}/group.toml`)],
    noEarlier,
  ),
  refuses("hard-link-to-nothing", allRefuse, ({ at }) => [hard(`${at}/x`, "")], noEarlier),
  refuses("hard-link-to-absent", allRefuse, ({ at }) => [hard(`${at}/x`, `${at}/absent`)], noEarlier),
  refuses("hard-link-to-later-entry", allRefuse, ({ at }) => [hard(`${at}/x`, `${at}/y`), file(`${at}/y`)], noEarlier),
  refuses(
    "hard-link-to-itself",
    "GNU tar ignores, Go refuses",
    ({ at }) => [file(`${at}/x`), hard(`${at}/x`, `${at}/x`)],
    noEarlier,
  ),
  refuses(
    "hard-link-to-directory",
    "the kernel refuses",
    ({ at }) => [dir(`${at}/d`), hard(`${at}/x`, `${at}/d`)],
    noEarlier,
  ),
  refuses("hard-link-to-the-layer", "the kernel refuses", ({ at }) => [hard(`${at}/x`, at)], noEarlier),
  refuses(
    "hard-link-to-symlink",
    "CVE-2025-4330 (Python)",
    ({ at, canary }) => [sym(`${at}/s`, `${canary}/file`), hard(`${at}/x`, `${at}/s`), file(`${at}/x`)],
    noEarlier,
  ),
  refuses(
    "hard-link-through-a-chain",
    "CVE-2026-26960 (node-tar)",
    ({ at }) => [
      dir(`${at}/a/b/c`),
      sym(`${at}/a/b/c/up`, "../.."),
      sym(`${at}/a/b/escape`, "c/up/../.."),
      hard(`${at}/x`, `${at}/a/b/escape/neighbour/data`),
    ],
    noEarlier,
  ),
  refuses(
    "hard-link-through-symlink",
    "moby follows within its root",
    ({ at, canary }) => [sym(`${at}/d`, canary), hard(`${at}/x`, `${at}/d/file`)],
    noEarlier,
  ),
  refuses("hard-link-through-file", allRefuse, ({ at }) => [file(`${at}/f`), hard(`${at}/x`, `${at}/f/y`)], noEarlier),
  refuses(
    "hard-link-to-what-became-a-symlink",
    allRefuse,
    ({ at, canary }) => [file(`${at}/f`), sym(`${at}/f`, `${canary}/file`), hard(`${at}/x`, `${at}/f`)],
    noEarlier,
  ),
  refuses(
    "hard-link-over-directory",
    allRefuse,
    ({ at }) => [file(`${at}/f`), dir(`${at}/x`), hard(`${at}/x`, `${at}/f`)],
    both,
  ),
  restores(
    "hard-links-inside",
    allAlike,
    ({ at }) => [file(`${at}/a`, "1"), dir(`${at}/d`), hard(`${at}/d/b`, `${at}/a`), hard(`${at}/c`, `.${at}/d/b`)],
    ['a 0644 "1"', "d/ 0755", "d/b = a", "c = a"],
  ),
  restores(
    "hard-link-then-its-target-replaced",
    "GNU tar alike: the link keeps the old content",
    ({ at }) => [file(`${at}/a`, "old"), hard(`${at}/b`, `${at}/a`), file(`${at}/a`, "new")],
    ['a 0644 "new"', 'b 0644 "old"'],
  ),
  restores(
    "hard-link-over-file",
    allAlike,
    ({ at }) => [file(`${at}/a`, "1"), file(`${at}/b`, "2"), hard(`${at}/b`, `${at}/a`)],
    ['a 0644 "1"', "b = a"],
  ),
  restores(
    "hard-link-over-symlink",
    allAlike,
    ({ at, canary }) => [file(`${at}/a`, "1"), sym(`${at}/b`, `${canary}/file`), hard(`${at}/b`, `${at}/a`)],
    ['a 0644 "1"', "b = a"],
  ),
];

const kinds: readonly Attack[] = [
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
    "containerd and moby delete; a cache is no stack of layers",
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

const names: readonly Attack[] = [
  refuses("no-name", 'Go: the root; GNU tar: "."', () => [file("")], "has no name"),
  refuses("no-name-directory", 'Go: the root; GNU tar: "."', () => [{ ...dir(""), mode: 0o777 }], "has no name"),
  refuses("slash-as-file", allRefuse, () => [file("/")], "but named like a directory"),
  refuses("dot-as-file", allRefuse, () => [file(".")], outside),
  refuses(
    "empty-pax-path",
    "Go: as if not there",
    ({ at }) => [file(`${at}/x`, "1", { pax: { path: "" } })],
    "is empty",
  ),
  refuses(
    "empty-gnu-long-name",
    "Go: as if not there",
    ({ at }) => [special("././@LongLink", "L", "\0"), file(`${at}/x`)],
    "has no name",
  ),
  refuses(
    "nul-in-pax-path",
    "Go refuses, GNU tar cuts",
    ({ at }) => [file("x", "1", { pax: { path: `${at}/a\0/../../evil` } })],
    "NUL byte",
  ),
  refuses(
    "nul-in-pax-linkpath",
    "Go refuses, GNU tar cuts",
    ({ at }) => [{ ...sym(`${at}/x`, "t"), pax: { linkpath: "a\0b" } }],
    "NUL byte",
  ),
  restores("nul-in-header-name", "all cut there", ({ at }) => [file(`${at}/a\0/../../../canary/file`, "1")], [
    'a 0644 "1"',
  ]),
  restores(
    "nul-in-gnu-long-name",
    "all cut there",
    ({ at }) => [special("././@LongLink", "L", `${at}/a\0/../../evil`), file("x", "1", { format: "gnu" })],
    ['a 0644 "1"'],
  ),
  restores(
    "not-utf8",
    "GNU tar and Go keep the bytes",
    ({ at }) => [
      file(bytes(`${at}/`, [0xff, 0xfe]), "1", { longNames: "none" }),
      file(bytes(`${at}/`, [0x63, 0xe9]), "2", { longNames: "none" }),
      sym(`${at}/s`, bytes([0x80])),
      file(bytes(`${at}/d`, [0xe9], "/x"), "3", { longNames: "gnu", format: "gnu" }),
      hard(bytes(`${at}/d`, [0xe9], "/h"), bytes(`${at}/`, [0xff, 0xfe])),
    ],
    [
      "\\xff\\xfe = d\\xe9/h",
      'c\\xe9 0644 "2"',
      "s -> \\x80",
      "d\\xe9/ 0755",
      'd\\xe9/x 0644 "3"',
      'd\\xe9/h 0644 "1"',
    ],
  ),
  restores(
    "unicode-is-not-normalized",
    "all alike; CVE-2021-37712 (node-tar) on other systems",
    ({ at }) => [file(`${at}/caf\u00e9`, "1"), file(`${at}/cafe\u0301`, "2"), file(`${at}/CAF\u00c9`, "3")],
    ['caf\u00e9 0644 "1"', 'cafe\u0301 0644 "2"', 'CAF\u00c9 0644 "3"'],
  ),
  restores(
    "control-characters",
    allAlike,
    ({ at }) => [file(`${at}/\x1b[31mred\x1b[0m`, "1"), file(`${at}/a\nb\rc`, "2"), file(`${at}/\u202egpj.exe`, "3")],
    ['\x1b[31mred\x1b[0m 0644 "1"', 'a\nb\rc 0644 "2"', '\u202egpj.exe 0644 "3"'],
  ),
  refuses(
    "control-characters-in-a-message",
    "a terminal must not obey a name",
    ({ canary }) => [file(`${canary}/\x1b]0;title\x07\n\rERROR: fake`)],
    outside,
  ),
  restores("component-of-255-bytes", allAlike, ({ at }) => [file(`${at}/${"n".repeat(255)}`, "1")], [
    `${"n".repeat(255)} 0644 "1"`,
  ]),
  refuses(
    "component-of-256-bytes",
    "the kernel refuses",
    ({ at }) => [file(`${at}/${"n".repeat(256)}`)],
    "name too long",
  ),
  refuses(
    "directory-of-256-bytes",
    "the kernel refuses",
    ({ at }) => [file(`${at}/${"n".repeat(256)}/x`)],
    "name too long",
  ),
  refuses("name-of-4096-bytes", "the kernel refuses", () => [file(`/${"n".repeat(4095)}`)], outside),
  refuses(
    "path-of-4096-bytes",
    "the kernel refuses",
    ({ at }) => [file(`${at}/${"12345678/".repeat(450)}`.slice(0, 4095).concat("x"))],
    "makes a path that is too long",
  ),
  refuses(
    "name-of-a-million-bytes",
    "the kernel refuses",
    () => [file("n".repeat(1_000_000))],
    "longer than 4096 bytes",
  ),
  refuses(
    "extended-header-of-two-million-bytes",
    "Go: at most 1 MiB",
    () => [file("n".repeat(2_000_000))],
    "larger than",
  ),
  restores("300-levels-deep", allAlike, ({ at }) => [file(`${at}/${"d/".repeat(300)}x`, "1")], [
    ...Array.from({ length: 300 }, (_, i) => `${"d/".repeat(i + 1)} 0755`),
    `${"d/".repeat(300)}x 0644 "1"`,
  ]),
  refuses(
    "file-named-like-a-directory",
    "a directory to GNU tar, a file to Go",
    ({ at }) => [file(`${at}/x/`)],
    "but named like a directory",
  ),
  refuses(
    "symlink-named-like-a-directory",
    "readers differ",
    ({ at, canary }) => [sym(`${at}/x/`, canary)],
    "but named like a directory",
  ),
  restores(
    "v7-directory",
    allAlike,
    ({ at }) => [{ name: `${at}/d/`, type: { flag: "\0" }, format: "v7", mode: 0o700 }],
    ["d/ 0700"],
  ),
  restores("v7-file", allAlike, ({ at }) => [{ name: `${at}/f`, type: { flag: "\0" }, format: "v7", data: "1" }], [
    'f 0644 "1"',
  ]),
];

const conflicts: readonly Attack[] = [
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

/** An archive in an archive: what a reader sees that takes the wrong size for the outer file. */
const smuggled = ({ at, canary }: Scene): Buffer =>
  tarOf([file(`${canary}/file`), file(`${at}/smuggled`)], { trailer: false });

const sizes: readonly Attack[] = [
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

const extended: readonly Attack[] = [
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

const structure: readonly Attack[] = [
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

/** The table, in chapters. */
export const attacks: Readonly<Record<string, readonly Attack[]>> = {
  "paths with ..": dotDot,
  "places elsewhere": elsewhere,
  "symbolic links": throughLinks,
  "hard links": hardLinks,
  "kinds of entries": kinds,
  names,
  conflicts,
  "sizes and numbers": sizes,
  "extended headers": extended,
  "structure and truncation": structure,
};
