import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { schemaPages } from "./schema-pages.ts";

test.each([...schemaPages.keys()].map((path) => basename(path)))(
  "docs/%s is what the code makes (bun test/desk/schema-pages.ts)",
  (name) => {
    const [path = "", text] = [...schemaPages].find(([path]) => basename(path) === name) ?? [];
    expect(readFileSync(path, "utf8")).toBe(text ?? "");
  },
);

test("docs/ has no other schema", () => {
  const [first = ""] = schemaPages.keys();
  const found = readdirSync(dirname(first)).filter((name) => name.endsWith(".schema.json"));
  expect(found.sort()).toEqual([...schemaPages.keys()].map((path) => basename(path)).sort());
});
