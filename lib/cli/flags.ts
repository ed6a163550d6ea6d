import type { CommandName } from "./commands.ts";
import type { Flag } from "./flag.ts";
import { flagTable } from "./flag-table.ts";

type Entry = (typeof flagTable)[number];

/** Names of the flags of a kind, and of those that have a default. */
export type FlagName<Kind extends Flag["kind"]> = Extract<Entry, { kind: Kind }>["name"];
export type DefaultedFlag = Extract<Entry, { default: string }>["name"];

/** All flags, in the order of the table. */
export const flags: readonly Flag[] = flagTable;

const byName = new Map<string, Flag>();
for (const flag of flags) byName.set(flag.name, flag);

/** The flag of that name, or undefined. */
export function flagNamed(name: string): Flag | undefined {
  return byName.get(name);
}

/** All variables that stand in for a flag. */
export function variablesOf({ variables = [], anyValueOf }: Flag): readonly string[] {
  return anyValueOf === undefined ? variables : [...variables, anyValueOf];
}

/** Whether a command takes a flag. */
export function takes(command: CommandName, { commands = ["restore", "explain"] }: Flag): boolean {
  return commands === "all" || commands.includes(command);
}
