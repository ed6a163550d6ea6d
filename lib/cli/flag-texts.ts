import type { CommandName } from "./commands.ts";
import type { Flag } from "./flag.ts";

/** What flags mean to a command to which they mean something else than the table in `flags` says. */
const ownTexts: Partial<Record<CommandName, Readonly<Record<string, string>>>> = {
  "make-cache": {
    layers: "layers directory, whose layers are packed",
    group: "the buildpacks whose layers are packed; those of all directories, where there is no such file",
    "cache-dir": "directory to make, or an empty one; not in the layers directory",
    only: "pack these layers alone, whatever their types; may repeat, the variable has a comma list",
    uid: "user to own the files in the cache's archives, instead of the owner of each layer's directory",
    gid: "group to own the files in the cache's archives, instead of that of each layer's directory",
  },
};

/** What a flag means to a command. */
export function textOf(flag: Flag, command: CommandName): string {
  return ownTexts[command]?.[flag.name] ?? flag.description;
}

/** What a flag means to all commands that take it, each meaning of its own behind the common one. */
export function fullTextOf(flag: Flag): string {
  const own = Object.entries(ownTexts).flatMap(([command, texts]) => {
    const text = texts?.[flag.name];
    return text === undefined ? [] : [`; for ${command}: ${text}`];
  });
  return flag.description + own.join("");
}
