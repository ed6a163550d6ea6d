import { type Cost, medianCost } from "./measure.ts";

/** A contender's three cells: wall time with its spread, CPU time, peak memory. */
export function cells(costs: readonly Cost[], failure: string | undefined): [string, string, string] {
  if (failure !== undefined) return ["failed", "", ""];
  if (costs.length === 0) return ["–", "", ""];
  const { wallMs, cpuMs, rssBytes } = medianCost(costs);
  const walls = costs.map((cost) => cost.wallMs);
  const spread = ((Math.max(...walls) - Math.min(...walls)) / 2 / wallMs) * 100;
  return [`${time(wallMs)} ±${spread.toFixed(0)}%`, time(cpuMs), mebibytes(rssBytes)];
}

/** How many times as long we took. */
export function ratio(own: Cost | undefined, other: Cost | undefined): string {
  return own === undefined || other === undefined ? "–" : `${(own.wallMs / other.wallMs).toFixed(2)}×`;
}

export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}

export function time(ms: number): string {
  return ms < 100 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** Lines up the rows below two lines of headings: a contender has three columns, and all but the first a ratio. */
export function formatTable(contenders: readonly string[], lines: readonly (readonly string[])[]): string {
  const [own = "", ...others] = contenders;
  const top = ["", ...contenders.flatMap((name) => [name, "", ""]), ...others.map(() => `${own} /`)];
  const below = ["row", ...contenders.flatMap(() => ["wall", "CPU", "peak RSS"]), ...others];
  const all = [top, below, ...lines];
  const widths = below.map((_, column) =>
    // A contender's name may reach over its three columns.
    Math.max(
      ...all.slice(column > 0 && column <= contenders.length * 3 ? 1 : 0).map((line) => (line[column] ?? "").length),
    ),
  );
  const align = (line: readonly string[]): string =>
    line
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ");
  const heading = top
    .map((cell, column) => {
      const width = widths[column] ?? 0;
      if (column === 0) return cell.padEnd(width);
      if (column > contenders.length * 3) return cell.padStart(width);
      if ((column - 1) % 3 !== 0) return undefined;
      return cell.padStart(width + (widths[column + 1] ?? 0) + (widths[column + 2] ?? 0) + 4);
    })
    .filter((cell) => cell !== undefined)
    .join("  ");
  const rule = "─".repeat(align(below).length);
  return [heading, align(below), rule, ...lines.map(align)].join("\n");
}

/** Lines up columns below one line of headings; the first to the left, the others to the right. */
export function formatColumns(headings: readonly string[], lines: readonly (readonly string[])[]): string {
  const widths = headings.map((_, column) =>
    Math.max(...[headings, ...lines].map((line) => (line[column] ?? "").length)),
  );
  const align = (line: readonly string[]): string =>
    widths.map((width, column) => (line[column] ?? "")[column === 0 ? "padEnd" : "padStart"](width)).join("  ");
  const head = align(headings);
  return [head, "─".repeat(head.length), ...lines.map(align)].join("\n");
}
