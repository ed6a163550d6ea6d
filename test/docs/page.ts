/** What the generated pages have in common. */

/** A table in Markdown. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`.replace(/ {2,}/g, " ");
  return [line(head), `|${head.map(() => "---|").join("")}`, ...rows.map(line)].join("\n");
}

export function code(text: string): string {
  return `\`${text}\``;
}

/** `<name>` would be taken for HTML, and a bar for the end of a cell. */
export function plain(text: string): string {
  return text.replace(/<[a-z]+>/g, code).replaceAll("|", "\\|");
}
