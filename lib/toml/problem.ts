import * as v from "valibot";
import { describe } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import { inline, quote } from "../text.ts";

/** What a parser or schema found wrong, with the path of the bad value, on one line: they quote what they read. */
export function explain(error: unknown): string {
  if (!(error instanceof v.ValiError)) return inline(describe(error));
  const [issue] = error.issues;
  const where = v.getDotPath(issue);
  return inline(where === null || where === undefined ? issue.message : `${where}: ${issue.message}`);
}

/** What is wrong with a file, with its name. */
export function explainFile(path: string, error: unknown): string {
  // What `readToml` throws begins with path and line already.
  return error instanceof RestorerError ? error.message : `${quote(path)}: ${explain(error)}`;
}
