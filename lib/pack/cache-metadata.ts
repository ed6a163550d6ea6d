import type { TomlValue } from "../toml/values.ts";
import type { StandingLayer } from "./export-plan.ts";

declare global {
  interface JSON {
    /** A number with all its digits (TC39, "JSON.parse source text access"). */
    rawJSON(text: string): unknown;
  }
}

/** A layer, and the digest of its archive. */
export interface ExportedLayer {
  readonly standing: StandingLayer;
  readonly diffId: string;
}

/** A buildpack of the group, whose layers may be none. */
interface Exporter {
  readonly id: string;
  readonly version?: string;
}

/** The text of a cache's metadata, keys in the exporter's order (contract §2). Throws an Error for a number that JSON lacks. */
export function formatCacheMetadata(
  buildpacks: readonly Exporter[],
  layers: readonly ExportedLayer[],
  sbom: string | undefined,
): string {
  return `${JSON.stringify({
    sbom: { sha: sbom ?? "" },
    buildpacks: buildpacks.map(({ id, version = "" }) => ({
      key: id,
      version,
      // fromEntries makes an own property of a layer called __proto__, too.
      layers: Object.fromEntries(
        layers.flatMap(({ standing: { buildpack, layer, file }, diffId }) => {
          const { build = false, launch = false } = file?.types ?? {};
          const data = file?.metadata === undefined ? null : toJson(file.metadata);
          return buildpack === id ? [[layer, { sha: diffId, data, build, launch, cache: true }] as const] : [];
        }),
      ),
    })),
  })}\n`;
}

/** Whether JSON can hold what a layer's toml says. */
export function isJson(value: TomlValue | undefined): boolean {
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object" || value === null) return true;
  return value instanceof Date || Object.values(value).every(isJson);
}

/** Integers stay exact. */
function toJson(value: TomlValue): unknown {
  if (typeof value === "bigint") return JSON.rawJSON(String(value));
  if (Array.isArray(value)) return value.map(toJson);
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJson(item)]));
}
