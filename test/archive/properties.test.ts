import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { parse } from "smol-toml";
import { LayerExtractor } from "../../lib/archive/extract.ts";
import { type TarEntry as Entry, TarError, TarReader } from "../../lib/archive/tar.ts";
import { RestorerError } from "../../lib/errors.ts";
import { digestReference, formatReference, parseReference } from "../../lib/oci/reference.ts";
import { parseChallenges } from "../../lib/registry/challenges.ts";
import { printable, quote } from "../../lib/text.ts";
import { parseJson } from "../../lib/toml/json.ts";
import { parseMetadata } from "../../lib/toml/metadata.ts";
import { formatMetadata, formatToml, readToml } from "../../lib/toml/toml.ts";
import type { TomlTable } from "../../lib/toml/values.ts";
import { removeTree, tempDir } from "../support/harness.ts";
import { type TarEntry, tarOf } from "../support/tar-writer.ts";
import { attacks } from "./attack-table.ts";

setDefaultTimeout(60_000);

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
  for (let at = 0; at + 512 <= archive.length; at += 512) {
    if (archive.toString("latin1", at + 257, at + 262) !== "ustar") continue;
    archive.fill(" ", at + 148, at + 156);
    const sum = archive.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
    archive.write(`${sum.toString(8).padStart(6, "0")}\0 `, at + 148, 8, "latin1");
  }
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

describe("the extractor", () => {
  let root = "";
  let umask = 0;
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), "restorer-properties-"));
    umask = process.umask(0);
  });
  afterAll(() => {
    process.umask(umask);
    removeTree(root);
  });

  /** A file system in a map, to compare with: path → what is there. Hard links share their object. */
  type Model = Map<string, { kind: "directory" } | { kind: "file"; text: string } | { kind: "symlink"; text: string }>;

  const refused = new Error("refused");

  /** The path below the layer, undefined outside of it. */
  function below(path: string): string | undefined {
    const parts = path.split("/").filter((part) => part !== "" && part !== ".");
    if (parts.includes("..")) throw refused;
    const clean = parts.join("/");
    if (clean === "layers/bp/l") return "";
    return clean.startsWith("layers/bp/l/") ? clean.slice("layers/bp/l/".length) : undefined;
  }

  function apply(model: Model, { name, type, linkname = "", data = "" }: TarEntry): void {
    const path = String(name);
    if (path === "" || (type !== "directory" && path.endsWith("/"))) throw refused;
    const at = below(path);
    if (at === undefined) {
      if (
        type === "directory" &&
        "layers/bp/l".startsWith(
          path
            .split("/")
            .filter((part) => part !== "" && part !== ".")
            .join("/"),
        )
      )
        return;
      throw refused;
    }
    if (at === "") {
      if (type !== "directory") throw refused;
      return;
    }
    const parts = at.split("/");
    for (let depth = 1; depth < parts.length; depth++) {
      const parent = parts.slice(0, depth).join("/");
      if ((model.get(parent) ?? { kind: "directory" }).kind !== "directory") throw refused;
      model.set(parent, { kind: "directory" });
    }
    const standing = model.get(at);
    if (type === "directory") {
      if (standing !== undefined && standing.kind !== "directory") throw refused;
      model.set(at, { kind: "directory" });
      return;
    }
    if (type === "link") {
      const target = below(String(linkname));
      const file = target === undefined || target === at ? undefined : model.get(target);
      if (file?.kind !== "file" || standing?.kind === "directory") throw refused;
      model.set(at, file);
      return;
    }
    if (standing?.kind === "directory") throw refused;
    if (type === "symlink" && String(linkname) === "") throw refused;
    model.set(
      at,
      type === "symlink" ? { kind: "symlink", text: String(linkname) } : { kind: "file", text: String(data) },
    );
  }

  function look(directory: string, prefix = "", found: Record<string, string> = {}): Record<string, string> {
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      const stat = lstatSync(path);
      const kind = stat.isDirectory() ? "directory" : stat.isSymbolicLink() ? "symlink" : "file";
      const text = kind === "directory" ? "" : kind === "symlink" ? readlinkSync(path) : readFileSync(path, "utf8");
      found[prefix + name] = `${kind} ${text}`;
      if (kind === "directory") look(path, `${prefix}${name}/`, found);
    }
    return found;
  }

  const part = fc.constantFrom("a", "a", "b", "b", "c", ".", "", "..");
  const path = fc
    .tuple(
      fc.constantFrom(
        "/layers/bp/l/",
        "/layers/bp/l/",
        "/layers/bp/l/",
        "layers/bp/l/",
        "./layers//bp/./l/",
        "/layers/bp/",
        "/",
        "",
      ),
      fc.array(part, { maxLength: 4 }),
    )
    .map(([start, parts]) => start + parts.join("/"));
  const entries = fc.array(
    fc.record({
      name: path,
      type: fc.constantFrom("file", "file", "directory", "symlink", "link"),
      linkname: fc.oneof(path, fc.constantFrom("a", "../..", "/")),
      data: fc.constantFrom("1", "2"),
    } as const),
    { maxLength: 12 },
  );

  test("agrees with a simple model of what an archive means, and stays below its root", () => {
    let run = 0;
    fc.assert(
      fc.property(entries, (list) => {
        const all: TarEntry[] = [
          { name: "/layers/bp/l", type: "directory" },
          ...list.map(({ linkname, data, ...entry }) => ({
            ...entry,
            ...(entry.type === "file" ? { data } : {}),
            ...(entry.type === "link" || entry.type === "symlink" ? { linkname } : {}),
          })),
        ];
        const model: Model = new Map();
        let expected: Record<string, string> | "refused";
        try {
          for (const entry of all) apply(model, entry);
          expected = Object.fromEntries(
            [...model].map(([name, item]) => [name, `${item.kind} ${"text" in item ? item.text : ""}`]),
          );
        } catch (error) {
          if (error !== refused) throw error;
          expected = "refused";
        }
        run += 1;
        const place = join(root, `${run}`);
        const extractor = new LayerExtractor({
          root: place,
          anchor: ["bp", "l"],
          layersDir: "/layers",
          umask: 0o022,
          writesBehind: false,
        });
        const reader = new TarReader(extractor);
        let actual: Record<string, string> | "refused";
        try {
          reader.write(tarOf(all));
          reader.finish();
          extractor.finish();
          actual = look(place);
        } catch (error) {
          if (!(error instanceof TarError)) throw error;
          extractor.abort();
          actual = "refused";
        }
        expect(actual).toEqual(expected);
        expect(readdirSync(root).filter((name) => name !== `${run}`)).toEqual([]);
        removeTree(place);
      }),
      { numRuns: 2500 },
    );
  });
});

