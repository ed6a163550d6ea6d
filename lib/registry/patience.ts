import { TransportError } from "./error.ts";

/**
 * Adds up the time in which something was awaited from a registry and nothing at all came, and ends everything when it
 * has become too much. Retries and stalls are bounded one by one; this bounds them all together, for a registry that
 * hangs at every blob of fifty.
 */
export class Patience {
  readonly #controller = new AbortController();
  readonly #budgetMs: number;
  readonly #graceMs: number;
  readonly #host: string;
  #spentMs = 0;
  #waiting = 0;
  #quietSince = 0;
  #timer: Timer | undefined;

  constructor(host: string, budgetMs: number, graceMs: number) {
    this.#host = host;
    this.#budgetMs = budgetMs;
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
    this.#quietSince = performance.now();
    this.#timer ??= setTimeout(() => this.#check(), this.#budgetMs - this.#spentMs);
  }

  /** Something came. */
  heard(): void {
    const now = performance.now();
    const quiet = now - this.#quietSince;
    if (quiet > this.#graceMs) this.#spentMs += quiet;
    this.#quietSince = now;
  }

  /** It is awaited no longer, because it came or because it was given up. */
  end(): void {
    if (--this.#waiting > 0) return;
    this.heard();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#judge(0);
  }

  #check(): void {
    this.#timer = undefined;
    const left = this.#judge(performance.now() - this.#quietSince);
    if (left > 0) this.#timer = setTimeout(() => this.#check(), left);
  }

  #judge(quietMs: number): number {
    const left = this.#budgetMs - this.#spentMs - quietMs;
    if (left > 0.5) return left;
    const seconds = Math.round(this.#budgetMs / 1000);
    const hint = "Check the network between here and the registry, and the registry itself.";
    this.#controller.abort(
      new TransportError("Silence", `${this.#host} kept us waiting in silence for ${seconds} s in all`, hint),
    );
    return 0;
  }
}
