import type { OutcomeCode } from "./outcomes.ts";
import type { MetadataSource, Stranger } from "./plan.ts";

/** What happened to one layer. */
export interface LayerReport {
  readonly buildpack: string;
  readonly layer: string;
  readonly outcome: "restored" | "metadata" | "skipped" | "removed" | "refused";
  /** Why, for programs. */
  readonly code: OutcomeCode;
  /** Why, for people. */
  readonly reason: string;
  readonly source?: MetadataSource;
  readonly sha?: string;
  /** Where its contents came from: a directory, or the reference of an image. */
  readonly cache?: string;
  readonly files?: number;
  readonly bytes?: number;
}

/** What a run did, for `-report` (D26). Keys are only ever added. */
export interface Report {
  readonly platformApi: string;
  cache: string | null;
  /** In the order in which they ended. */
  readonly layers: LayerReport[];
  /** Buildpacks of the cache that the group lacks, and how many of their layers it holds. */
  readonly notInGroup: Stranger[];
  /** Trouble with the cache, as it was warned about. */
  readonly troubles: string[];
  seconds: number;
  /** Why the run failed; absent when it did not. */
  error?: string;
}

/** The report of a run that has done nothing yet, at a Platform API such as "0.15". */
export function emptyReport(platformApi: string): Report {
  return { platformApi, cache: null, layers: [], notInGroup: [], troubles: [], seconds: 0 };
}

/** The order of layers wherever they are listed: by buildpack and name. */
export function compareLayers(a: Layered, b: Layered): number {
  return compare(a.buildpack, b.buildpack) || compare(a.layer, b.layer);
}

type Layered = Pick<LayerReport, "buildpack" | "layer">;

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** A report as JSON text, its layers sorted by buildpack and name. No character in it controls a terminal it is shown on. */
export function formatReport(report: Report): string {
  const layers = report.layers.toSorted((a, b) => compareLayers(a, b));
  return `${toSafeJson({ reportVersion: 1, ...report, layers })}\n`;
}

/** JSON text of which no character controls a terminal it is shown on. */
export function toSafeJson(value: unknown, indent = 2): string {
  return escapeControls(JSON.stringify(value, exactly, indent));
}

/** JSON knows no integers beyond those of a double. */
function exactly(_key: string, value: unknown): unknown {
  if (typeof value !== "bigint") return value;
  return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
}

/** JSON's own escapes for what it leaves as it is: the C1 range, and marks of direction, of order and of line ends. */
function escapeControls(json: string): string {
  return json.replace(
    /[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
