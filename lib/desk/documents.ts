import type { DeskCommand } from "../cli/commands.ts";
import { version } from "../cli/version.ts";
import { toSafeJson } from "../layers/report.ts";
import type { Desk } from "./desk.ts";

/** Writes the result of a command as JSON: what made it, then what it found. No character of it controls a terminal. */
export function writeDocument(desk: Desk, command: DeskCommand, found: Readonly<Record<string, unknown>>): void {
  desk.write(`${documentHead(command, found)}\n`);
}

/** The text of a document that may go on: it ends with a closing brace on a line of its own. */
export function documentHead(command: DeskCommand, found: Readonly<Record<string, unknown>>): string {
  return toSafeJson({ tool: { name: "restorer", version }, command, ...found });
}
