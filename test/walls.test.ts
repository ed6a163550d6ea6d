/** Holds the walls between the rooms of lib/, as ARCHITECTURE.md tells of them. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { findCircle, roomOf, type SourceFile, sourceFiles } from "./support/imports.ts";

const project = resolve(import.meta.dir, "..");
const files = sourceFiles();
const byPath = new Map(files.map((file) => [file.path, file]));

function graph(nodeOf: (path: string) => string): Map<string, Set<string>> {
  const result = new Map<string, Set<string>>();
  for (const { path, imports } of files) {
    const node = nodeOf(path);
    const others = result.get(node) ?? new Set();
    for (const { from } of imports) if (byPath.has(from) && nodeOf(from) !== node) others.add(nodeOf(from));
    result.set(node, others);
  }
  return result;
}

/** The files that a file needs when it runs, itself included. */
function neededBy(path: string, seen = new Set<string>()): Set<string> {
  if (seen.has(path)) return seen;
  seen.add(path);
  for (const { from, isTypeOnly } of byPath.get(path)?.imports ?? []) if (!isTypeOnly) neededBy(from, seen);
  return seen;
}

/** The lines of files that a pattern fits, but for those of files that may. */
function linesWith(pattern: RegExp, may: (path: string) => boolean): string[] {
  return files
    .filter(({ path }) => !may(path))
    .flatMap(({ path, text }) =>
      text.split("\n").flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
    );
}

/** What of node:fs changes a file system. */
const changes =
  /^(rm|rmdir|unlink|rename|link|symlink|l?chmod|fchmod|[lf]?chown|f?truncate|mkdir|mkdtemp|write|writev|writeFile|appendFile|copyFile|cp|[lf]?utimes|createWriteStream)(Sync)?$/;
/** These give, move or remove what stands, and so could be led astray. */
const dangerous = /^(rm|rmdir|unlink|rename|link|symlink|l?chmod|fchmod|[lf]?chown|truncate|mkdir|copyFile|cp)(Sync)?$/;

function takenFromFs({ imports }: SourceFile, pattern: RegExp): string[] {
  return imports
    .filter(({ from }) => /^(node:)?fs(\/promises)?$/.test(from))
    .flatMap(({ names }) => (names.length === 0 ? ["the whole module"] : names.filter((name) => pattern.test(name))));
}

describe("the walls between rooms", () => {
  test("no file imports itself, by whatever way", () => expect(findCircle(graph((path) => path))).toBeUndefined());

  test("no room imports itself, by whatever way", () => expect(findCircle(graph(roomOf))).toBeUndefined());

  test("the layer rules need no file system, nor does anything that they need", () => {
    const needed = [...neededBy("lib/layers/plan.ts")];
    expect(needed.filter((name) => /^(node:)?fs/.test(name))).toEqual([]);
  });

  test("only the edge knows arguments, environment and exit", () => {
    const edge = (path: string) => path === "restorer.ts" || path === "lib/session.ts" || path.startsWith("lib/cli/");
    expect(
      linesWith(
        /\bprocess\.(argv|env|exit|exitCode)\b|\bBun\.(argv|env)\b|\} = process\b|process\[|node:process|import\.meta\.env/,
        edge,
      ),
    ).toEqual([]);
  });

  test("what reads files of others writes none", () => {
    const readers = files.filter(({ path }) => ["toml", "caches", "oci"].includes(roomOf(path)));
    expect(readers.flatMap((file) => takenFromFs(file, changes).map((name) => `${file.path}: ${name}`))).toEqual([]);
    expect(linesWith(/\bBun\.write\b/, () => false)).toEqual([]);
  });

  test("caches know no report, and http no registry", () => {
    const rooms = graph(roomOf);
    expect([...(rooms.get("caches") ?? [])].filter((room) => room === "layers")).toEqual([]);
    expect([...(rooms.get("http") ?? [])].filter((room) => !room.startsWith("lib/") && room !== "disk")).toEqual([]);
  });

  test("only disk/ removes, renames, links, chmods and chowns, and the extractor in a tree that it made itself", () => {
    const others = files.filter(({ path }) => roomOf(path) !== "disk" && path !== "lib/archive/extract.ts");
    expect(others.flatMap((file) => takenFromFs(file, dangerous).map((name) => `${file.path}: ${name}`))).toEqual([]);
  });

  test("rooms are one level deep", () => {
    expect(files.map(({ path }) => path).filter((path) => path.split("/").length > 3)).toEqual([]);
  });

  test("what reads files of others takes nothing from disk/ that writes", () => {
    const readers = files.filter(({ path }) => ["toml", "caches", "oci", "http", "registry"].includes(roomOf(path)));
    const taken = readers.flatMap(({ path, imports }) =>
      imports.flatMap(({ from, isTypeOnly }) => (roomOf(from) === "disk" && !isTypeOnly ? [`${path}: ${from}`] : [])),
    );
    const mayBeTaken =
      /: lib\/disk\/(foreign-links|read-file|file-bytes|permissions|read-only-directory|descriptors|second-user|user)\.ts$/;
    expect(taken.filter((line) => !mayBeTaken.test(line))).toEqual([]);
  });
});

