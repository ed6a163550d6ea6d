import { type Stream, tryWriteText } from "./streams.ts";
import { printable, withShortDigests } from "./text.ts";
import type { Warning, WarningCode, WarningSubject } from "./warnings.ts";

/** From all messages to the fewest. */
export const logLevels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

/** Where messages go. Its functions may be passed on without it. */
export interface Log {
  readonly level: LogLevel;
  debug(message: string): void;
  info(message: string): void;
  /** `subject`: the layer or buildpack that it is about. */
  warn(message: string, code: WarningCode, subject?: WarningSubject): void;
  error(message: string): void;
  /** All warnings so far, whether they were shown or not. */
  readonly warnings: readonly Warning[];
  /** Writes out what is still buffered. */
  flush(): void;
}

/** How a log writes. */
interface StreamLogOptions {
  /** Whether prefixes on stderr are coloured. */
  readonly colors?: boolean;
  /** Whether all goes to stderr, since stdout is for something else. */
  readonly leavesStdout?: boolean;
  /** Called before lines are written, so that a progress display can step aside. */
  readonly beforeWrite?: () => void;
}

const yellow = "\x1b[33;1m";
const red = "\x1b[31;1m";
const plain = "\x1b[0m";

/** Characters of buffered output from which it is written early: a burst of lines costs few system calls. */
const flushAt = 16 * 1024;

/**
 * The log of a run (contract §1, D3): debug and info go to stdout, warnings and errors to stderr behind a prefix. It shows
 * messages of `level` and above; information has short digests, unless at debug.
 */
export class StreamLog implements Log {
  readonly level: LogLevel;
  readonly #colors: boolean;
  readonly #beforeWrite: () => void;
  /** Where information goes. */
  readonly #out: Stream;
  readonly #warnings: Warning[] = [];
  #pending = "";
  #isFlushScheduled = false;

  constructor(
    level: LogLevel,
    { colors = false, leavesStdout = false, beforeWrite = () => {} }: StreamLogOptions = {},
  ) {
    this.level = level;
    this.#colors = colors;
    this.#out = leavesStdout ? 2 : 1;
    this.#beforeWrite = beforeWrite;
  }

  readonly debug = (message: string): void => this.#inform("debug", message);
  readonly info = (message: string): void => this.#inform("info", message);
  readonly warn = (message: string, code: WarningCode, subject: WarningSubject = {}): void => {
    this.#warnings.push({ code, ...subject, text: message });
    this.#alarm("warn", "Warning: ", yellow, message);
  };
  readonly error = (message: string): void => this.#alarm("error", "ERROR: ", red, message);

  get warnings(): readonly Warning[] {
    return this.#warnings;
  }

  readonly flush = (): void => {
    if (this.#pending === "") return;
    const text = this.#pending;
    this.#pending = "";
    this.#beforeWrite();
    tryWriteText(this.#out, text);
  };

  #inform(level: LogLevel, message: string): void {
    if (!this.#shows(level)) return;
    const shown = this.level === "debug" ? message : withShortDigests(message);
    this.#pending += `${printable(shown)}\n`;
    if (this.#pending.length > flushAt) this.flush();
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    setImmediate(() => {
      this.#isFlushScheduled = false;
      this.flush();
    });
  }

  #alarm(level: LogLevel, prefix: string, color: string, message: string): void {
    if (!this.#shows(level)) return;
    // Lines keep their order across the streams.
    this.flush();
    this.#beforeWrite();
    const shownPrefix = this.#colors ? `${color}${prefix}${plain}` : prefix;
    tryWriteText(2, `${shownPrefix}${printable(message)}\n`);
  }

  #shows(level: LogLevel): boolean {
    return logLevels.indexOf(level) >= logLevels.indexOf(this.level);
  }
}
