import { ExitCode, RestorerError } from "../failures.ts";
import { platformGates, platformHas } from "../platform-api.ts";
import { quote } from "../text.ts";
import type { CommandName } from "./commands.ts";
import type { Flag } from "./flag.ts";
import { flagNamed, flags, takes } from "./flags.ts";

/** What the command line gave: a flag's last value, or all values of a list. */
export interface Arguments {
  readonly text: ReadonlyMap<string, string>;
  readonly lists: ReadonlyMap<string, readonly string[]>;
  readonly booleans: ReadonlyMap<string, boolean>;
}

/**
 * Reads arguments by the rules of Go's `flag` package: `-name value`, `-name=value`, `--name`; booleans only with `=`;
 * flags end at the first positional argument or at `--`. Flags newer than Platform API 0.`minor` are unknown.
 * Throws a RestorerError with exit code 3.
 */
export function parseArguments(argv: readonly string[], minor: number): Arguments {
  const text = new Map<string, string>();
  const lists = new Map<string, string[]>();
  const booleans = new Map<string, boolean>();
  let switched: string | undefined;

  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i] ?? "";
    if (argument === "--" && i + 1 === argv.length) break;
    const match = /^--?([^-=][^=]*)(?:=([\s\S]*))?$/.exec(argument);
    if (match === null) {
      if (switched !== undefined && parseBoolean(argument) !== undefined) throw notAFlag(argument, true, switched);
      throw notAFlag(argument === "--" ? (argv[i + 1] ?? "") : argument, argument !== "--");
    }
    const [, name = "", inline] = match;
    const flag = findFlag(name, "restore", minor);
    switched = flag.kind === "boolean" && inline === undefined ? flag.name : undefined;
    if (flag.kind === "boolean") {
      booleans.set(flag.name, inline === undefined || readBoolean(name, inline));
      continue;
    }
    const value = inline ?? argv[++i];
    if (value === undefined) throw invalid(`-${name} needs a value`);
    if (flag.kind === "list") lists.set(flag.name, [...(lists.get(flag.name) ?? []), value]);
    else text.set(flag.name, value);
  }
  return { text, lists, booleans };
}

/** The flag of a command by its name. Throws a RestorerError (exit 3) where there is none in Platform API 0.`minor`. */
export function findFlag(name: string, command: CommandName, minor: number): Flag {
  const flag = flagNamed(name === "h" ? "help" : name);
  if (flag === undefined) throw invalid(`unknown flag -${name}${suggestion(name, command, minor)}`);
  if (!takes(command, flag)) throw invalid(`unknown flag -${name}: ${command} does not take it`);
  if (flag.since === undefined || platformHas(minor, flag.since)) return flag;
  const { since } = platformGates[flag.since];
  throw invalid(`unknown flag -${name}: it exists since Platform API 0.${since}, this is 0.${minor}`);
}

/** Flags that are nearly spelled like an unknown name, else those that begin like it, as a question. */
function suggestion(name: string, command: CommandName, minor: number): string {
  const plain = (text: string) => text.replace(/[-_]/g, "").toLowerCase();
  const start = plain(name).slice(0, 4);
  const exists = (flag: Flag) => takes(command, flag) && (flag.since === undefined || platformHas(minor, flag.since));
  const known = flags.filter(exists);
  const near = known.filter((flag) => isNear(plain(name), plain(flag.name)));
  const similar = near.length > 0 ? near : known.filter((flag) => plain(flag.name).startsWith(start));
  return similar.length === 0 ? "" : `, did you mean ${similar.map((flag) => `-${flag.name}`).join(" or ")}?`;
}

/** Whether no more than two letters were left out, put in or exchanged, and most are right. */
function isNear(a: string, b: string): boolean {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (const [at, letter] of [...a].entries()) {
    let before = at + 1;
    row = row.map((above, column) => {
      if (column === 0) return before;
      const exchanged = (row[column - 1] ?? 0) + Number(b[column - 1] !== letter);
      before = Math.min(before + 1, above + 1, exchanged);
      return before;
    });
  }
  const distance = row.at(-1) ?? 0;
  return distance <= 2 && 2 * distance < b.length;
}

/** The value that a flag is given behind `=`. Throws a RestorerError (exit 3) for what is not a boolean. */
export function readBoolean(flag: string, text: string): boolean {
  const value = parseBoolean(text);
  if (value === undefined) throw invalid(`-${flag}=${text}: ${quote(text)} is neither true nor false`);
  return value;
}

/** Go's strconv.ParseBool: 1, t, T, TRUE, true, True, and the same of false; anything else is undefined. */
export function parseBoolean(text: string): boolean | undefined {
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
  return undefined;
}

/** A user or group id as Go's flag package reads integers: decimal, 0x…, 0o… or 0…, 0b…, `_` between digits. */
export function parseId(text: string): number | undefined {
  const match =
    /^\+?(0[xX]_?[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*|0[bB]_?[01]+(?:_[01]+)*|0[oO]?_?[0-7]+(?:_[0-7]+)*|0|[1-9][0-9]*(?:_[0-9]+)*)$/.exec(
      text,
    );
  const digits = match?.[1]?.replaceAll("_", "");
  if (digits === undefined) return undefined;
  const id = Number(/^0[0-7]/.test(digits) ? `0o${digits.slice(1)}` : digits);
  return id <= maxId ? id : undefined;
}

/** One more is (uid_t)-1, which means "leave as it is" to the kernel. */
export const maxId = 4294967294;

const usage = "Usage: restorer [-layers PATH] [-cache-dir PATH | -cache-image REF] [flag]...; see restorer -help";

/** An error of the command line: exit code 3 and a hint at -help. */
export function invalid(message: string, hint = usage): RestorerError {
  return new RestorerError(message, { exitCode: ExitCode.invalidArguments, hint });
}

/** In the words of the reference, which platforms may look for. `switched` is the flag before it, whose value it may be. */
function notAFlag(argument: string, checkSyntax: boolean, switched?: string): RestorerError {
  if (checkSyntax && argument.startsWith("-") && argument !== "-") return invalid(`bad flag syntax ${quote(argument)}`);
  const meant = switched === undefined ? "" : `; did you mean -${switched}=${argument}?`;
  return invalid(`received unexpected Args: ${quote(argument)} is not a flag${meant}`);
}
