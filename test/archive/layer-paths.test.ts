import { describe, expect, test } from "bun:test";
import { LayerPaths } from "../../lib/archive/layer-paths.ts";
import type { TarEntry } from "../../lib/archive/tar.ts";
import { TarError } from "../../lib/archive/tar-error.ts";
import { limits } from "../../lib/limits.ts";

const dir = (path: string, mode = 0o755): TarEntry => ({ path, type: "directory", mode, size: 0, linkpath: "" });
const file = (path: string): TarEntry => ({ path, type: "file", mode: 0o644, size: 0, linkpath: "" });
const sym = (path: string, linkpath: string): TarEntry => ({ path, type: "symlink", mode: 0o777, size: 0, linkpath });
const hard = (path: string, linkpath: string): TarEntry => ({ path, type: "link", mode: 0o644, size: 0, linkpath });

interface Seen {
  readonly events: readonly string[];
  readonly dangling: LayerPaths["dangling"];
}

/** What becomes of entries read for the layer `bp/l`: what a visitor is told, then the reason for refusing it, if any. */
function read(entries: readonly TarEntry[], layersDir = "/layers", anchor = ["bp", "l"]): Seen {
  const events: string[] = [];
  const others = new Set<string>();
  const paths = new LayerPaths(
    { anchor, layersDir, umask: 0o022 },
    {
      directory(path, mode, isNew) {
        events.push(`${isNew ? "directory" : "again"} ${path || "."} ${mode.toString(8)}`);
        return !others.has(path);
      },
      file(path, mode) {
        others.add(path);
        events.push(`file ${path} ${mode.toString(8)}`);
      },
      symlink(path, target) {
        others.add(path);
        events.push(`symlink ${path} ${target}`);
      },
      link(path, target) {
        if (!others.has(target)) return false;
        events.push(`link ${path} ${target}`);
        return true;
      },
    },
  );
  try {
    for (const entry of entries) paths.entry(entry);
    paths.finish();
  } catch (error) {
    if (!(error instanceof TarError)) throw error;
    events.push(`refused: ${error.message}`);
  }
  return { events, dangling: paths.dangling };
}

const events = (entries: readonly TarEntry[], layersDir?: string) => read(entries, layersDir).events;
const root = "directory . 755";

describe("the prefix of a layer's entries", () => {
  const mine = "/workspace/layers";
  test.each<[name: string, layersDir: string, entries: TarEntry[], events: string[]]>([
    ["is the usual one", "/layers", [dir("/layers"), dir("/layers/bp"), file("/layers/bp/l/x")], [root, "file x 644"]],
    [
      "may lack its slash",
      "/layers",
      [dir("layers/bp/l", 0o700), file("layers/bp/l/x")],
      ["directory . 700", "file x 644"],
    ],
    ["may be written with dots and slashes", "/layers", [file(".//layers/./bp//l/x")], [root, "file x 644"]],
    [
      "is that of another build where that is all there is",
      "/layers",
      [dir("/old"), file("/old/bp/l/x")],
      [root, "file x 644"],
    ],
    ["may be empty", "/layers", [dir("/bp"), file("/bp/l/x")], [root, "file x 644"]],
    [
      "is this build's where it fits",
      mine,
      [dir(mine), dir(`${mine}/bp`), file(`${mine}/bp/l/x`)],
      [root, "file x 644"],
    ],
    [
      "is the usual one where this build's does not fit",
      mine,
      [dir("/layers/bp/l"), file("/layers/bp/l/x")],
      [root, "file x 644"],
    ],
    [
      "is this build's, though a shorter one would fit its parents",
      "/bp/l/bp/l",
      [dir("/bp"), dir("/bp/l"), dir("/bp/l/bp/l"), file("/bp/l/bp/l/bp/l/x")],
      [root, "file x 644"],
    ],
    [
      "is the shortest one of those that no build is known for",
      "/layers",
      [file("/a/bp/l/bp/l/x")],
      [root, "directory bp 755", "directory bp/l 755", "file bp/l/x 644"],
    ],
  ])("%s", (_, layersDir, entries, expected) => {
    expect(events(entries, layersDir)).toEqual(expected);
  });

  test("is one for the whole archive", () => {
    expect(events([file("/a/bp/l/x"), file("/b/bp/l/y")]).at(-1)).toBe(
      'refused: "/b/bp/l/y" lies outside of the layer',
    );
  });

  test("is found within the first entries, or not at all", () => {
    const strangers = (count: number) => Array.from({ length: count }, (_, index) => dir(`/stranger/${index}`));
    expect(events(strangers(limits.undecided + 1))).toEqual(["refused: its first entries do not lead to the layer"]);
    expect(events([dir("/layers"), dir("/layers/bp")])).toEqual([
      'refused: it holds nothing below "bp/l", but "/layers/bp"',
    ]);
    expect(events([dir("/layers"), dir("/layers/bp"), dir("/layers/bp/L"), file("/layers/bp/L/x")])).toEqual([
      'refused: it holds nothing below "bp/l", but "/layers/bp/L/x"',
    ]);
    expect(events([])).toEqual(['refused: it holds nothing below "bp/l", but nothing at all']);
  });

  test("is looked for by bytes, whatever the name of the layer is made of", () => {
    const bytes = Buffer.from("é").toString("latin1");
    expect(read([file(`/layers/bp/${bytes}/${bytes}`)], "/layers", ["bp", "é"]).events).toEqual([
      root,
      `file ${bytes} 644`,
    ]);
  });
});

