/** A command: what it is called, what it is given, and what it does. Its flags are those of the table in `flags` that name it. */
export interface Command {
  readonly name: string;
  /** The words that follow it; in brackets, those that may be missing. */
  readonly words: readonly string[];
  /** What each of them may be. */
  readonly arguments?: readonly (readonly [word: string, text: string])[];
  /** What is lacking where a word is missing. */
  readonly needs?: string;
  readonly summary: string;
  /** What for, and the command line. */
  readonly examples: readonly (readonly [what: string, line: string])[];
}

const aCache = "a directory, an image reference, or oci:DIR[:TAG], an OCI layout on disk";
const cacheWord = ["CACHE", `${aCache}; left out where a flag or a variable names the cache`] as const;
const layerWord = ["LAYER", "buildpack:layer, or any part of it that fits only one"] as const;

const table = [
  {
    name: "restore",
    words: [],
    summary: "brings layers and metadata back; so does restorer without a command",
    examples: [
      ["volume cache", "restorer -layers layers -cache-dir cache"],
      ["cache image", "restorer -cache-image registry.example/app-cache"],
      ["as root, for a user", "restorer -cache-dir /cache -uid 1000 -gid 1000"],
    ],
  },
  {
    name: "explain",
    words: ["[LAYER]"],
    arguments: [layerWord],
    summary: "what a restore would do with each layer, and why; changes nothing",
    examples: [
      ["all layers", "restorer explain -layers layers -cache-dir cache"],
      ["one, in sentences", "restorer explain -layers layers -cache-dir cache node_modules"],
    ],
  },
  {
    name: "inspect",
    words: ["[CACHE]", "[LAYER]", "[PATH]"],
    arguments: [cacheWord, layerWord, ["PATH", "a file of the layer, below the layer's directory"]],
    summary: "what is in a cache, in a layer of it, in a file",
    examples: [
      ["a cache", "restorer inspect cache"],
      ["a layer, by directories", "restorer inspect -tree -depth 1 cache jdk"],
      ["a file, on stdout", "restorer inspect cache jdk release"],
    ],
  },
  {
    name: "verify",
    words: ["[CACHE]", "[LAYER]"],
    arguments: [cacheWord, layerWord],
    summary: "whether every layer of a cache is sound, read to its end",
    examples: [
      ["all layers", "restorer verify cache"],
      ["one, for programs", "restorer verify -output json cache jdk"],
    ],
  },
  {
    name: "diff",
    words: ["A", "B", "[LAYER]"],
    needs: "two caches, A and B",
    arguments: [["A", aCache], ["B", "the same, or layers:DIR, a layers directory"], layerWord],
    summary: "what is different in another cache; or, where B is layers:DIR, what the next export will reuse",
    examples: [
      ["two caches", "restorer diff yesterday cache"],
      ["the next export", "restorer diff cache layers:layers"],
    ],
  },
  {
    name: "make-cache",
    words: [],
    summary: "a new volume cache of the layers in a layers directory, as an exporter writes it",
    examples: [
      ["of cached layers", "restorer make-cache -layers layers -cache-dir new"],
      ["of one layer", "restorer make-cache -layers layers -cache-dir new -only jdk"],
    ],
  },
  {
    name: "help",
    words: ["[COMMAND]"],
    arguments: [["COMMAND", "the name of one; without it the help is that of a restore, and lists all commands"]],
    summary: "what a command does, with its flags",
    examples: [["of a command", "restorer help verify"]],
  },
  { name: "version", words: [], summary: "the version", examples: [["as text", "restorer version"]] },
  {
    name: "completion",
    words: ["SHELL"],
    needs: "a shell: bash, zsh or fish",
    arguments: [["SHELL", "bash, zsh or fish"]],
    summary: "a script that completes command lines in bash, zsh or fish",
    examples: [
      ["in bash", "source <(restorer completion bash)"],
      ["in zsh, after compinit", "source <(restorer completion zsh)"],
      ["in fish", "restorer completion fish | source"],
    ],
  },
] as const satisfies readonly Command[];

export type CommandName = (typeof table)[number]["name"];

/** Every command but the restore, which platforms call. */
export type DeskCommand = Exclude<CommandName, "restore">;

/** All commands, in the order in which help lists them. */
export const commands: readonly (Command & { readonly name: CommandName })[] = table;

/** The command of that name, or undefined. */
export function commandNamed(name: string): (Command & { readonly name: CommandName }) | undefined {
  for (const command of commands) if (command.name === name) return command;
  return undefined;
}

/** How a command is called, on one line. */
export function usageOf(name: CommandName): string {
  const words = commandNamed(name)?.words ?? [];
  return `Usage: restorer ${[...(name === "restore" ? [] : [name]), "[flag]...", ...words].join(" ")}`;
}

/** How a command is called, for whom called it wrongly. */
export function usageHint(name: CommandName): string {
  return `${usageOf(name)}; see restorer help ${name}`;
}

/** The command that arguments name, the restore where they name none, and what follows it. */
export function splitCommand(argv: readonly string[]): { command: CommandName; rest: readonly string[] } {
  const command = commandNamed(argv[0] ?? "");
  return command === undefined ? { command: "restore", rest: argv } : { command: command.name, rest: argv.slice(1) };
}
