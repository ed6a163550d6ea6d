import type { DeskCommand } from "../cli/commands.ts";
import { version } from "../cli/version.ts";
import { toSafeJson } from "../layers/report.ts";
import type { Desk } from "./desk.ts";

/** Writes the result of a command as JSON: what made it, then what it found. No character of it controls a terminal. */
export function writeDocument(desk: Desk, command: DeskCommand, found: Readonly<Record<string, unknown>>): void {
  desk.write(`${toSafeJson({ tool: { name: "restorer", version }, command, ...found })}\n`);
}
