import { tryWriteText } from "./streams.ts";

/** A line at the bottom of a terminal that is redrawn in place, from the second second on. */
export class Progress {
  readonly #isShown: boolean;
  #timer: NodeJS.Timeout | undefined;
  #isDrawn = false;

  /** `isShown`: whether stderr is a terminal that can redraw a line. */
  constructor(isShown: boolean) {
    this.#isShown = isShown;
  }

  /** Shows what `status` says until `stop`. */
  start(status: () => string): void {
    if (!this.#isShown) return;
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
    if (this.#isDrawn) tryWriteText(2, "\r\x1b[K");
    this.#isDrawn = false;
  }

  #draw(line: string): void {
    this.#isDrawn = true;
    tryWriteText(2, `\r${line.slice(0, Math.max(20, (process.stderr.columns || 80) - 1))}\x1b[K`);
  }
}
