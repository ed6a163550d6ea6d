import { isTerminal, writeAll } from "./log.ts";

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
