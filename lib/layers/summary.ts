import type { Log } from "../log.ts";
import { count, formatBytes } from "../text.ts";
import type { LayerReport, Report } from "./report.ts";

/** The line a run ends with: what was restored, and how many layers were not. */
export function summarize(report: Report, log: Log): void {
  const having = (outcome: LayerReport["outcome"]) => report.layers.filter((layer) => layer.outcome === outcome);
  const restored = having("restored");
  const sum = (key: "files" | "bytes") => restored.reduce((total, layer) => total + (layer[key] ?? 0), 0);
  const parts = [
    `Restored ${count(restored.length, "layer")} (${count(sum("files"), "file")}, ${formatBytes(sum("bytes"))}) in ${report.seconds.toFixed(1)} s`,
  ];
  const rest = [
    [having("metadata"), "metadata only"],
    [having("skipped"), "skipped"],
    [having("removed"), "removed"],
    [having("refused"), "refused"],
  ] as const;
  for (const [layers, what] of rest) if (layers.length > 0) parts.push(`${layers.length} ${what}`);
  log.info(parts.join(", "));
}
