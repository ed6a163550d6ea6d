import { explainCommand, verifyCommand } from "../cli/explain-command.ts";
import type { Inputs } from "../cli/inputs.ts";
import { cacheTrouble } from "../failures.ts";
import type { Log, LogLevel } from "../log.ts";
import { count, formatBytes, thousands } from "../text.ts";
import type { LayerReport, Report } from "./report.ts";

/** The line a run ends with: what was restored, and how many layers were not; then, others say how to learn more. */
export function summarize(report: Report, inputs: Inputs, log: Log): void {
  const having: Record<LayerReport["outcome"], number> = {
    restored: 0,
    metadata: 0,
    skipped: 0,
    removed: 0,
    refused: 0,
  };
  let [files, bytes] = [0, 0];
  for (const layer of report.layers) {
    having[layer.outcome] += 1;
    if (layer.outcome !== "restored") continue;
    files += layer.files ?? 0;
    bytes += layer.bytesWritten ?? 0;
  }
  const parts = [
    `Restored ${count(having.restored, "layer")} (${count(files, "file")}, ${formatBytes(bytes)}) in ${report.seconds.toFixed(1)} s`,
  ];
  const rest = [
    [having.metadata, "metadata only"],
    [having.skipped, "skipped"],
    [having.removed, "removed"],
    [having.refused, "refused"],
  ] as const;
  for (const [layers, what] of rest) if (layers > 0) parts.push(`${thousands(layers)} ${what}`);
  log.info(parts.join(", "));
  for (const line of hints(report, inputs)) log.info(line);
}

/** How to learn more of the layers that did not come back: of a blob only reading it tells. */
function hints({ layers, cache }: Report, inputs: Inputs): string[] {
  if (layers.length === 0) return [];
  const codes = layers
    .filter(({ outcome, code }) => outcome !== "restored" && outcome !== "metadata" && code !== "not-asked-for")
    .map(({ code }) => code);
  const isOfBlob = cache !== undefined && codes.includes("blob-unusable");
  const explained = isOfBlob ? codes.filter((code) => code !== "blob-unusable") : codes;
  return [
    ...(isOfBlob ? [`To see what is wrong with the cache's blobs: ${verifyCommand(inputs, cache.reference)}`] : []),
    ...(explained.length > 0 ? [`To learn why, and what can be changed: ${explainCommand(inputs)}`] : []),
  ];
}

/**
 * Ends a strict run that had trouble with the cache: throws a RestorerError (exit 42) that counts what was warned about, and
 * tells where to see it.
 */
export function failIfTroubled({ layers, troubles }: Report, level: LogLevel): void {
  if (troubles.length === 0) return;
  const refused = layers.filter(({ outcome }) => outcome === "refused").length;
  const others = troubles.length - refused;
  const parts = [
    ...(refused > 0 ? [`${thousands(refused)} of ${count(layers.length, "layer")} refused`] : []),
    ...(others > 0 ? [`${count(others, refused > 0 ? "further warning" : "warning")}`] : []),
  ];
  const where = level === "error" ? "see -log-level warn" : "see above";
  throw cacheTrouble(`${parts.join(", ")}, ${where}`);
}
