/** What a connection must bring, in how much time that is spent waiting for it. */
export interface Pace {
  readonly ms: number;
  readonly bytes: number;
}

/**
 * Watches whether a connection keeps up a pace. It has the whole time anew as soon as it has brought enough, or was found too
 * slow, and only time spent waiting for the network counts: we may be slow.
 */
export class PaceWatch implements Disposable {
  readonly #pace: () => Pace;
  readonly #onSlow: (bytes: number) => void;
  #waitingSince: number | undefined;
  /** What was waited, and what it brought, since it had the whole time. */
  #waitedMs = 0;
  #bytes = 0;
  #timer: Timer | undefined;

  /** `pace` may change. `onSlow` is called with the bytes that came in all that time. */
  constructor(pace: () => Pace, onSlow: (bytes: number) => void) {
    this.#pace = pace;
    this.#onSlow = onSlow;
  }

  /** Something is awaited. */
  begin(): void {
    this.#waitingSince = performance.now();
    this.#timer ??= setTimeout(() => this.#check(), this.#pace().ms);
  }

  /** So many bytes came. */
  end(bytes: number): void {
    this.#waitedMs += this.#currentMs();
    this.#waitingSince = undefined;
    this.#bytes += bytes;
    if (this.#bytes >= this.#pace().bytes) [this.#waitedMs, this.#bytes] = [0, 0];
  }

  #currentMs(): number {
    return this.#waitingSince === undefined ? 0 : performance.now() - this.#waitingSince;
  }

  #check(): void {
    const left = this.#pace().ms - this.#waitedMs - this.#currentMs();
    // Timers may fire a little early.
    if (left > 1) {
      this.#timer = setTimeout(() => this.#check(), left);
      return;
    }
    const bytes = this.#bytes;
    [this.#waitedMs, this.#bytes] = [0, 0];
    if (this.#waitingSince !== undefined) this.#waitingSince = performance.now();
    this.#onSlow(bytes);
    this.#timer = setTimeout(() => this.#check(), this.#pace().ms);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
