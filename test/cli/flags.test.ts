import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { flags, takes, variablesOf } from "../../lib/cli/flags.ts";
import { variables } from "../../lib/cli/variables.ts";
import { flagsPage, flagsPagePath } from "./flags-page.ts";

test("docs/flags.md says what the tables say; `bun test/cli/flags-page.ts` writes it anew", () => {
  expect(readFileSync(flagsPagePath, "utf8")).toBe(flagsPage());
});

test("no flag and no variable stands twice", () => {
  const names = flags.map(({ name }) => name);
  expect(names).toEqual([...new Set(names)]);
  const all = [...flags.flatMap(variablesOf), ...Object.keys(variables)];
  expect(all).toEqual([...new Set(all)]);
});

test("a flag with a value names it in help, a boolean does not", () => {
  for (const { name, kind, value } of flags)
    expect({ name, named: value !== undefined }).toEqual({ name, named: kind !== "boolean" });
});

test("explain takes every flag of a restore, whose command line is pasted to it, but for the report that it does not write", () => {
  const lacking = flags.filter((flag) => takes("restore", flag) && !takes("explain", flag));
  expect(lacking.map(({ name }) => name)).toEqual(["report"]);
});