describe("metadata", () => {
  const key = fc.oneof(
    fc.string({ unit: "grapheme" }),
    fc.constantFrom("__proto__", "constructor", "toString", "a.b", "", "'", '"', "\\", "\u0000", "\u007f", "\u2028"),
  );
  const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
  const text = fc.string({
    unit: fc.oneof(
      fc.constantFrom("\n", "\r", "\t", "\\", '"', "'", "\0", "\x1b", "\u2028"),
      fc.nat(0xd7ff).map((code) => String.fromCodePoint(code)),
      fc.constantFrom("😀", "é"),
    ),
  });
  const { table } = fc.letrec<{ value: unknown; table: Record<string, unknown> }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      int64,
      fc.double({ noNaN: true, noDefaultInfinity: true }).filter((number) => !Number.isInteger(number)),
      text,
      fc.boolean(),
      fc.array(tie("value"), { maxLength: 4 }),
      tie("table"),
    ),
    table: fc
      .array(fc.tuple(key, tie("value")), { maxLength: 5 })
      .map((pairs) => Object.fromEntries(pairs) as Record<string, unknown>),
  }));

  /** JSON with bigints as plain numbers. */
  function toJson(value: unknown): string {
    if (typeof value === "bigint") return String(value);
    if (Array.isArray(value)) return `[${value.map(toJson).join(",")}]`;
    if (typeof value !== "object" || value === null) return JSON.stringify(value);
    return `{${Object.entries(value)
      .map(([name, item]) => `${JSON.stringify(name)}:${toJson(item)}`)
      .join(",")}}`;
  }
  /** A form in which own keys such as __proto__ and the kinds of numbers show. */
  function canonical(value: unknown): unknown {
    if (typeof value === "bigint") return `integer ${value}`;
    if (typeof value === "number") return Object.is(value, -0) ? "float -0" : `float ${value}`;
    if (Array.isArray(value)) return value.map(canonical);
    if (typeof value !== "object" || value === null) return value;
    return Object.entries(value)
      .map(([name, item]) => [name, canonical(item)])
      .sort();
  }

  test("survives from JSON to a layer's TOML and back, every integer of 64 bits exact, every key a key", () => {
    fc.assert(
      fc.property(table, (metadata) => {
        const fromJson = parseJson(Buffer.from(toJson(metadata)));
        expect(canonical(fromJson)).toEqual(canonical(metadata));
        const toml = formatMetadata(fromJson as TomlTable);
        const back = parse(toml, { integersAsBigInt: true });
        expect(canonical(back)).toEqual(canonical({ metadata }));
      }),
      { numRuns: 1000 },
    );
  });

  test("in analyzed.toml keeps the kind of each number", () => {
    using dir = tempDir("toml");
    const path = dir.join("x.toml");
    fc.assert(
      fc.property(table, fc.double({ noNaN: true }), (content, drawn) => {
        // The sign of a zero is lost, which no reader can tell.
        const number = drawn === 0 ? 0 : drawn;
        const whole = { ...content, number } as TomlTable;
        writeFileSync(path, formatToml(whole));
        expect(canonical(readToml(path))).toEqual(canonical(whole));
      }),
      { numRuns: 500 },
    );
  });

  test("that is no metadata at all is an Error, never a crash", () => {
    const texts = fc.oneof(
      fc.json(),
      fc.string(),
      fc.uint8Array().map((bytes) => Buffer.from(bytes).toString("latin1")),
      table.map((value) => toJson({ buildpacks: [{ key: "a", layers: value }] })),
    );
    fc.assert(
      fc.property(texts, (json) => {
        try {
          parseMetadata(Buffer.from(json));
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
          expect(error).not.toBeInstanceOf(TypeError);
        }
      }),
      { numRuns: 2000 },
    );
    for (const nested of ["[".repeat(1e6), `${"[".repeat(1e5)}${"]".repeat(1e5)}`, '{"a":'.repeat(1e5)]) {
      expect(() => parseMetadata(Buffer.from(nested))).toThrow();
    }
  });
});

