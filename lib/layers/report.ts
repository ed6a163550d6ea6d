import type { Cache, CacheFacts } from "../caches/cache.ts";
import { version } from "../cli/version.ts";
import type { ErrorCode } from "../error-codes.ts";
import { describe } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import type { ImagesDone } from "../images/resolve.ts";
import { codeOf } from "../session.ts";
import type { Warning } from "../warnings.ts";
import type { MetadataSource } from "./layer-plan.ts";
import type { OutcomeCode } from "./outcomes.ts";
import type { ReportDocument } from "./report-schema.ts";
import type { Stranger } from "./strangers.ts";

/** Why a run fails. */
interface ErrorData {
  readonly code: ErrorCode;
  readonly text: string;
  readonly hint?: string;
}

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
  /** Bytes of its blob as stored, and of its files. */
  readonly bytesRead?: number;
  readonly bytesWritten?: number;
  readonly milliseconds?: number;
  /** How often something of its blob had to be asked for again. */
  readonly retries?: number;
}

/** What a run did, for `-report` (D26). */
export interface Report {
  readonly platformApi: string;
  /** The one that was used, or the first that was given. */
  cache: Cache | undefined;
  /** Undefined where nothing was done about any. */
  images: ImagesDone | undefined;
  /** In the order in which they ended. */
  readonly layers: LayerReport[];
  /** Buildpacks of the cache that the group lacks, and how many of their layers it holds. */
  readonly notInGroup: Stranger[];
  /** Trouble with the cache, as it was warned about. */
  readonly troubles: string[];
  seconds: number;
  exitCode: number;
  /** Why the run failed; absent when it did not. */
  error?: ErrorData;
}

/** The report of a run that has done nothing yet, at a Platform API such as "0.15". */
export function emptyReport(platformApi: string): Report {
  return {
    platformApi,
    cache: undefined,
    images: undefined,
    layers: [],
    notInGroup: [],
    troubles: [],
    seconds: 0,
    exitCode: 0,
  };
}

/** Why something fails, with its code. */
export function errorAsData(error: unknown): ErrorData {
  const hint = error instanceof RestorerError ? error.hint : undefined;
  return { code: codeOf(error), text: describe(error), ...(hint === undefined ? {} : { hint }) };
}

/** The order of layers wherever they are listed: by buildpack and name. */
export function compareLayers(a: Layered, b: Layered): number {
  return compare(a.buildpack ?? "", b.buildpack ?? "") || compare(a.layer ?? "", b.layer ?? "");
}

type Layered = { readonly [K in "buildpack" | "layer"]?: string };

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** A report as JSON text, in an order that does not depend on which layer was done first. */
export function formatReport(report: Report, warnings: readonly Warning[]): string {
  const { platformApi, exitCode, error, seconds, cache, images, layers, notInGroup } = report;
  const document: ReportDocument = {
    reportVersion: 2,
    tool: { name: "restorer", version },
    platformApi,
    exitCode,
    ...(error === undefined ? {} : { error }),
    seconds,
    cache: cache === undefined ? null : withAge(cache.facts()),
    images: { build: images?.build ?? null, run: images?.run ?? null },
    layers: layers.toSorted(compareLayers),
    notInGroup,
    warnings: warnings.toSorted(compareLayers).map((warning) => ({ ...warning })),
  };
  return `${toSafeJson(document)}\n`;
}

function withAge(facts: CacheFacts): NonNullable<ReportDocument["cache"]> {
  const ageMs = Date.now() - Date.parse(facts.created ?? "");
  return ageMs >= 0 ? { ...facts, ageSeconds: Math.floor(ageMs / 1000) } : facts;
}

/** JSON text of which no character controls a terminal it is shown on, and none is half a character, which jq refuses. */
export function toSafeJson(value: unknown, indent = 2): string {
  return escapeControls(withoutHalves(JSON.stringify(value, exactly, indent)));
}

/** JSON text escapes surrogates where they are alone. */
function withoutHalves(json: string): string {
  return json.replace(/\\(?:u(d[89a-f][0-9a-f]{2})|.)/g, (whole, half) => (half === undefined ? whole : "\ufffd"));
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
