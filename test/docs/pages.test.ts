import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { have, skipUnless } from "../support/harness.ts";
import { manPagePath } from "./man-page.ts";
import { pages } from "./pages.ts";

const named = [...pages].map(([path, text]) => [basename(path), path, text] as const);

test.each(named)("docs/%s is what the code makes (bun test/cli/flags-page.ts)", (_, path, text) => {
  expect(readFileSync(path, "utf8")).toBe(text);
});

test("docs/ has no schema that no code makes", () => {
  const found = readdirSync(dirname(manPagePath)).filter((name) => name.endsWith(".schema.json"));
  expect(found.sort()).toEqual(
    named
      .map(([name]) => name)
      .filter((name) => name.endsWith(".schema.json"))
      .sort(),
  );
});

skipUnless(have("mandoc"), "mandoc")("the man page is one", () => {
  const { stdout, exitCode } = Bun.spawnSync(["mandoc", "-T", "lint", "-W", "error", manPagePath]);
  expect({ exitCode, stdout: stdout.toString() }).toEqual({ exitCode: 0, stdout: "" });
});
