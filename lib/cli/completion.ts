import { commands } from "./commands.ts";
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
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _restorer restorer
`,
  zsh: () => `#compdef restorer
_restorer() {
  local -a choices
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
      ...choices.flatMap((choice) =>
        choice.flags.map((flag) => {
          const where =
            choice.name === "restore" ? "__fish_use_subcommand" : `'__fish_seen_subcommand_from ${choice.name}'`;
          return `complete -c restorer -n ${where} -o ${flag.slice(1)}`;
        }),
      ),
      "",
    ].join("\n"),
};

/** A script that completes command lines in a shell; undefined for a shell that is not known. */
export function completionScript(shell: string): string | undefined {
  return Object.hasOwn(scripts, shell) ? scripts[shell]?.() : undefined;
}
