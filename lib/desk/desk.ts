import type { Options } from "../cli/options.ts";
import type { Session } from "../session.ts";
import { isTerminal, writeResult } from "../streams.ts";
import { count, formatBytes, inline, thousands, withShortDigests } from "../text.ts";
import { type Cell, type Color, type Column, formatTable, paint, wrap } from "./table.ts";

/** What a command has to work with: a session, what it was asked for, and how its results are shown. */
export class Desk {
  readonly session: Session;
  readonly options: Options;
  readonly #width: number | undefined;
  readonly #colors: boolean;
  #pending = "";
  /** Whether anything was written so far. */
  hasOutput = false;

  constructor(session: Session, options: Options) {
    this.session = session;
    this.options = options;
    const isScreen = isTerminal(1);
    this.#width = isScreen && !options.whole ? process.stdout.columns || undefined : undefined;
    this.#colors = isScreen && session.env["TERM"] !== "dumb" && !session.inputs.noColor;
  }

  /** Whether results are JSON, for programs. */
  get isJson(): boolean {
    return this.options.format === "json";
  }

  /** A line of text; on a terminal it is wrapped, its further lines indented. Names in it must be safe to show. */
  line(text = "", indent = 0): void {
    const wrapped = (line: string) => line.slice(0, indent) + wrap(line.slice(indent), this.#width, indent);
    const lines = text.split("\n").map(wrapped);
    this.write(`${lines.join("\n")}\n`);
  }

  table(columns: readonly Column[], rows: readonly (readonly Cell[])[]): void {
    this.write(formatTable(columns, rows, { width: this.#width, colors: this.#colors }));
  }

  paint(text: string, color: Color): string {
    return paint(text, { text, color }, this.#colors);
  }

  /** Text as it is. It may be much, and is not kept until the end. */
  write(text: string): void {
    this.hasOutput = true;
    this.#pending += text;
    if (this.#pending.length > 64 * 1024) this.flush();
  }

  /** Bytes as they are; what waits goes before them. */
  writeBytes(bytes: Uint8Array): void {
    this.flush();
    this.hasOutput = true;
    writeResult(bytes);
  }

  /** Throws a ReaderGone when nobody reads any more. */
  flush(): void {
    const text = this.#pending;
    this.#pending = "";
    if (text !== "") writeResult(text);
  }

  /** A size as it was asked for, for a column of a table. */
  size(bytes: number): string {
    return this.options.bytes ? String(bytes) : formatBytes(bytes);
  }

  /** The same for a sentence, which no program reads: with its unit. */
  sizeInWords(bytes: number): string {
    return this.options.bytes ? count(bytes, "byte") : formatBytes(bytes);
  }

  /** A count that people read. */
  count(n: number): string {
    return this.options.bytes ? String(n) : thousands(n);
  }

  /** A sentence that may quote anything, on one line; its digests are as short as the others. */
  message(text: string): string {
    return inline(this.options.whole ? text : withShortDigests(text));
  }

  /** A digest, cut to twelve digits unless whole ones were asked for. */
  digest(digest: string | undefined): string {
    if (digest === undefined) return "-";
    return this.options.whole ? inline(digest) : shortDigest(digest);
  }
}

/** A digest as people see it in lists. */
function shortDigest(digest: string): string {
  const hex = /^sha256:([0-9a-f]{12})[0-9a-f]{52}$/.exec(digest)?.[1];
  return hex ?? inline(digest.slice(0, 40));
}

/** How a layer is named. */
export function layerName({ buildpack, layer }: { readonly buildpack: string; readonly layer: string }): string {
  return inline(`${buildpack}:${layer}`);
}
