import type { SharedPlaces } from "../disk/bounds.ts";
import { replaceFile } from "../disk/replace-file.ts";
import { describe } from "../errors.ts";
import { ExitCode, RestorerError } from "../failures.ts";
import { quote } from "../text.ts";
import { formatToml } from "../toml/toml.ts";
import type { TomlTable } from "../toml/values.ts";

/**
 * Writes analyzed.toml anew (contract §2, D18). A link that leads out of a directory that others write to is replaced, not
 * followed. Throws a RestorerError (exit 42).
 */
export function writeAnalyzed(path: string, table: TomlTable, shared: SharedPlaces, umask: number): void {
  try {
    replaceFile(path, Buffer.from(formatToml(table)), { umask, shared, otherLinks: "replace" });
  } catch (error) {
    throw new RestorerError(`write analyzed metadata ${quote(path)}: ${describe(error)}`, {
      exitCode: ExitCode.restoreFailed,
      cause: error,
      hint: "Its directory must be writable for the user the restorer runs as.",
    });
  }
}
