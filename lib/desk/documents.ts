import { version } from "../cli/version.ts";
import { describe } from "../errors.ts";
import { toSafeJson } from "../layers/report.ts";
import { codeOf, exitCodeOf } from "../session.ts";
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
  const failure: Failure = { tool, command, exitCode: exitCodeOf(error), error: errorAsData(error) };
  return `${toSafeJson(failure)}\n`;
}

/** Why something failed, with its code. */
export function errorAsData(error: unknown): Failure["error"] {
  return { code: codeOf(error), text: describe(error) };
}
