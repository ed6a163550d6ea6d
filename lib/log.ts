import { fstatSync, writeSync } from "node:fs";
import { errorCode } from "./errors.ts";
import { printable } from "./text.ts";

export const logLevels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

/** Where messages go: debug and info to stdout, warnings and errors to stderr (contract §1, D3). */
export interface Log {
  readonly level: LogLevel;
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
  /** Writes out what is still buffered. */
  flush(): void;
}

const yellow = ["\x1b[33;1m", "\x1b[0m"] as const;
const red = ["\x1b[31;1m", "\x1b[0m"] as const;

/** Where buffered output is written early, so that a burst of lines costs few system calls. */
const flushAt = 16 * 1024;

/**
 * A log that shows messages of `level` and above. `color` says for each stream whether prefixes are coloured.
 * `beforeWrite` is called before lines reach the terminal, so that a progress display can step aside.
 */
export function createLog(
  level: LogLevel,
  color: { stdout: boolean; stderr: boolean },
  beforeWrite: () => void = () => {},
): Log {
  const threshold = logLevels.indexOf(level);
  let pending = "";
  let scheduled = false;

  function flush(): void {
    if (pending === "") return;
    const text = pending;
    pending = "";
    beforeWrite();
    writeAll(1, text);
  }
  function out(at: LogLevel, message: string): void {
    if (logLevels.indexOf(at) < threshold) return;
    pending += `${printable(message)}\n`;
    if (pending.length > flushAt) flush();
    if (scheduled) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      flush();
    });
  }
  function err(at: LogLevel, prefix: string, [on, off]: readonly [string, string], message: string): void {
    if (logLevels.indexOf(at) < threshold) return;
    flush();
    beforeWrite();
    writeAll(2, `${color.stderr ? `${on}${prefix}${off}` : prefix}${printable(message)}\n`);
  }
  return {
    level,
    debug: (message) => out("debug", message),
    info: (message) => out("info", message),
    warn: (message) => err("warn", "Warning: ", yellow, message),
    error: (message) => err("error", "ERROR: ", red, message),
    flush,
  };
}

/**
 * Whether a standard stream is a terminal: a device of Linux's tty drivers. (node:tty takes longer to load than a small
 * restore.)
 */
export function isTerminal(fd: 1 | 2): boolean {
  try {
    const stat = fstatSync(fd);
    const major = (stat.rdev >> 8) & 0xfff;
    return stat.isCharacterDevice() && (major === 4 || major === 5 || (major >= 136 && major <= 143));
  } catch {
    // A stream may be closed.
    return false;
  }
}

/** Writes text to a standard stream; a reader that has gone away is no reason to fail a restore. */
export function writeAll(fd: 1 | 2, text: string): void {
  let bytes = Buffer.from(text);
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(fd, bytes));
    } catch (error) {
      if (errorCode(error) !== "EAGAIN") return;
      Bun.sleepSync(1);
    }
  }
}
