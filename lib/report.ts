import { writeFileSync } from "node:fs";
import { describe, ExitCode, RestorerError } from "./errors.ts";
import { quote } from "./log.ts";

/** What happened to one layer. */
export interface LayerReport {
  readonly buildpack: string;
  readonly layer: string;
  readonly outcome: "restored" | "metadata" | "skipped" | "removed" | "refused";
  readonly reason: string;
  readonly source?: "app image" | "cache" | undefined;
  readonly sha?: string | undefined;
  readonly files?: number;
  readonly bytes?: number;
}

/** What a run did, for `-report`. Keys are only ever added. */
export interface Report {
  readonly platformApi: string;
  readonly cache: string | null;
  readonly layers: LayerReport[];
  /** Trouble with the cache, as it was warned about. */
  readonly troubles: string[];
  seconds: number;
}

/** A report of a run in which nothing has happened yet. */
export function newReport(platformApi: number, cache: string | undefined): Report {
  return { platformApi: `0.${platformApi}`, cache: cache ?? null, layers: [], troubles: [], seconds: 0 };
}

/** Writes the report as JSON. Throws a RestorerError (exit 1). */
export function writeReport(path: string, report: Report, umask: number): void {
  try {
    writeFileSync(path, `${JSON.stringify({ reportVersion: 1, ...report }, null, 2)}\n`, { mode: 0o666 & ~umask });
  } catch (error) {
    throw new RestorerError(`write report ${quote(path)}: ${describe(error)}`, {
      exitCode: ExitCode.failed,
      cause: error,
      hint: "Name a file in a writable directory with -report.",
    });
  }
}
