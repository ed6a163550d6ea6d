import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { TarReader } from "../../lib/archive/tar.ts";
import { show, TarError } from "../../lib/archive/tar-error.ts";
import { have, skipUnless, type TempDir, tempDir } from "../support/harness.ts";

/**
 * The tar files of other projects, compressed or not, in the directory named by CORPUS: our reader has to see in each
 * what GNU tar or Go sees, or to refuse it with a reason. See docs/tar-corpora.md.
 */
const corpus = process.env.CORPUS;
const go = Bun.which("go") ?? Bun.which("/usr/local/go/bin/go");
const largest = 1 << 30;

/** What a reader sees: its entries in a common form and the hash of all contents in order, or why it gives up. */
type View = { readonly entries: readonly string[]; readonly contents: string } | { readonly refused: string };

/** `kind size name target`, bytes that are not printable escaped; slashes at the end of directories do not count. */
function line(kind: string, size: number, name: string, target: string): string {
  const shown = (text: string) =>
    JSON.stringify(text).replace(/[\x7f-\xff]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`);
  const path = kind === "directory" ? name.replace(/(?<=.)\/+$/, "") : name;
  return `${kind} ${size} ${shown(path)} ${shown(kind === "file" || kind === "directory" ? "" : target)}`;
}

function ours(archive: Buffer): View {
  const entries: string[] = [];
  const hash = new Bun.CryptoHasher("sha256");
  const reader = new TarReader({
    entry: ({ type, size, path, linkpath }) => entries.push(line(type, size, path, linkpath)),
    data: (chunk) => hash.update(chunk),
    endFile: () => {},
  });
  try {
    for (let at = 0; at < archive.length; at += 1 << 20) reader.write(archive.subarray(at, at + (1 << 20)));
    reader.finish();
  } catch (error) {
    if (!(error instanceof TarError)) throw error;
    return { refused: error.message };
  }
  return { entries, contents: hash.digest("hex") };
}

/** A C string as GNU tar quotes it, as bytes in latin1. */
function unquote(text: string): string {
  const simple: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", a: "\x07", b: "\b", f: "\f", v: "\v" };
  return text.replace(/\\([0-7]{3}|.)/g, (_, code: string) =>
    code.length === 3 ? String.fromCharCode(Number.parseInt(code, 8)) : (simple[code] ?? code),
  );
}

function gnuTar(path: string, withContents: boolean): View {
  const env = { PATH: process.env.PATH, LC_ALL: "C", TZ: "UTC" };
  const options = ["-P", "--numeric-owner", "--full-time", "--quoting-style=c"];
  const listed = Bun.spawnSync(["tar", "-t", "-v", ...options, "-f", path], { env });
  const complaint = listed.stderr
    .toString()
    .split("\n")
    .find((text) => !/Substituting|Removing leading/.test(text) && text !== "");
  if (listed.exitCode !== 0 || complaint !== undefined) return { refused: complaint ?? `exit ${listed.exitCode}` };
  const kinds: Readonly<Record<string, string>> = { "-": "file", d: "directory", l: "symlink", h: "link" };
  const entries: string[] = [];
  for (const text of listed.stdout.toString("latin1").split("\n")) {
    if (text === "") continue;
    const match = /^(\S)\S* +\S+ +(\S+) +\S+ +\S+ +"((?:[^"\\]|\\.)*)"(?: (?:->|link to) "((?:[^"\\]|\\.)*)")?/.exec(
      text,
    );
    if (match === null) return { refused: `a line of its listing is unreadable: ${text}` };
    const [, kind = "", size = "", name = "", target = ""] = match;
    entries.push(line(kinds[kind] ?? kind, kind === "h" ? 0 : Number(size), unquote(name), unquote(target)));
  }
  if (!withContents) return { entries, contents: "" };
  const contents = Bun.spawnSync(["sh", "-c", 'tar -x -O -P -f "$1" | sha256sum', "sh", path], { env });
  return { entries, contents: contents.stdout.toString().slice(0, 64) };
}

const goProgram = `package main
import ("archive/tar"; "crypto/sha256"; "encoding/json"; "fmt"; "io"; "os")
type entry struct { Kind string; Size int64; Name, Target []byte }
func main() {
  f, _ := os.Open(os.Args[1]); r := tar.NewReader(f); h := sha256.New(); var all []entry
  kinds := map[byte]string{tar.TypeReg: "file", tar.TypeDir: "directory", tar.TypeSymlink: "symlink", tar.TypeLink: "link"}
  for {
    t, err := r.Next()
    if err == io.EOF { break }
    if err != nil { fmt.Print("refused ", err); return }
    if t.Typeflag == tar.TypeXGlobalHeader { continue }
    kind := kinds[t.Typeflag]
    if kind == "" { kind = string(t.Typeflag) }
    size := t.Size
    if kind != "file" { size = 0 }
    all = append(all, entry{kind, size, []byte(t.Name), []byte(t.Linkname)})
    if len(os.Args) > 2 { continue }
    if _, err := io.Copy(h, r); err != nil { fmt.Print("refused ", err); return }
  }
  out, _ := json.Marshal(all)
  fmt.Printf("%x %s", h.Sum(nil), out)
}
`;

function withGo(program: string, path: string, withContents: boolean): View {
  const out = Bun.spawnSync([program, path, ...(withContents ? [] : ["list"])]).stdout.toString();
  if (out.startsWith("refused ")) return { refused: out.slice(8) };
  const all: { Kind: string; Size: number; Name: string; Target: string }[] = JSON.parse(out.slice(65)) ?? [];
  const text = (base64: string) => Buffer.from(base64 ?? "", "base64").toString("latin1");
  return {
    contents: out.slice(0, 64),
    entries: all.map(({ Kind, Size, Name, Target }) => line(Kind, Size, text(Name), text(Target))),
  };
}

/** The tar inside of a file, or why there is none that can be had. */
function unpack(path: string): Buffer | string {
  const bytes = readFileSync(path);
  const decoders: readonly [RegExp, readonly string[]][] = [
    [/\.(tgz|gz|Z)$/, ["gzip", "-dc"]],
    [/\.bz2$/, ["bzip2", "-dc"]],
    [/\.xz$/, ["xz", "-dc"]],
    [/\.zst$/, ["zstd", "-dc"]],
  ];
  if (path.endsWith(".base64")) return Buffer.from(bytes.toString(), "base64");
  if (/\.(lz4|lzo|br|sh|js)$/.test(path)) return "neither a tar nor compressed in a known way";
  const decoder = decoders.find(([name]) => name.test(path))?.[1];
  if (decoder === undefined) return bytes;
  const [tool = ""] = decoder;
  if (!have(tool)) return `${tool} is not there`;
  const { stdout } = Bun.spawnSync([...decoder], { stdin: bytes, maxBuffer: largest });
  return Buffer.from(stdout);
}

function filesOf(root: string): string[] {
  const names = readdirSync(root, { recursive: true, encoding: "utf8" }).sort();
  return names.map((name) => join(root, name)).filter((path) => statSync(path).isFile());
}

const agree = (a: View, b: View): boolean =>
  "entries" in a && "entries" in b && a.contents === b.contents && a.entries.join("\n") === b.entries.join("\n");

const verdict = (view: View): string =>
  "refused" in view ? `refuses: ${show(view.refused)}` : `${view.entries.length} entries`;

describe("the tar files of other projects", () => {
  if (corpus === undefined) {
    skipUnless(false, "CORPUS=<directory of tar files>")("are seen as GNU tar or Go sees them, or refused", () => {});
    return;
  }
  let scratch: TempDir;
  let judge: string | undefined;
  afterAll(() => scratch[Symbol.dispose]());
  beforeAll(() => {
    scratch = tempDir("corpus");
    if (go === null) return;
    using dir = tempDir("corpus", { "main.go": goProgram });
    const built = Bun.spawnSync([go, "build", "-o", scratch.join("judge"), dir.join("main.go")], {
      env: { ...process.env, GOFLAGS: "-mod=mod", GO111MODULE: "off" },
    });
    if (built.exitCode === 0) judge = scratch.join("judge");
    else console.error(`without Go: ${built.stderr}`);
  });
  for (const path of filesOf(resolve(corpus))) {
    const name = relative(resolve(corpus), path);
    const archive = unpack(path);
    if (typeof archive === "string") {
      console.error(`SKIPPED, ${archive}: ${name}`);
      continue;
    }
    test(`${name} is seen as GNU tar or Go sees it, or refused with a reason`, () => {
      const plain = scratch.join("archive.tar");
      writeFileSync(plain, archive);
      const own = ours(archive);
      // What we refuse may be sparse, and terabytes large to others.
      const isRead = "entries" in own;
      const gnu = gnuTar(plain, isRead);
      const inGo: View = judge === undefined ? { refused: "Go is not there" } : withGo(judge, plain, isRead);
      const alike = [...(agree(own, gnu) ? ["GNU tar"] : []), ...(agree(own, inGo) ? ["Go"] : [])];
      console.log(`${name} | ${verdict(own)} | GNU tar ${verdict(gnu)} | Go ${verdict(inGo)} | ${alike.join(", ")}`);
      if ("refused" in own) return expect(own.refused).not.toBe("");
      if (alike.length > 0) return;
      expect({ gnu, go: inGo }).toEqual({ gnu: own, go: own });
    });
  }
});
