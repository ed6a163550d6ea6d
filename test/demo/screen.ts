/** How the demo puts things on the screen. */
import { relative } from "node:path";
import type { Snapshot } from "../support/snapshot.ts";

const onTerminal = process.stdout.isTTY && !process.env.NO_COLOR;
const style = (code: string) => (text: string) => (onTerminal ? `\x1b[${code}m${text}\x1b[0m` : text);
export const [bold, dim, green, red] = [style("1"), style("2"), style("32"), style("31")];
export const say = (text = ""): void => console.log(text);

/** A tree in numbers: files, size, links, executables. */
export function describeTree(tree: Snapshot): string[] {
  const entries = [...tree.values()];
  const files = entries.filter(({ type }) => type === "file");
  const count = (some: readonly unknown[], what: string): string => `${some.length} ${what}`;
  return [
    count(files, "files"),
    `${(files.reduce((sum, { size }) => sum + size, 0) / 1e6).toFixed(1)} MB`,
    count(
      entries.filter(({ type }) => type === "symlink"),
      "links",
    ),
    count(
      files.filter(({ mode }) => (Number.parseInt(mode, 8) & 0o111) !== 0),
      "executables",
    ),
  ];
}

/** Lines up rows: the first column to the left, the others to the right. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  "),
  );
}

/** A path from the current directory, where it is below that. */
export function shown(path: string): string {
  const short = relative(process.cwd(), path);
  return path.startsWith("/") && !short.startsWith("..") ? short : path;
}

/** Prints what was expected, and whether it is so. */
export function check(what: string, problems: readonly string[]): boolean {
  say(`  ${problems.length === 0 ? green("✓") : red("✗")} ${what}`);
  for (const problem of problems) say(`      ${problem}`);
  return problems.length === 0;
}

/** A line in rows of at most `width` columns, broken between words; a longer word has a row of its own. */
export function wrapped(line: string, width: number): string[] {
  const rows: string[] = [];
  for (const word of line.split(" ")) {
    const last = rows.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) rows[rows.length - 1] = `${last} ${word}`;
    else rows.push(rows.length === 0 ? word : `  ${word}`);
  }
  return rows;
}
