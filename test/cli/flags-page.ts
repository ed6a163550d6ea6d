import { resolve } from "node:path";
import type { Flag } from "../../lib/cli/flag.ts";
import { fullTextOf } from "../../lib/cli/flag-texts.ts";
import { flags, variablesOf } from "../../lib/cli/flags.ts";
import { type Variable, variables } from "../../lib/cli/variables.ts";
import { buildpackGates, type Gate, platformGates } from "../../lib/platform-api.ts";
import { code, plain, table } from "../docs/page.ts";

export const flagsPagePath = resolve(import.meta.dir, "../../docs/flags.md");

/** The text of docs/flags.md, made from the tables of the code. `bun test/cli/flags-page.ts` writes it. */
export function flagsPage(): string {
  const sections = [...new Set(flags.map(({ section }) => section))];
  return `${[
    "# Flags and environment variables",
    "This page is made from the tables in `lib/cli/flags.ts`, `lib/cli/variables.ts` and `lib/platform-api.ts`; a test holds it\nequal. A flag wins over its variable, and a variable over the default.",
    ...sections.flatMap((section) => [
      `## ${section}`,
      table(
        ["flag", "variable", "default", "since", "meaning"],
        flags.filter((flag) => flag.section === section).map(flagRow),
      ),
    ]),
    "## Variables without a flag",
    table(["variable", "default", "meaning"], Object.entries<Variable>(variables).map(variableRow)),
    "## What changed in which API",
    table(["API", "from then on"], [...gateRows("Platform", platformGates), ...gateRows("Buildpack", buildpackGates)]),
  ].join("\n\n")}\n`;
}

function flagRow(flag: Flag): string[] {
  return [
    code(flag.value === undefined ? `-${flag.name}` : `-${flag.name} ${flag.value}`),
    variablesOf(flag).map(code).join(", "),
    flag.default === undefined ? "" : code(flag.default),
    flag.since === undefined ? "" : `0.${platformGates[flag.since].since}`,
    plain(fullTextOf(flag)),
  ];
}

function variableRow([name, variable]: [string, Variable]): string[] {
  return [code(name), variable.default === undefined ? "" : code(variable.default), plain(variable.description)];
}

function gateRows(api: string, gates: Readonly<Record<string, Gate>>): string[][] {
  return Object.values(gates).map(({ since, what }) => [`${api} 0.${since}`, plain(what)]);
}

if (import.meta.main) {
  await Bun.write(flagsPagePath, flagsPage());
  // Flags stand there, too.
  const { writePages } = await import("../docs/pages.ts");
  await writePages();
}
