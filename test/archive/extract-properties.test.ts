import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { LayerExtractor } from "../../lib/archive/extract.ts";
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
        const extractor = new LayerExtractor(targetAt(place));
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
