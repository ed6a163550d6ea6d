import { TransportError } from "../http/errors.ts";
import type { Listener } from "../http/request.ts";

/** How long the registries of a run may keep it waiting in silence, all together, and how long they have. */
export interface Silence {
  readonly totalMs: number;
  spentMs: number;
}

/**
 * Adds up the time in which something was awaited from a registry and nothing at all came, and ends everything when it
 * has become too much. Retries and stalls are bounded one by one; this bounds them all together, for a registry that
 * hangs at every blob of fifty, and for several that hang one after the other. A registry that answers in time is never
 * given up for the sins of another.
 */
export class Patience implements Listener {
  readonly #controller = new AbortController();
  readonly #silence: Silence;
  readonly #graceMs: number;
  readonly #host: string;
  readonly #now: () => number;
  /** This registry's part of what is spent. */
  #ownMs = 0;
  #waiting = 0;
  #quietSince = 0;
  #timer: Timer | undefined;

  /** `now` is a clock in milliseconds. */
  constructor(host: string, silence: Silence, graceMs: number, now = () => performance.now()) {
    this.#now = now;
    this.#host = host;
    this.#silence = silence;
    this.#graceMs = graceMs;
  }

  /** Aborted when the registry has kept us waiting too long. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Waits for something from the registry; whatever comes ends the silence. */
  async while<T>(wait: () => Promise<T>): Promise<T> {
    this.begin();
    try {
      return await wait();
    } finally {
      this.end();
    }
  }

  /** Something is awaited. */
  begin(): void {
    if (this.#waiting++ > 0) return;
    this.#quietSince = this.#now();
    this.#timer ??= setTimeout(() => this.#check(), this.#left(0));
  }

  /** Something came. */
  heard(): void {
    const now = this.#now();
    const quiet = now - this.#quietSince;
    this.#quietSince = now;
    if (quiet <= this.#graceMs) return;
    this.#ownMs += quiet;
    this.#silence.spentMs += quiet;
    if (this.#silence.spentMs > this.#silence.totalMs) this.#giveUp();
  }

  /** What was waited up to now is what the registry asked for, and no silence. */
  excuse(): void {
    this.#quietSince = this.#now();
  }

  /** It is awaited no longer, because it came or because it was given up. */
  end(): void {
    if (--this.#waiting > 0) return;
    this.heard();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #check(): void {
    this.#timer = undefined;
    const left = this.#left(this.#now() - this.#quietSince);
    // Timers may fire a little early.
    if (left > 0.5) this.#timer = setTimeout(() => this.#check(), left);
    else this.#giveUp();
  }

  #left(quietMs: number): number {
    const { totalMs, spentMs } = this.#silence;
    return Math.max(totalMs - spentMs, this.#graceMs) - quietMs;
  }

  #giveUp(): void {
    const { totalMs, spentMs } = this.#silence;
    const who = this.#ownMs < spentMs ? `${this.#host} and other registries` : this.#host;
    const hint = "Check the network between here and the registry, and the registry itself.";
    this.#controller.abort(
      new TransportError(
        "Silence",
        `${who} kept us waiting in silence for ${Math.round(totalMs / 1000)} s in all`,
        hint,
      ),
    );
  }
}
