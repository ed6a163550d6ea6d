import yargs from "yargs";
import { platformGates } from "../platform-api.ts";
import { type CommandName, commandNamed, commands, usageOf } from "./commands.ts";
import type { Flag } from "./flag.ts";
import { textOf } from "./flag-texts.ts";
import { flags, takes, variablesOf } from "./flags.ts";
import { type Variable, variables } from "./variables.ts";

const widest = 110;
/** A longer one has a line of its own, or it would push the texts of all tables to the right. */
const longestName = 24;

type Row = readonly [name: string, text: string];

/** What a process ends with. */
export const exitCodes: readonly Row[] = [
  ["0", "done; trouble with the cache is a warning"],
  ["1", "failed; the message says what and why. Of diff -exit-code: there are differences"],
  ["3", "unknown command or flag, wrong value, or unexpected argument"],
  ["11, 12", "Platform API or Buildpack API not supported"],
  ["42", "layers cannot be written, trouble with the cache under -strict, or verify found a bad blob"],
  ["128+n", "stopped by signal n"],
];

/**
 * The help text of a command, at most as wide as `columns`: every flag it takes in its section, with variables and default.
 * yargs is loaded only here and for the commands of the desk: it costs more time to load than a restore without layers takes.
 */
export async function helpText(columns: number, command: CommandName): Promise<string> {
  const parser = yargs([], "/")
    .scriptName("restorer")
    .locale("en")
    .version(false)
    .help(false)
    .updateStrings({ "Positionals:": "Arguments:" })
    .usage(usage(command))
    .wrap(Math.min(columns, widest))
    .epilogue(command === "restore" ? footer() : shortFooter(command));
  for (const [word, describe] of commandNamed(command)?.arguments ?? []) parser.positional(word, { describe });
  for (const flag of flags.filter((known) => takes(command, known))) {
    parser.option(flag.name, { group: `${flag.section}:`, describe: describeFlag(flag, command) });
  }
  return (await parser.getHelp()).replace(/^( +)--/gm, "$1 -").replace(/ +$/gm, "");
}

function usage(name: CommandName): string {
  if (name === "restore") {
    return `Brings layers and metadata of an earlier build back before the next one.\n\n${usageOf(name)}`;
  }
  return `restorer ${name}: ${commandNamed(name)?.summary ?? ""}.\n\n${usageOf(name)}`;
}

function shortFooter(command: CommandName): string {
  return [
    table("Examples:", commandNamed(command)?.examples ?? []),
    "See `restorer help` for the other commands, variables and exit codes.",
  ].join("\n\n");
}

function describeFlag(flag: Flag, command: CommandName): string {
  // Where no Platform API is followed, none is too old.
  const since = command === "restore" || command === "explain" ? flag.since : undefined;
  const notes = [
    variablesOf(flag)
      .map((name) => `$${name}`)
      .join(" or "),
    flag.default && `default ${flag.default}`,
    since && `since Platform API 0.${platformGates[since].since}`,
  ].filter((note) => note);
  const value = flag.value === undefined ? "" : `${flag.value}: `;
  return `${value}${textOf(flag, command)}${notes.length > 0 ? ` [${notes.join("; ")}]` : ""}`;
}

/**
 * What comes after the flags. A tab parts the columns of a table (cliui's layout language); yargs wraps them, and every
 * line without a tab, so nothing is wrapped here.
 */
function footer(): string {
  const furtherVariables = Object.entries(variables).map(([name, variable]): Row => [name, describeVariable(variable)]);
  return [
    "A flag is written -flag value, -flag=value or --flag; one that takes no value is turned off with -flag=false. " +
      "A flag wins over its environment variable.",
    table(
      "Commands:",
      commands.map(({ name, words, summary }): Row => [[name, ...words].join(" "), summary]),
    ),
    table("Further environment variables:", furtherVariables),
    table("Exit codes:", exitCodes),
    table("Examples:", commandNamed("restore")?.examples ?? []),
  ].join("\n\n");
}

function describeVariable(variable: Variable): string {
  return variable.default === undefined
    ? variable.description
    : `${variable.description} [default ${variable.default}]`;
}

function table(title: string, rows: readonly Row[]): string {
  const line = ([name, text]: Row) => (name.length > longestName ? `  ${name}\n  \t  ${text}` : `  ${name}\t  ${text}`);
  return [title, ...rows.map(line)].join("\n");
}
