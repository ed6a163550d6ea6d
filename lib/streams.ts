import { constants, fstatSync, openSync, type Stats, write, writeSync } from "node:fs";
import { hasCode } from "./errors.ts";

/** File descriptor of standard output or standard error. */
export type Stream = 1 | 2;

/**
 * Whether a standard stream is a terminal: a device of Linux's tty drivers. (node:tty takes longer to load than a small
 * restore.)
 */
export function isTerminal(stream: Stream): boolean {
  const stat = statOf(stream);
  return stat !== undefined && isTty(stat);
}

function isTty(stat: Stats): boolean {
  const major = (stat.rdev >> 8) & 0xfff;
  return stat.isCharacterDevice() && (major === 4 || major === 5 || (major >= 136 && major <= 143));
}

/** Undefined for a stream that is closed. */
function statOf(stream: Stream): Stats | undefined {
  try {
    return fstatSync(stream);
  } catch {
    return undefined;
  }
}

/** The standard stream that is what `is` looks for. */
export function standardStream(is: (stat: Stats) => boolean): Stream | undefined {
  return ([1, 2] as const).find((stream) => {
    const stat = statOf(stream);
    return stat !== undefined && is(stat);
  });
}

/** How soon a reader that took nothing is asked again. */
const retryMs = 5;

/**
 * What goes to one reader, in order. A reader that does not read must not keep the process from hearing signals: what it does
 * not take at once waits here.
 */
class Output {
  readonly #stream: Stream;
  /** A way to write that never waits; undefined where there is none, and writing is left to another thread. */
  readonly #fd: number | undefined;
  #pending: Uint8Array[] = [];
  /** Whether somebody comes back for what waits. */
  #isBusy = false;
  readonly #drained: (() => void)[] = [];

  constructor(stream: Stream, stat: Stats | undefined) {
    this.#stream = stream;
    this.#fd = withoutWaiting(stream, stat);
  }

  /** Resolves when nothing waits any more. */
  async drained(): Promise<void> {
    if (this.#pending.length > 0) await new Promise<void>((resolve) => this.#drained.push(resolve));
  }

  /** Throws the system's error when a reader has gone away or a disk is full, and it is known at once. */
  write(bytes: Uint8Array): void {
    this.#pending.push(bytes);
    if (!this.#isBusy) this.#work();
  }

  /** Writes as much as is taken now, and comes back for the rest. */
  #work(): void {
    this.#isBusy = false;
    for (let first = this.#pending[0]; first !== undefined; first = this.#pending[0]) {
      if (this.#fd === undefined) {
        this.#isBusy = true;
        const all = joined(this.#pending);
        this.#pending = [all];
        write(this.#stream, all, (error, count) => this.#again(error, count ?? 0));
        return;
      }
      try {
        this.#took(writeSync(this.#fd, first));
      } catch (error) {
        if (!hasCode(error, "EAGAIN")) {
          this.#pending = [];
          throw error;
        }
        this.#isBusy = true;
        setTimeout(() => this.#again(null, 0), retryMs);
        return;
      }
    }
  }

  #again(error: Error | null, count: number): void {
    this.#took(count);
    if (error !== null && !hasCode(error, "EAGAIN")) this.#pending = [];
    try {
      if (error === null || this.#pending.length === 0) this.#work();
      else setTimeout(() => this.#again(null, 0), retryMs);
    } catch {
      // The reader has gone away.
    }
    if (this.#pending.length === 0) for (const resolve of this.#drained.splice(0)) resolve();
  }

  #took(count: number): void {
    const first = this.#pending[0];
    if (first === undefined) return;
    if (count < first.length) this.#pending[0] = first.subarray(count);
    else this.#pending.shift();
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}

/**
 * A descriptor of a stream whose writes never wait: files and devices such as /dev/null do not anyway, pipes and terminals
 * are opened once more. Undefined for sockets, and for what only another user may open.
 */
function withoutWaiting(stream: Stream, stat: Stats | undefined): number | undefined {
  if (stat === undefined || !(stat.isFIFO() || stat.isSocket() || isTty(stat))) return stream;
  try {
    return openSync(`/proc/self/fd/${stream}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return undefined;
  }
}

const outputs = new Map<Stream, Output>();

function outputOf(stream: Stream): Output {
  const known = outputs.get(stream);
  if (known !== undefined) return known;
  const stat = statOf(stream);
  // Both may go to one reader, who must see them in order.
  const twin = stat?.isFile() === false ? outputs.get(stream === 1 ? 2 : 1) : undefined;
  const other = statOf(stream === 1 ? 2 : 1);
  const isOne = other !== undefined && stat?.dev === other.dev && stat?.ino === other.ino;
  const output = twin !== undefined && isOne ? twin : new Output(stream, stat);
  outputs.set(stream, output);
  return output;
}

/** Readies the standard streams while privileges allow it. */
export function openStreams(): void {
  for (const stream of [1, 2] as const) outputOf(stream);
}

/** Writes text to a standard stream, in its turn. Throws the system's error when it is known at once that it takes no more. */
export function writeText(stream: Stream, text: string | Uint8Array): void {
  outputOf(stream).write(typeof text === "string" ? new TextEncoder().encode(text) : text);
}

/** As `writeText`, where it does not matter whether anybody reads: that must not fail a restore. */
export function tryWriteText(stream: Stream, text: string): void {
  try {
    writeText(stream, text);
  } catch {
    // The reader has gone away, or the log's disk is full.
  }
}

/** Whoever read a standard stream has seen enough: `restorer inspect … | head`. */
export class ReaderGone extends Error {
  override readonly name = "ReaderGone";
}

/** Writes results to stdout. Throws a ReaderGone when nobody reads them any more, else an Error with the system's. */
export function writeResult(text: string | Uint8Array): void {
  try {
    writeText(1, text);
  } catch (error) {
    if (hasCode(error, "EPIPE")) throw new ReaderGone("nobody reads stdout", { cause: error });
    throw new Error("write the result to stdout", { cause: error });
  }
}

/** Resolves when all that was written has been taken. */
export async function drained(): Promise<void> {
  for (const output of outputs.values()) await output.drained();
}
