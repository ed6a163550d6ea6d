import { resolve } from "node:path";
import { commandNamed, commands } from "../../lib/cli/commands.ts";
import type { Flag } from "../../lib/cli/flag.ts";
import { fullTextOf } from "../../lib/cli/flag-texts.ts";
import { flags, takes, variablesOf } from "../../lib/cli/flags.ts";
import { exitCodes } from "../../lib/cli/help.ts";
import { type Variable, variables } from "../../lib/cli/variables.ts";
import { platformGates } from "../../lib/platform-api.ts";

export const manPagePath = resolve(import.meta.dir, "../../docs/restorer.1");

/** The text of docs/restorer.1, made from the tables of the code. */
export function manPage(): string {
  const sections = [...new Set(flags.map(({ section }) => section))];
  return `${[
    '.\\" Made from the tables in lib/cli by test/cli/flags-page.ts.',
    '.TH RESTORER 1 "" "" "Cloud Native Buildpacks"',
    ".SH NAME",
    "restorer \\- brings layers and metadata of an earlier build back before the next one",
    ".SH SYNOPSIS",
    ...synopsis(),
    ".SH DESCRIPTION",
    text(
      "The restore phase of Cloud Native Buildpacks: layers that an earlier build left in a volume cache or a cache image come back into the layers directory, verified, complete or not at all. Without a command it restores.",
    ),
    text(
      "A flag is written -flag value, -flag=value or --flag; one that takes no value is turned off with -flag=false. A flag wins over its environment variable.",
    ),
    ".SH COMMANDS",
    ...commands.flatMap(({ name, words, summary, arguments: meanings = [] }) => [
      ".TP",
      `.B ${text([name, ...words].join(" "))}`,
      text(sentence(summary)),
      ...meanings.flatMap(([word, meaning]) => [".br", text(`${word} is ${meaning}.`)]),
    ]),
    ".SH OPTIONS",
    ...sections.flatMap((section) => [
      `.SS ${section}`,
      ...flags.filter((flag) => flag.section === section).flatMap(flagLines),
    ]),
    ".SH ENVIRONMENT",
    "Beside those of the options:",
    ...Object.entries<Variable>(variables).flatMap(([name, variable]) => [
      ".TP",
      `.B ${name}`,
      text(sentence(variable.description + (variable.default === undefined ? "" : ` [default ${variable.default}]`))),
    ]),
    ".SH EXIT STATUS",
    ...exitCodes.flatMap(([code, meaning]) => [".TP", `.B ${code}`, text(sentence(meaning))]),
    ".SH EXAMPLES",
    ...commands.flatMap(({ examples }) =>
      examples.flatMap(([what, line]) => [".TP", text(`${sentence(what).slice(0, -1)}:`), ".nf", text(line), ".fi"]),
    ),
  ].join("\n")}\n`;
}

function synopsis(): string[] {
  const shown = commands.filter(({ name }) => name !== "restore");
  const line = (words: readonly string[]) => [".br", `.B restorer`, text(words.join(" "))];
  return [
    ...line([`[${commandNamed("restore")?.name}]`, "[flag]..."]).slice(1),
    ...shown.flatMap(({ name, words }) => line([name, "[flag]...", ...words])),
  ];
}

function flagLines(flag: Flag): string[] {
  const takers = commands.filter(({ name }) => takes(name, flag)).map(({ name }) => name);
  const notes = [
    ...variablesOf(flag).map((name) => `$${name}`),
    ...(flag.default === undefined ? [] : [`default ${flag.default}`]),
    ...(flag.since === undefined ? [] : [`since Platform API 0.${platformGates[flag.since].since}`]),
    takers.length === commands.length ? "all commands" : takers.join(", "),
  ];
  const head = flag.value === undefined ? `-${flag.name}` : `-${flag.name} ${flag.value}`;
  return [".TP", `.B ${text(head)}`, text(`${sentence(fullTextOf(flag))} [${notes.join("; ")}]`)];
}

function sentence(words: string): string {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}

/** Text that roff leaves as it is. */
function text(words: string): string {
  return words
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/, "\\&$1")
    .replaceAll("…", "...");
}
