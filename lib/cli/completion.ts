import { shellQuote } from "../text.ts";
import { type CommandName, commands } from "./commands.ts";
import type { Flag } from "./flag.ts";
import { textOf } from "./flag-texts.ts";
import { flags, takes } from "./flags.ts";

/** What may stand at a place: one of these words, a file, or what no shell can know. */
type Value = readonly string[] | "file" | "anything";

const names = commands.map(({ name }) => name);
const shells = ["bash", "zsh", "fish"];

/** The value of a flag; undefined where it takes none. */
function argumentOf({ kind, value, choices }: Flag): Value | undefined {
  if (kind === "boolean") return undefined;
  return choices ?? (value === "PATH" || value === "CACHE" ? "file" : "anything");
}

/** The words behind a command. */
function wordOf(command: CommandName): Value {
  if (command === "help") return names;
  if (command === "completion") return shells;
  return command === "inspect" || command === "verify" || command === "diff" ? "file" : "anything";
}

function flagsOf(command: CommandName): readonly Flag[] {
  return flags.filter((flag) => takes(command, flag));
}

/** The flags with each kind of value, as patterns of `case`: those with words first, each by itself. */
function cases(line: (pattern: string, value: Value) => string): string {
  const patterns = (wanted: Value) =>
    flags.flatMap((flag) => (argumentOf(flag) === wanted ? [`-${flag.name}`] : [])).join("|");
  return [
    ...flags.flatMap(({ name, choices }) => (choices === undefined ? [] : [line(`-${name}`, choices)])),
    line(patterns("file"), "file"),
    line(patterns("anything"), "anything"),
  ].join("\n");
}

const desk = names.filter((name) => name !== "restore");

function bash(): string {
  const file = `mapfile -t COMPREPLY < <(compgen -f -- "$cur"); compopt -o filenames 2>/dev/null`;
  const give = (value: Value) =>
    value === "file"
      ? file
      : value === "anything"
        ? ":"
        : `mapfile -t COMPREPLY < <(compgen -W "${value.join(" ")}" -- "$cur")`;
  return `_restorer() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" command=restore words dash=
  COMPREPLY=()
  # bash takes = and : for words.
  if [ "$cur" = "=" ]; then cur=; elif [ "$prev" = "=" ]; then prev="\${COMP_WORDS[COMP_CWORD-2]}"; fi
  if [ "$cur" = ":" ]; then cur=; prev=:; fi
  if [ "$COMP_CWORD" -gt 1 ]; then
    case "\${COMP_WORDS[1]}" in ${desk.join("|")}) command="\${COMP_WORDS[1]}" ;; esac
  fi
  case "\${prev/#--/-}" in
${cases((pattern, value) => `    ${pattern}) ${give(value)}; return ;;`)}
    :) ${file}; return ;;
  esac
  case "$cur" in
    -*)
      case "$command" in
${names
  .map(
    (name) =>
      `        ${name}) words="${flagsOf(name)
        .map((flag) => `-${flag.name}`)
        .join(" ")}" ;;`,
  )
  .join("\n")}
      esac
      case "$cur" in --*) dash=- ;; esac
      mapfile -t COMPREPLY < <(compgen -P "$dash" -W "$words" -- "\${cur#"$dash"}")
      return ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then command=; fi
  case "$command" in
    "") ${give(names)} ;;
${names.flatMap((name) => (wordOf(name) === "anything" ? [] : [`    ${name}) ${give(wordOf(name))} ;;`])).join("\n")}
  esac
}
complete -F _restorer restorer
`;
}

function zsh(): string {
  const give = (value: Value) =>
    value === "file" ? "_files" : value === "anything" ? "_message value" : `compadd -- ${value.join(" ")}`;
  const described = (pairs: readonly (readonly [string, string])[]) =>
    pairs.map(([name, text]) => shellQuote(`${name}:${text}`)).join(" ");
  return `#compdef restorer
# The value of a flag; 1 where it takes none.
_restorer_value() {
  case "\${1/#--/-}" in
${cases((pattern, value) => `    ${pattern}) ${give(value)} ;;`)}
    *) return 1 ;;
  esac
}
_restorer() {
  local command=restore
  local -a choices
  if (( CURRENT > 2 )); then
    case "$words[2]" in ${desk.join("|")}) command="$words[2]" ;; esac
  fi
  _restorer_value "$words[CURRENT-1]" && return
  if [[ "$PREFIX" == -*=* ]]; then
    local flag="\${PREFIX%%=*}"
    compset -P '*='
    _restorer_value "$flag"
    return
  fi
  if [[ "$PREFIX" == -* ]]; then
    case "$command" in
${names.map((name) => `      ${name}) choices=(${described(flagsOf(name).map((flag) => [`-${flag.name}`, textOf(flag, name)]))}) ;;`).join("\n")}
    esac
    [[ "$PREFIX" == --* ]] && choices=("\${choices[@]/#-/--}")
    _describe -o flag choices
    return
  fi
  if (( CURRENT == 2 )); then
    choices=(${described(commands.map(({ name, summary }) => [name, summary]))})
    _describe command choices
    return
  fi
  [[ "$PREFIX" == (oci|layers):* ]] && compset -P '*:'
  case "$command" in
${names.flatMap((name) => (wordOf(name) === "anything" ? [] : [`    ${name}) ${give(wordOf(name))} ;;`])).join("\n")}
  esac
}
if [ "$funcstack[1]" = _restorer ]; then _restorer "$@"; else compdef _restorer restorer; fi
`;
}

function fish(): string {
  const text = (words: string) => `'${words.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const give = (value: Value | undefined) =>
    value === undefined
      ? ""
      : value === "file"
        ? " -r -F"
        : value === "anything"
          ? " -x"
          : ` -x -a '${value.join(" ")}'`;
  const flagLines = flags.flatMap((flag) => {
    const takers = Map.groupBy(
      names.filter((name) => takes(name, flag)),
      (name) => textOf(flag, name),
    );
    return [...takers].map(
      ([meaning, those]) =>
        `complete -c restorer -n '__restorer_is ${those.join(" ")}' -o ${flag.name}${give(argumentOf(flag))} -d ${text(meaning)}`,
    );
  });
  const wordLines = names.flatMap((name) => {
    const value = wordOf(name);
    if (value === "anything") return [];
    return [`complete -c restorer -n '__restorer_is ${name}'${value === "file" ? " -F" : ` -a '${value.join(" ")}'`}`];
  });
  return `function __restorer_is
  set -l words (commandline -opc)
  set -l command restore
  if contains -- "$words[2]" ${desk.join(" ")}
    set command $words[2]
  end
  contains -- $command $argv
end
complete -c restorer -f
${commands.map(({ name, summary }) => `complete -c restorer -n 'test (count (commandline -opc)) -eq 1' -a ${name} -d ${text(summary)}`).join("\n")}
${[...wordLines, ...flagLines].join("\n")}
`;
}

const scripts: Readonly<Record<string, () => string>> = { bash, zsh, fish };

/** A script that completes command lines in a shell; undefined for a shell that is not known. */
export function completionScript(shell: string): string | undefined {
  return Object.hasOwn(scripts, shell) ? scripts[shell]?.() : undefined;
}
