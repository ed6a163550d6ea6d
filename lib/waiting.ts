/** A signal that is aborted after a while, or by others: `using deadline = new Deadline(…)` ends the while, not the others. */
export class Deadline implements Disposable {
  readonly signal: AbortSignal;
  readonly #timer: Timer;

  constructor(ms: number, late: Error, ...others: AbortSignal[]) {
    const controller = new AbortController();
    this.signal = AbortSignal.any([controller.signal, ...others]);
    this.#timer = setTimeout(() => controller.abort(late), ms);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** Waits; throws the signal's reason when it is aborted meanwhile. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  try {
    await orAbort(promise, signal);
  } finally {
    clearTimeout(timer);
  }
}

/** A promise, or the signal's reason if it is aborted first; for work that goes on, as others may wait for it too. */
export async function orAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  // Nobody else may be waiting when it fails later.
  work.catch(() => {});
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Work of one thread goes on for so long at a time, in milliseconds: signals are acted on in between. */
const stretchMs = 50;

/** Pauses in long synchronous work, so that signals reach the program. */
export class Pauses {
  /** When signals could last be heard, whoever worked since then; to begin with, when the process was started. */
  static #heard = 0;
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** To be awaited between short steps: returns at once, mostly. Throws the signal's reason when it is aborted. */
  async pause(): Promise<void> {
    if (performance.now() - Pauses.#heard < stretchMs) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    setImmediate(resolve);
    await promise;
    this.#signal.throwIfAborted();
    Pauses.#heard = performance.now();
  }
}

/** What lives for a while is renewed this long before it expires, or halfway through a very short life. */
const renewBeforeMs = 10_000;

/** When (of performance.now) to renew what lives for so many milliseconds from now; what has no known end never. */
export function renewalTime(livesMs = Number.POSITIVE_INFINITY): number {
  return performance.now() + Math.max(livesMs - renewBeforeMs, livesMs / 2);
}
