import { isTerminal, writeAll } from "./log.ts";

/** A size for people: three digits and a decimal unit. */
export function formatBytes(bytes: number): string {
  const units = ["", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return unit === 0 ? count(value, "byte") : `${value.toPrecision(3)} ${units[unit]}`;
}

/** `1 layer`, `2 layers`, with thousands separated. */
export function count(n: number, noun: string, plural = `${noun}s`): string {
  // Not toLocaleString: loading ICU takes longer than a small restore.
  return `${String(n).replace(/\B(?=(?:\d{3})+$)/g, ",")} ${n === 1 ? noun : plural}`;
}

/** A line at the bottom of a terminal that is redrawn in place, from the second second on. */
export class Progress {
  #timer: NodeJS.Timeout | undefined;
  #shown = false;

  /** Shows what `status` says until `stop`; does nothing where stderr is no terminal. */
  start(status: () => string): void {
    if (!isTerminal(2)) return;
    this.#timer = setTimeout(() => {
      this.#timer = setInterval(() => this.#draw(status()), 100);
    }, 1000);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.clear();
  }

  /** Steps aside for a line of the log. */
  clear(): void {
    if (this.#shown) writeAll(2, "\r\x1b[K");
    this.#shown = false;
  }

  #draw(line: string): void {
    this.#shown = true;
    writeAll(2, `\r${line.slice(0, Math.max(20, (process.stderr.columns || 80) - 1))}\x1b[K`);
  }
}
