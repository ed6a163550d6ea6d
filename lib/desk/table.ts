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
/** Where the last column would have less, it goes to lines of its own. */
const narrowest = 30;
const ownLineIndent = 4;

/**
 * A table as text, its columns aligned, one record a line. Only for a terminal are long records wrapped, or their last column put
 * below the others.
 */
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
  const fits = width === undefined || indent + Math.min(narrowest, widths[last] ?? 0) <= width;
  const line = (row: readonly Cell[]) => {
    const cells = columns.slice(0, fits ? columns.length : last).map(({ align }, at) => {
      const text = at === last ? wrap(textOf(row[at]), width, indent) : textOf(row[at]);
      const padding =
        at === last && align === undefined ? "" : " ".repeat(Math.max(0, (widths[at] ?? 0) - widthOf(textOf(row[at]))));
      const shown = paint(text, row[at], colors);
      return align === "right" ? padding + shown : shown + padding;
    });
    const own = fits || textOf(row[last]) === "" ? "" : `\n${ownLine(row[last], width, colors)}`;
    return `${cells.join(gap).trimEnd()}${own}`;
  };
  return all.map((row) => `${line(row)}\n`).join("");
}

function ownLine(cell: Cell | undefined, width: number | undefined, colors: boolean): string {
  const text = `${" ".repeat(ownLineIndent)}${wrap(textOf(cell), width, ownLineIndent)}`;
  return paint(text, cell, colors);
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

/** Breaks text that begins at a column of a terminal at spaces, and words that are too long anywhere; further lines begin there, too. */
export function wrap(text: string, width: number | undefined, indent: number): string {
  const room = Math.max(1, (width ?? Number.POSITIVE_INFINITY) - indent);
  if (widthOf(text) <= room) return text;
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ").flatMap((long) => pieces(long, room))) {
    if (line !== "" && widthOf(line) + 1 + widthOf(word) > room) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].join(`\n${" ".repeat(indent)}`);
}

function pieces(word: string, room: number): string[] {
  return widthOf(word) <= room ? [word] : (word.match(new RegExp(`.{1,${room}}`, "gsu")) ?? [word]);
}
