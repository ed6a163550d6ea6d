import { fstatSync, writeSync } from "node:fs";
import { errorCode } from "./errors.ts";

/** File descriptor of standard output or standard error. */
export type Stream = 1 | 2;

/**
 * Whether a standard stream is a terminal: a device of Linux's tty drivers. (node:tty takes longer to load than a small
 * restore.)
 */
export function isTerminal(stream: Stream): boolean {
  try {
    const stat = fstatSync(stream);
    const major = (stat.rdev >> 8) & 0xfff;
    return stat.isCharacterDevice() && (major === 4 || major === 5 || (major >= 136 && major <= 143));
  } catch {
    // A stream may be closed.
    return false;
  }
}

/** Writes text to a standard stream, however often it asks to wait. Throws the system's error when it takes no more. */
export function writeText(stream: Stream, text: string): void {
  let bytes = Buffer.from(text);
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(stream, bytes));
    } catch (error) {
      if (errorCode(error) !== "EAGAIN") throw error;
      Bun.sleepSync(1);
    }
  }
}

/** As `writeText`, where it does not matter whether anybody reads: that must not fail a restore. */
export function tryWriteText(stream: Stream, text: string): void {
  try {
    writeText(stream, text);
  } catch {
    // The reader has gone away, or the log's disk is full.
  }
}
