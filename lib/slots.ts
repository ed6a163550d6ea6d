import { orAbort } from "./waiting.ts";

/** So many may do something at a time; the others wait, in the order in which they came. */
export class Slots {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(count: number) {
    this.#free = count;
  }

  /** `using slot = await slots.take(signal)`. Throws the reason of a signal that is aborted meanwhile. */
  async take(signal?: AbortSignal): Promise<Disposable> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#free > 0) {
      this.#free -= 1;
      resolve();
    } else {
      this.#waiting.push(resolve);
    }
    try {
      await (signal === undefined ? promise : orAbort(promise, signal));
    } catch (error) {
      const index = this.#waiting.indexOf(resolve);
      if (index === -1) this.#release();
      else this.#waiting.splice(index, 1);
      throw error;
    }
    return this.#taken();
  }

  /** As `take`, but undefined where one would have to wait. */
  takeFree(): Disposable | undefined {
    if (this.#free === 0) return undefined;
    this.#free -= 1;
    return this.#taken();
  }

  #taken(): Disposable {
    let isTaken = true;
    return {
      [Symbol.dispose]: () => {
        if (isTaken) this.#release();
        isTaken = false;
      },
    };
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}
