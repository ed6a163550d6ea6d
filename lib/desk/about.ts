import { invalid } from "../cli/arguments.ts";
import { commandNamed } from "../cli/commands.ts";
import { textOf } from "../cli/flag-texts.ts";
import { flags, takes, variablesOf } from "../cli/flags.ts";
import { version } from "../cli/version.ts";
import { ExitCode } from "../failures.ts";
import { help } from "../session.ts";
import { quote } from "../text.ts";
import type { Desk } from "./desk.ts";
import type { Found } from "./document-schemas.ts";
import { writeDocument } from "./documents.ts";

/** `restorer version`. */
export async function tellVersion(desk: Desk): Promise<number> {
  if (desk.isJson) writeDocument(desk, "version", {});
  else desk.line(`restorer ${version}`);
  return ExitCode.ok;
}

/** `restorer help [COMMAND]`. */
export async function tellHelp(desk: Desk): Promise<number> {
  const [word = "restore"] = desk.options.words;
  const command = commandNamed(word);
  if (command === undefined) {
    const { nearestCommand } = await import("../cli/command-line.ts");
    throw invalid(`help: ${quote(word)} is not a command${nearestCommand(word)}`);
  }
  if (desk.isJson) writeDocument(desk, "help", asData(command));
  else desk.write(`${await help(command.name)}\n`);
  return ExitCode.ok;
}

/** A command, with the flags that it takes. */
function asData({
  name,
  words,
  arguments: meanings = [],
  summary,
}: ReturnType<typeof commandNamed> & object): Found<"help"> {
  const own = flags.filter((flag) => takes(name, flag));
  return {
    name,
    words: [...words],
    arguments: meanings.map(([name, description]) => ({ name, description })),
    summary,
    flags: own.map((flag) => ({
      name: flag.name,
      value: flag.value ?? null,
      variables: [...variablesOf(flag)],
      default: flag.default ?? null,
      description: textOf(flag, name),
    })),
  };
}

/** `restorer completion bash|zsh|fish`. */
export async function tellCompletion(desk: Desk): Promise<number> {
  const [shell = ""] = desk.options.words;
  const { completionScript } = await import("../cli/completion.ts");
  const script = completionScript(shell);
  if (script === undefined) throw invalid(`completion: ${quote(shell)} is not one of bash, zsh and fish`);
  if (desk.isJson) writeDocument(desk, "completion", { shell, script });
  else desk.write(script);
  return ExitCode.ok;
}
