import { commandNamed, usageHint } from "../cli/commands.ts";
import { version } from "../cli/version.ts";
import { errorAsData, toSafeJson } from "../layers/report.ts";
import { exitCodeOf } from "../session.ts";
import type { Desk } from "./desk.ts";
import type { DocumentKind, Failure, Found } from "./document-schemas.ts";

const tool = { name: "restorer", version } as const;

/** Writes the result of a command as JSON: what made it, then what it found. No character of it controls a terminal. */
export function writeDocument<K extends DocumentKind>(desk: Desk, kind: K, found: Found<K>): void {
  desk.write(`${documentHead(kind, found)}\n`);
}

/** The text of a document that may go on: it ends with a closing brace on a line of its own. */
export function documentHead<K extends DocumentKind>(kind: K, found: Partial<Found<K>>): string {
  return toSafeJson({ tool, command: kind.replace(/-layers?$/, ""), ...found });
}

/** What stands in place of a result, where there is none: why. */
export function formatFailure(command: string, error: unknown): string {
  const exitCode = exitCodeOf(error);
  const data = errorAsData(error);
  const name = commandNamed(command)?.name;
  const hint = data.code === "invalid-arguments" && name !== undefined ? { hint: usageHint(name) } : {};
  const failure: Failure = { tool, command, exitCode, error: { ...data, ...hint } };
  return `${toSafeJson(failure)}\n`;
}
