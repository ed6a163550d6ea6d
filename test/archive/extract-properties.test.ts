import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { Control } from "../../lib/archive/control.ts";
import { LayerExtractor } from "../../lib/archive/extract.ts";
import { SharedWrites } from "../../lib/archive/shared-writes.ts";
import { TarReader } from "../../lib/archive/tar.ts";
import { TarError } from "../../lib/archive/tar-error.ts";
import { targetAt } from "../support/blob-source.ts";
import { removeTree } from "../support/harness.ts";
import { type TarEntry, tarOf } from "../support/raw-tar.ts";

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

/** Extracts, and gives up what it has open where that fails. */
function extracting(
  extractor: LayerExtractor,
  extract: (extractor: LayerExtractor, archive: Buffer) => void,
  archive: Buffer,
): void {
  try {
    extract(extractor, archive);
  } catch (error) {
    extractor.abort();
    throw error;
  }
}

/** As a pair of threads does it, one after the other: `helps` says after which steps the other one writes a file. */
function extractShared(place: string, archive: Buffer, helps: readonly boolean[]): void {
  // All of it in one chunk, or four entries in each.
  const chunkBytes = helps.length % 2 === 0 ? 4096 : 1 << 16;
  const [memory, ring, control] = [SharedWrites.memory(), new SharedArrayBuffer(chunkBytes), new Control()];
  const [own, other] = [new SharedWrites(memory, ring, control), new SharedWrites(memory, ring, control)];
  const extractor = new LayerExtractor(targetAt(place), own);
  let step = 0;
  const thenHelp = (act: () => void) => {
    act();
    if (helps[step++ % helps.length] === true) other.help();
  };
  const reader = new TarReader({
    entry: (entry) => thenHelp(() => extractor.entry(entry)),
    data: (chunk) => thenHelp(() => extractor.data(chunk)),
    endFile: () => thenHelp(() => extractor.endFile()),
  });
  const inChunks = () => {
    for (let at = 0; at < archive.length; at += chunkBytes) {
      const chunk = Buffer.from(ring, 0, archive.copy(Buffer.from(ring), 0, at, at + chunkBytes));
      reader.write(chunk);
      extractor.settle();
      // What the next chunk overwrites is not needed any more.
      chunk.fill("X");
    }
    reader.finish();
    extractor.finish();
  };
  extracting(extractor, inChunks, archive);
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

  let run = 0;
  const inOne = (extractor: LayerExtractor, archive: Buffer) => {
    const reader = new TarReader(extractor);
    reader.write(archive);
    reader.finish();
    extractor.finish();
  };
  const ways: readonly [way: string, extract: (place: string, archive: Buffer, helps: readonly boolean[]) => void][] = [
    ["by one thread", (place, archive) => extracting(new LayerExtractor(targetAt(place)), inOne, archive)],
    ["by two that share the writing", (place, archive, helps) => extractShared(place, archive, helps)],
  ];

  test.each(ways)("agrees %s with a simple model of what an archive means, and stays below its root", (_, extract) => {
    fc.assert(
      fc.property(entries, fc.array(fc.boolean(), { minLength: 1 }), (list, helps) => {
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
        let actual: Record<string, string> | "refused";
        try {
          extract(place, Buffer.from(tarOf(all)), helps);
          actual = look(place);
        } catch (error) {
          if (!(error instanceof TarError)) throw error;
          actual = "refused";
        }
        expect(actual).toEqual(expected);
        expect(readdirSync(root).filter((name) => name !== `${run}`)).toEqual([]);
        removeTree(place);
      }),
      { numRuns: 2500 },
    );
  });

  /** Files in one directory that give way to each other again and again, some of them setuid, and links among them. */
  const crowded = fc.array(
    fc.record({
      name: fc.constantFrom("a", "b", "c", "d").map((name) => `/layers/bp/l/${name}`),
      kind: fc.constantFrom("file", "file", "file", "symlink"),
      data: fc.constantFrom("", "1", "22", "333".repeat(400)),
      mode: fc.constantFrom(0o644, 0o600, 0o4755),
    }),
    { minLength: 5, maxLength: 40 },
  );

  test("makes by two threads what it makes by one, where files give way to others", () => {
    fc.assert(
      fc.property(crowded, fc.array(fc.boolean(), { minLength: 1 }), (list, helps) => {
        const entries = list.map(({ name, kind, data, mode }) =>
          kind === "file" ? { name, data, mode } : ({ name, type: "symlink", linkname: data || "x" } as const),
        );
        const archive = Buffer.from(tarOf([{ name: "/layers/bp/l", type: "directory" }, ...entries]));
        const [alone, shared] = [join(root, `${++run}`), join(root, `${++run}`)];
        extracting(new LayerExtractor(targetAt(alone)), inOne, archive);
        extractShared(shared, archive, helps);
        const names = (place: string) => readdirSync(place).sort();
        const modes = (place: string) => names(place).map((name) => lstatSync(join(place, name)).mode);
        expect([look(shared), modes(shared)]).toEqual([look(alone), modes(alone)]);
        removeTree(alone);
        removeTree(shared);
      }),
      { numRuns: 500 },
    );
  });
});
