/** Every report and document that the tests make is held against its schema, keys that no schema has included. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import * as v from "valibot";
import { type DocumentKind, documentSchemas, failureSchema } from "../../lib/desk/document-schemas.ts";
import { reportSchema } from "../../lib/layers/report-schema.ts";

interface Run {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Throws an Error where a run wrote a report, or a document to stdout, that its schema does not fit. */
export function checkDocuments(args: readonly string[], { cwd, env = {} }: Run, stdout: string): void {
  const [command = ""] = args;
  if (isJsonWanted(args)) checkOutput(command, stdout);
  const named = lastValue(args, "report") ?? env["CNB_RESTORE_REPORT"] ?? "";
  if (named === "" || named === "-" || command in documentSchemas) return;
  const text = readIfFile(resolve(cwd, named));
  if (text?.startsWith('{\n  "reportVersion"')) check(reportSchema, text);
}

function isJsonWanted(args: readonly string[]): boolean {
  return (args[0] ?? "") in documentSchemas && lastValue(args, "output") === "json";
}

/** Nothing was written where the command line was wrong, or the run was stopped; a file's bytes are not a document. */
function checkOutput(command: string, stdout: string): void {
  if (!stdout.startsWith('{\n  "tool"')) return;
  const document: unknown = JSON.parse(stdout);
  if (v.is(failureSchema, document)) return;
  const kinds = (Object.keys(documentSchemas) as DocumentKind[]).filter(
    (kind) => kind.replace(/-layers?$/, "") === command,
  );
  const problems = kinds.map((kind) => problemWith(documentSchemas[kind], document));
  if (problems.every((problem) => problem !== undefined)) throw new Error(`${stdout}\n${problems.join("\n")}`);
}

function check(schema: v.GenericSchema, text: string): void {
  const problem = problemWith(schema, JSON.parse(text));
  if (problem !== undefined) throw new Error(`${text}\n${problem}`);
}

/** A schema drops what it does not know. */
function problemWith(schema: v.GenericSchema, document: unknown): string | undefined {
  const { success, output, issues } = v.safeParse(schema, document);
  if (!success) return issues.map((issue) => `${v.getDotPath(issue)}: ${issue.message}`).join("; ");
  return Bun.deepEquals(output, document) ? undefined : "it has keys that its schema does not know";
}

/** The last value that a flag is given, as far as this can be told without the rules of the command line. */
function lastValue(args: readonly string[], flag: string): string | undefined {
  const at = args.findLastIndex((word) => new RegExp(`^--?${flag}(=|$)`).test(word));
  const word = args[at];
  return word === undefined ? undefined : (/=([\s\S]*)/.exec(word)?.[1] ?? args[at + 1]);
}

/** Nobody but root may read some of them. */
function readIfFile(path: string): string | undefined {
  try {
    return existsSync(path) && statSync(path).isFile() ? readFileSync(path, "utf8") : undefined;
  } catch {
    return undefined;
  }
}
