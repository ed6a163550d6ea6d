import type { Log } from "../log.ts";
import { type Cache, CacheError } from "./cache.ts";

/** Caches to fall back on (D25): each is looked at once, when it is first needed. */
export class Fallbacks {
  readonly #log: Log;
  readonly #looked = new Map<Cache, Promise<void>>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Reads what a cache holds. One that holds none yet is told at info. Throws a CacheError where it cannot be used. */
  look(cache: Cache): Promise<void> {
    const looked = this.#looked.get(cache) ?? this.#read(cache);
    this.#looked.set(cache, looked);
    return looked;
  }

  async #read(cache: Cache): Promise<void> {
    try {
      if ((await cache.metadata()) === undefined) this.#log.info(`Layer cache not found: ${cache.name} holds none yet`);
    } catch (error) {
      if (error instanceof CacheError && error.isFirstBuild) this.#log.info(`Not using the cache: ${error.message}`);
      throw error;
    }
  }
}