describe("an entry of a layer", () => {
  const at = "/layers/bp/l";
  test.each<[name: string, entries: TarEntry[], events: string[]]>([
    [
      "comes after its parents, which exist without entries of their own",
      [file(`${at}/a/b/x`)],
      ["directory a 755", "directory a/b 755", "file a/b/x 644"],
    ],
    [
      "may give a directory another mode",
      [dir(`${at}/a`, 0o700), dir(`${at}/a/`, 0o555)],
      ["directory a 700", "again a 555"],
    ],
    ["may take the place of a file", [file(`${at}/x`), sym(`${at}/x`, "y")], ["file x 644", "symlink x y"]],
    [
      "may be a link to anywhere",
      [sym(`${at}/x`, "/etc/passwd"), sym(`${at}/y`, "../..")],
      ["symlink x /etc/passwd", "symlink y ../.."],
    ],
    [
      "may be a hard link to an earlier file",
      [file(`${at}/x`), hard(`${at}/y`, `${at.slice(1)}/./x`)],
      ["file x 644", "link y x"],
    ],
    ["may have a name of any bytes", [file(`${at}/\xff\n`)], ["file \xff\n 644"]],
  ])("%s", (_, entries, expected) => {
    expect(events([dir(at), ...entries])).toEqual([root, ...expected]);
  });

  const notEarlier = "which is not an earlier file of the layer";
  test.each<[name: string, entries: TarEntry[], reason: string]>([
    ["outside of it", [file("/layers/bp/other/x")], '"/layers/bp/other/x" lies outside of the layer'],
    ["that only begins like it", [file(`${at}ib/x`)], `"${at}ib/x" lies outside of the layer`],
    ["that is a directory beside it", [dir("/layers/bp/other")], '"/layers/bp/other" lies outside of the layer'],
    ["that leads out of it", [file(`${at}/a/../../x`)], `"${at}/a/../../x" leads out of the layer`],
    ["that is its parent, but a link", [sym("/layers/bp", "/etc")], '"/layers/bp" lies outside of the layer'],
    ["that is the layer itself, but a file", [file(at)], `"${at}" is the layer itself, but a file`],
    ["that is the layer itself, but a link", [sym(at, "x")], `"${at}" is the layer itself, but a symbolic link`],
    [
      "that is a directory, then a file",
      [dir(`${at}/a`), file(`${at}/a`)],
      '"a" is both a directory and something else',
    ],
    [
      "that is a file, then a directory",
      [file(`${at}/a`), dir(`${at}/a`)],
      '"a" is both a directory and something else',
    ],
    ["below a link", [sym(`${at}/a`, "/etc"), file(`${at}/a/x`)], '"a" is both a directory and something else'],
    ["that links to nowhere", [sym(`${at}/a`, "")], '"a" is a symbolic link to nowhere'],
    ["that is a hard link to nothing", [hard(`${at}/a`, "")], `"a" is a hard link to "", ${notEarlier}`],
    ["that is a hard link to itself", [hard(`${at}/a`, `${at}/a`)], `"a" is a hard link to "${at}/a", ${notEarlier}`],
    ["that is a hard link to the layer", [hard(`${at}/a`, at)], `"a" is a hard link to "${at}", ${notEarlier}`],
    [
      "that is a hard link outside",
      [hard(`${at}/a`, "/etc/passwd")],
      `"a" is a hard link to "/etc/passwd", ${notEarlier}`,
    ],
    [
      "that is a hard link to a later file",
      [hard(`${at}/a`, `${at}/b`), file(`${at}/b`)],
      `"a" is a hard link to "${at}/b", ${notEarlier}`,
    ],
    [
      "that is a hard link below a link",
      [sym(`${at}/a`, "/etc"), hard(`${at}/b`, `${at}/a/x`)],
      `"b" is a hard link to "${at}/a/x", ${notEarlier}`,
    ],
    ["whose path is too long", [file(`${at}/${"x/".repeat(limits.pathBytes / 2)}x`)], "makes a path that is too long"],
  ])("%s is refused", (_, entries, reason) => {
    expect(events([dir(at), ...entries]).at(-1)).toMatch(/^refused: /);
    expect(events([dir(at), ...entries]).at(-1)).toContain(reason);
  });
});

describe("absolute links into the layers directory of an earlier build", () => {
  const links = (prefix: string) => [
    dir(`${prefix}/bp/l`),
    sym(`${prefix}/bp/l/a`, `${prefix}/bp/l/x`),
    sym(`${prefix}/bp/l/b`, `${prefix}/bp/other`),
    sym(`${prefix}/bp/l/c`, `${prefix}-and-more/x`),
    sym(`${prefix}/bp/l/d`, "x"),
  ];
  test("are counted where the layer is relocated", () => {
    expect(read(links("/old")).dangling).toEqual({ count: 2, prefix: "/old" });
  });
  test("are as good as before where it is not", () => {
    expect(read(links("/layers")).dangling.count).toBe(0);
  });
});

test("an archive without the layer is said to spell its name otherwise only where it does", () => {
  const bytes = (path: string) => Buffer.from(path).toString("latin1");
  const refusal = (path: string, layer: string) => read([dir(bytes(path))], "/layers", ["bp", layer]).events.at(-1);
  expect(refusal("/layers/bp/cafe\u0301", "caf\u00e9")).toContain("differ only in Unicode normalization");
  expect(refusal("/layers/bp/", "")).toBe('refused: it holds nothing below "bp/", but "/layers/bp/"');
});
