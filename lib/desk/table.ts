/** A column of a table. */
export interface Column {
  readonly title: string;
  readonly align?: "right";
}

/** A cell, and the colour of its text on a terminal that has colours. */
export type Cell = string | { readonly text: string; readonly color: Color };

/** The colours of a terminal, and two ways to set text apart. */
export type Color = "green" | "cyan" | "yellow" | "red" | "bold" | "dim";

const codes: Readonly<Record<Color, string>> = {
  green: "32",
  cyan: "36",
  yellow: "33",
  red: "31",
  bold: "1",
  dim: "2",
};

/** How a table is shown. */
interface TableOptions {
  /** Columns of the terminal: what does not fit goes to further lines; undefined for lines as long as they are. */
  readonly width?: number | undefined;
  readonly colors?: boolean;
}

const gap = "  ";
/** Where the last column would have less, it goes to a line of its own. */
const narrowest = 30;
const furtherIndent = 4;

/** Columns that stand on one line. */
interface Line {
  readonly indent: number;
  readonly columns: readonly { readonly at: number; readonly width: number; readonly isRight: boolean }[];
}

/**
 * A table as text, its columns aligned, one record a line. For a terminal, columns that have no room go to further lines, and
 * the last column of a line is wrapped.
 */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  options: TableOptions = {},
): string {
  const { width = Number.POSITIVE_INFINITY, colors = false } = options;
  const all: readonly (readonly Cell[])[] = [columns.map(({ title }) => ({ text: title, color: "bold" })), ...rows];
  const widths = columns.map((_, at) => Math.max(0, ...all.map((row) => widthOf(textOf(row[at])))));
  const lines = layOut(columns, widths, width);
  return all.map((row) => lines.map((line) => formatLine(line, row, width, colors)).join("")).join("");
}

/** Which columns go to which line. */
function layOut(columns: readonly Column[], widths: readonly number[], width: number): Line[] {
  const lines: { indent: number; columns: Line["columns"][number][] }[] = [];
  let used = 0;
  for (const [at, { align }] of columns.entries()) {
    const own = widths[at] ?? 0;
    const needed = gap.length + (at === columns.length - 1 ? Math.min(narrowest, own) : own);
    if (lines.length === 0 || used + needed > width) {
      used = lines.length === 0 ? 0 : furtherIndent;
      lines.push({ indent: used, columns: [] });
      used -= gap.length;
    }
    lines.at(-1)?.columns.push({ at, width: own, isRight: align === "right" });
    used += gap.length + own;
  }
  return lines;
}

/** A line of a record; nothing where it is not the first, and has nothing to say. */
function formatLine(line: Line, row: readonly Cell[], width: number, colors: boolean): string {
  if (line.indent > 0 && line.columns.every(({ at }) => textOf(row[at]) === "")) return "";
  let text = " ".repeat(line.indent);
  let column = line.indent;
  for (const [index, { at, width: own, isRight }] of line.columns.entries()) {
    const isEnd = index === line.columns.length - 1;
    const padding = " ".repeat(Math.max(0, own - widthOf(textOf(row[at]))));
    const shown = paint(isEnd ? wrap(textOf(row[at]), width, column) : textOf(row[at]), row[at], colors);
    text += isRight ? padding + shown : isEnd ? shown : shown + padding;
    if (!isEnd) text += gap;
    column += own + gap.length;
  }
  return `${text.trimEnd()}\n`;
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

/**
 * Breaks text that begins at a column of a terminal: at spaces, and words that are too long anywhere. Further lines begin at
 * that column, too.
 */
export function wrap(text: string, width = Number.POSITIVE_INFINITY, indent = 0): string {
  const room = Math.max(1, width - indent);
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
