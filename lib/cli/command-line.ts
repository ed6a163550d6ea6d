import yargs from "yargs";
import type { RestorerError } from "../failures.ts";
import { newestPlatformApi } from "../platform-api.ts";
import { count, quote } from "../text.ts";
import { type Arguments, findFlag, invalid, readBoolean } from "./arguments.ts";
import { type CommandName, commandNamed, commands } from "./commands.ts";
import { flags, takes } from "./flags.ts";

/** What the command line of a command gave: flags, and the words between them. */
export interface CommandLine {
  readonly given: Arguments;
  readonly words: readonly string[];
}

/**
 * Reads the arguments behind a command's name. Flags may stand anywhere and are written as for a restore, so that the
 * arguments of one can be pasted. Flags newer than Platform API 0.`minor` are unknown. Throws a RestorerError (exit 3).
 */
export function parseCommandLine(
  name: CommandName,
  argv: readonly string[],
  minor: number = newestPlatformApi,
): CommandLine {
  const ownFlags = flags.filter((flag) => takes(name, flag));
  const withoutValue = new Set(ownFlags.filter(({ kind }) => kind === "boolean").map((flag) => flag.name));
  const parser = toParser(twoDashes(name, argv, minor))
    .strictOptions()
    .parserConfiguration({
      "boolean-negation": false,
      "camel-case-expansion": false,
      "dot-notation": false,
      "greedy-arrays": false,
      "parse-numbers": false,
      "parse-positional-numbers": false,
    })
    .fail((message, error) => {
      throw error ?? invalid(`${name}: ${message}`);
    });
  for (const flag of ownFlags) {
    parser.option(flag.name, withoutValue.has(flag.name) ? { boolean: true } : { string: true, requiresArg: true });
  }
  const { _: words, $0: _program, ...found } = parser.parseSync();
  const given = toArguments(found, ownFlags);
  // Who asks for help may not know yet which words there are.
  const isAnswered = ["help", "version"].some((flag) => given.booleans.get(flag) === true);
  return { given, words: isAnswered ? [] : checkWords(name, words.map(String)) };
}

/** The arguments in yargs's form: a flag has two dashes. */
function twoDashes(name: CommandName, argv: readonly string[], minor: number): string[] {
  const end = argv.indexOf("--");
  return argv.map((argument, at) => {
    const flag = /^--?([^-=][^=]*)/.exec(argument)?.[1];
    if (flag === undefined || (end >= 0 && at > end)) return argument;
    const previous = /^--?([^-=][^=]*)$/.exec(argv[at - 1] ?? "")?.[1];
    // What looks like a flag may be the value of one.
    if (previous !== undefined && flags.some((known) => known.name === previous && known.kind !== "boolean")) {
      return argument;
    }
    const { kind } = findFlag(flag, name, minor);
    const inline = /=([\s\S]*)$/.exec(argument)?.[1];
    // yargs knows fewer words for true and false than Go.
    if (kind === "boolean" && inline !== undefined) return `--${flag}=${readBoolean(flag, inline)}`;
    return `--${argument.replace(/^--?/, "").replace(/^h$/, "help")}`;
  });
}

function toArguments(found: Readonly<Record<string, unknown>>, ownFlags: typeof flags): Arguments {
  const text = new Map<string, string>();
  const lists = new Map<string, readonly string[]>();
  const booleans = new Map<string, boolean>();
  for (const { name, kind } of ownFlags) {
    const values = [found[name]].flat().filter((value) => value !== undefined);
    const last = values.at(-1);
    if (last === undefined) continue;
    if (kind === "boolean") booleans.set(name, last === true);
    else if (kind === "list") lists.set(name, values.map(String));
    else text.set(name, String(last));
  }
  return { text, lists, booleans };
}

function checkWords(name: CommandName, words: readonly string[]): readonly string[] {
  const command = commandNamed(name);
  const known: readonly string[] = command?.words ?? [];
  const needed = known.filter((word) => !word.startsWith("["));
  if (words.length < needed.length) throw invalid(`${name} needs ${command?.needs ?? needed.join(" and ")}`);
  const extra = words[known.length];
  if (extra === undefined) return words;
  const most = known.length === 0 ? "no words" : `no more than ${count(known.length, "word")} (${known.join(" ")})`;
  throw invalid(`${name} takes ${most}; ${quote(extra)} is one too many`);
}

const usage = "Usage: restorer [COMMAND] [flag]...; see restorer help";

/** The error for a word that is not a command, in the words of the reference, with the nearest one. */
export function unknownCommand(word: string): RestorerError {
  return invalid(
    `received unexpected Args: ${quote(word)} is neither a command nor a flag${nearestCommand(word)}`,
    usage,
  );
}

/** The command that is nearest to a word in the judgement of yargs, as a question; nothing where none is near. */
export function nearestCommand(word: string): string {
  let said = "";
  const parser = toParser([word])
    .recommendCommands()
    .strictCommands()
    .fail((message) => {
      said += message;
    });
  for (const { name } of commands) parser.command(name, "");
  parser.parseSync();
  const nearest = commands.find(({ name }) => said.includes(`Did you mean ${name}?`));
  return nearest === undefined ? "" : `; did you mean ${nearest.name}?`;
}

/** It looks for no package.json in the current directory, which may hold anybody's files. */
function toParser(argv: readonly string[]) {
  return yargs([...argv], "/")
    .locale("en")
    .exitProcess(false)
    .help(false)
    .version(false);
}