describe("references", () => {
  const host = fc.oneof(
    fc.constantFrom("localhost", "ghcr.io", "127.0.0.1:5000", "[::1]:5000", "Registry.Example:443", "docker.io"),
    fc.domain(),
  );
  const component = fc.stringMatching(/^[a-z0-9]{1,8}([_-][a-z0-9]{1,8})?$/);
  const repository = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
  const tag = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/);
  const digest = fc.stringMatching(/^[0-9a-f]{64}$/).map((hex) => `sha256:${hex}`);
  const valid = fc
    .tuple(fc.option(host), repository, fc.option(tag), fc.option(digest))
    .map(
      ([where, path, name, sha]) =>
        `${where === null ? "" : `${where}/`}${path}${name === null ? "" : `:${name}`}${sha === null ? "" : `@${sha}`}`,
    )
    .filter((reference) => !/(^|\/)[a-z0-9](:|@|$)/.test(reference));

  test("that are made by the rules come back the same from their own text", () => {
    fc.assert(
      fc.property(valid, (text) => {
        const parsed = parseReference(text);
        expect(parseReference(formatReference(parsed))).toEqual(parsed);
        const sha = `sha256:${"0".repeat(64)}`;
        const { registry, repository: path } = parseReference(digestReference(parsed, sha));
        expect({ registry, path }).toEqual({ registry: parsed.registry, path: parsed.repository });
      }),
      { numRuns: 1000 },
    );
  });
  test("of any text are parsed or refused with a RestorerError, and lead nowhere else", () => {
    const hostile = fc.oneof(
      fc.string(),
      fc
        .tuple(valid, fc.nat(), fc.constantFrom("/", "..", "%2e", "?", "#", "\\", "@", ":", " ", "\n", "//", "\0", "é"))
        .map(([text, at, insert]) => {
          const place = at % (text.length + 1);
          return text.slice(0, place) + insert + text.slice(place);
        }),
    );
    fc.assert(
      fc.property(hostile, (text) => {
        try {
          const { registry, repository: path, tag: label = "x" } = parseReference(text);
          const url = new URL(`https://${registry}/v2/${path}/manifests/${label}`);
          expect(url.pathname).toBe(`/v2/${path}/manifests/${label}`);
          expect(url.username + url.search + url.hash).toBe("");
        } catch (error) {
          if (!(error instanceof RestorerError)) throw error;
          expect(printable(error.message)).toBe(error.message);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

describe("WWW-Authenticate", () => {
  const token = fc.stringMatching(/^[a-z][a-z0-9_-]{0,10}$/);
  const value = fc.string({ unit: "grapheme-ascii", maxLength: 30 });
  const parameters = fc.uniqueArray(fc.tuple(token, value, fc.boolean()), {
    selector: ([name]) => name,
    minLength: 1,
    maxLength: 5,
  });
  const challenge = fc.record({ scheme: token, parameters });

  test("gives back all challenges that were written, however they are quoted and spaced", () => {
    const space = fc.constantFrom("", " ", "  ");
    fc.assert(
      fc.property(fc.array(challenge, { minLength: 1, maxLength: 3 }), space, (challenges, gap) => {
        const header = challenges
          .map(({ scheme, parameters: pairs }) => {
            const shown = pairs.map(([name, text, plain]) => {
              const isToken = plain && /^[A-Za-z0-9_-]+$/.test(text);
              return `${name}=${isToken ? text : `"${text.replace(/["\\]/g, "\\$&")}"`}`;
            });
            return `${scheme} ${shown.join(`${gap},${gap}`)}`;
          })
          .join(`${gap}, ${gap}`);
        const parsed = parseChallenges(header).map(({ scheme, parameters: map }) => ({ scheme, parameters: [...map] }));
        const written = challenges.map(({ scheme, parameters: pairs }) => ({
          scheme,
          parameters: pairs.map(([name, text]) => [name, text]),
        }));
        expect(parsed).toEqual(written as typeof parsed);
      }),
      { numRuns: 1000 },
    );
  });
  test("never throws, and takes no longer for longer nonsense", () => {
    const piece = fc.constantFrom("Bearer ", "realm=", '"', "\\", ",", "=", " ", "a", "\t", "é", '"\\"', "==");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 5000 }), (pieces) => void parseChallenges(pieces.join(""))),
      { numRuns: 300 },
    );
  });
});

test("no message carries a control character to a terminal", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(quote(text)).not.toMatch(/[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/);
      expect(printable(text)).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/);
    }),
    { numRuns: 2000 },
  );
});
