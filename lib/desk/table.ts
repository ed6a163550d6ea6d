/** A column of a table. */
export interface Column {
  readonly title: string;
  readonly align?: "right";
}

/** A cell, and the colour of its text on a terminal that has colours. */
export type Cell = string | { readonly text: string; readonly color: Color };

export type Color = "green" | "cyan" | "yellow" | "red" | "bold" | "dim";

const codes: Readonly<Record<Color, string>> = {
  green: "32",
  cyan: "36",
  yellow: "33",
  red: "31",
  bold: "1",
  dim: "2",
};

export interface TableOptions {
  /** Columns of the terminal: the last column is wrapped to fit; undefined for lines as long as they are. */
  readonly width?: number | undefined;
  readonly colors?: boolean;
}

const gap = "  ";
/** The last column is never wrapped to less. */
const narrowest = 20;

/** A table as text, its columns aligned, one record a line; only for a terminal are long records wrapped. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  options: TableOptions = {},
): string {
  const { width, colors = false } = options;
  const all: readonly (readonly Cell[])[] = [columns.map(({ title }) => ({ text: title, color: "bold" })), ...rows];
  const last = columns.length - 1;
  const widths = columns.map((_, at) => Math.max(0, ...all.map((row) => widthOf(textOf(row[at])))));
  const indent = widths.slice(0, last).reduce((sum, one) => sum + one + gap.length, 0);
  const room = width === undefined ? Number.POSITIVE_INFINITY : Math.max(narrowest, width - indent);
  const line = (row: readonly Cell[]) => {
    const cells = columns.map(({ align }, at) => {
      const text = at === last ? wrap(textOf(row[at]), room, indent) : textOf(row[at]);
      const padding =
        at === last && align === undefined ? "" : " ".repeat(Math.max(0, (widths[at] ?? 0) - widthOf(textOf(row[at]))));
      const shown = paint(text, row[at], colors);
      return align === "right" ? padding + shown : shown + padding;
    });
    return cells.join(gap).trimEnd();
  };
  return all.map((row) => `${line(row)}\n`).join("");
}

/** Text in a colour, where there are any. */
export function paint(text: string, cell: Cell | undefined, colors: boolean): string {
  if (!colors || cell === undefined || typeof cell === "string" || text === "") return text;
  return `\x1b[${codes[cell.color]}m${text}\x1b[0m`;
}

function textOf(cell: Cell = ""): string {
  return typeof cell === "string" ? cell : cell.text;
}

function widthOf(text: string): number {
  return Bun.stringWidth(text);
}

/** Breaks text at spaces, its further lines indented. */
function wrap(text: string, room: number, indent: number): string {
  if (widthOf(text) <= room) return text;
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && widthOf(line) + 1 + widthOf(word) > room) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].join(`\n${" ".repeat(indent)}`);
}