describe("documents", () => {
  test("name no file of lib/ or test/ that is not there", () => {
    const documents = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/contract.md"];
    const named = documents.flatMap((name) => {
      const text = readFileSync(join(project, name), "utf8");
      return [...text.matchAll(/`((?:lib|test|docs|bench|build)\/[\w./-]+)`/g)].map(
        ([, path = ""]) => [name, path] as const,
      );
    });
    expect(named.length).toBeGreaterThan(10);
    expect(
      named.filter(([, path]) => !existsSync(join(project, path)) && !existsSync(join(project, `${path}.ts`))),
    ).toEqual([]);
  });
});

describe("ARCHITECTURE.md", () => {
  const text = readFileSync(join(project, "ARCHITECTURE.md"), "utf8");
  const rooms = readdirSync(join(project, "lib"), { withFileTypes: true }).filter((entry) => entry.isDirectory());

  test.each(rooms.map(({ name }) => name))("tells what lib/%s is for", (name) => {
    expect(text.includes(`### ${name}/`)).toBe(true);
  });

  test("names no file that is not there", () => {
    const named = [...text.matchAll(/`((?:lib|test|docs|bench|build)\/[\w./-]+)`/g)].map(([, path = ""]) => path);
    expect(
      named.filter((path) => !new Bun.Glob(path).scanSync({ cwd: project, onlyFiles: false }).next().value),
    ).toEqual([]);
  });
});

test("no source file is longer than 300 lines", () => {
  const sources = ["lib", "test", "bench", "build"]
    .flatMap((top) => [...new Bun.Glob(`${top}/**/*.ts`).scanSync({ cwd: project })])
    .filter((path) => !path.startsWith("test/conformance/cases/"));
  expect(sources.length).toBeGreaterThan(100);
  const long = ["restorer.ts", ...sources].filter(
    (path) => readFileSync(join(project, path), "utf8").split("\n").length > 301,
  );
  expect(long).toEqual([]);
});

test("how an import is found: the walls would show what breaks them", () => {
  expect(
    findCircle(
      new Map([
        ["a", new Set(["b"])],
        ["b", new Set(["c"])],
        ["c", new Set(["b"])],
      ]),
    ),
  ).toEqual(["b", "c", "b"]);
  expect(
    findCircle(
      new Map([
        ["a", new Set(["b"])],
        ["b", new Set()],
      ]),
    ),
  ).toBeUndefined();
  const extractor = byPath.get("lib/archive/extract.ts");
  expect(extractor && takenFromFs(extractor, dangerous)).toContain("mkdirSync");
  expect(roomOf("lib/layers/plan.ts")).toBe("layers");
  expect(roomOf("lib/errors.ts")).toBe("lib/errors.ts");
});
