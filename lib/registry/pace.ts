/** What a connection must bring, in how much time that is spent waiting for it. */
export interface Pace {
  readonly ms: number;
  readonly bytes: number;
}

/** What came in all the time that there was, and for how long nothing has come at all. */
export interface Slowness extends Pace {
  readonly quietMs: number;
}

/**
 * Watches whether a connection keeps up a pace. It has the whole time anew as soon as it has brought enough, or was found too
 * slow, and only time spent waiting for the network counts: we may be slow.
 */
export class PaceWatch implements Disposable {
  readonly #choose: () => Pace;
  readonly #onSlow: (found: Slowness) => void;
  #pace: Pace;
  #waitingSince: number | undefined;
  /** What was waited, and what it brought, since it had the whole time. */
  #waitedMs = 0;
  #bytes = 0;
  #timer: Timer | undefined;

  /** `pace` is chosen anew each time that it has the whole time. */
  constructor(pace: () => Pace, onSlow: (found: Slowness) => void) {
    this.#choose = pace;
    this.#onSlow = onSlow;
    this.#pace = pace();
  }

  /** Something is awaited. */
  begin(): void {
    this.#waitingSince = performance.now();
    this.#timer ??= setTimeout(() => this.#check(), this.#pace.ms);
  }

  /** So many bytes came. */
  end(bytes: number): void {
    this.#waitedMs += this.#currentMs();
    this.#waitingSince = undefined;
    this.#bytes += bytes;
    if (this.#bytes >= this.#pace.bytes) [this.#waitedMs, this.#bytes] = [0, 0];
  }

  #currentMs(): number {
    return this.#waitingSince === undefined ? 0 : performance.now() - this.#waitingSince;
  }

  #check(): void {
    const quietMs = this.#currentMs();
    const left = this.#pace.ms - this.#waitedMs - quietMs;
    // Timers may fire a little early.
    if (left > 1) {
      this.#timer = setTimeout(() => this.#check(), left);
      return;
    }
    const found = { bytes: this.#bytes, ms: this.#pace.ms, quietMs };
    [this.#waitedMs, this.#bytes] = [0, 0];
    if (this.#waitingSince !== undefined) this.#waitingSince = performance.now();
    this.#onSlow(found);
    this.#pace = this.#choose();
    this.#timer = setTimeout(() => this.#check(), this.#pace.ms);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
