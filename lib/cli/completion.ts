import { type CommandName, commands } from "./commands.ts";
import { flags, takes } from "./flags.ts";

/** What may follow a command: its flags; and the commands themselves, where there is none yet. */
const choices = commands.map(({ name }) => ({
  name,
  flags: flags.filter((flag) => takes(name, flag)).map((flag) => `-${flag.name}`),
}));
const names = choices.map(({ name }) => name).join(" ");
const restoreFlags = choices.find(({ name }) => name === "restore")?.flags.join(" ") ?? "";

const scripts: Readonly<Record<string, () => string>> = {
  bash: () => `_restorer() {
  local words="${names} ${restoreFlags}"
  case "\${COMP_WORDS[1]}" in
${choices.map(({ name, flags }) => `    ${name}) words="${flags.join(" ")}" ;;`).join("\n")}
  esac
  [ "$COMP_CWORD" -eq 1 ] && words="${names} ${restoreFlags}"
  case "\${COMP_WORDS[COMP_CWORD-1]}" in
${values.map(({ after, words }) => `    ${after}) words="${words}" ;;`).join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _restorer restorer
`,
  zsh: () => `#compdef restorer
_restorer() {
  local -a choices
  case "$words[CURRENT-1]" in
${values.map(({ after, words }) => `    ${after}) compadd -- ${words}; return ;;`).join("\n")}
  esac
  choices=(${names} ${restoreFlags})
  if (( CURRENT > 2 )); then
    case "$words[2]" in
${choices.map(({ name, flags }) => `      ${name}) choices=(${flags.join(" ")}) ;;`).join("\n")}
    esac
  fi
  compadd -- $choices
  _files
}
compdef _restorer restorer
`,
  fish: () =>
    [
      ...commands.map(
        ({ name, summary }) =>
          `complete -c restorer -n __fish_use_subcommand -a ${name} -d '${summary.replaceAll("'", "")}'`,
      ),
      ...choices.flatMap((choice) => choice.flags.map((flag) => fishFlag(choice.name, flag))),
      ...values
        .filter(({ after }) => !after.startsWith("-"))
        .map(({ after, words }) => `complete -c restorer -n '__fish_seen_subcommand_from ${after}' -f -a '${words}'`),
      "",
    ].join("\n"),
};

/** What may follow a flag, or a command that takes no path. */
const values = [
  ...flags.flatMap(({ name, choices }) =>
    choices === undefined ? [] : [{ after: `-${name}`, words: choices.join(" ") }],
  ),
  { after: "help", words: names },
  { after: "completion", words: Object.keys(scripts).join(" ") },
];

function fishFlag(command: CommandName, flag: string): string {
  const where = command === "restore" ? "__fish_use_subcommand" : `'__fish_seen_subcommand_from ${command}'`;
  const words = values.find(({ after }) => after === flag)?.words;
  return `complete -c restorer -n ${where} -o ${flag.slice(1)}${words === undefined ? "" : ` -x -a '${words}'`}`;
}

/** A script that completes command lines in a shell; undefined for a shell that is not known. */
export function completionScript(shell: string): string | undefined {
  return Object.hasOwn(scripts, shell) ? scripts[shell]?.() : undefined;
}
