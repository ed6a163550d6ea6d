import type { Extracted } from "../archive/extract.ts";
import type { LayerSource } from "../archive/source.ts";
import { Workers } from "../archive/workers.ts";
import type { Cache } from "../caches/cache.ts";
import type { Workplace } from "../disk/workplace.ts";
import { describe } from "../errors.ts";
import { cannotWriteBelow, ExitCode, RestorerError, threadFailed } from "../failures.ts";
import type { Session } from "../session.ts";
import type { Reason } from "./outcomes.ts";

/** What came of a blob: a directory in the workplace, or why there is none. */
export type Unpacked =
  | {
      readonly isUsable: true;
      readonly extracted: Extracted;
    }
  | ({ readonly isUsable: false } & Reason);

/** A blob that is given up because the run fails for another one. */
export class Stopped extends RestorerError {}

/** A blob that the cache cannot open; the cause says why. */
class NotOpened extends Error {}

/** Unpacks blobs of a cache into staging directories: in threads, several at once. */
export class Unpacker {
  readonly #cache: Cache;
  readonly #session: Session;
  readonly #workers = new Workers();
  /** A thread in the middle of a blob looks at its control word only. */
  readonly #stop = () => void this.#workers.cancel();

  constructor(cache: Cache, session: Session) {
    this.#cache = cache;
    this.#session = session;
    session.signal.addEventListener("abort", this.#stop);
  }

  /** How many blobs may be unpacked at once. */
  get limit(): number {
    return this.#workers.limit;
  }

  /** Bytes of blobs done so far. */
  get progress(): number {
    return this.#workers.progress * 1024;
  }

  /** Bytes of a blob, as far as known without opening it. */
  size(diffId: string): number {
    return this.#cache.size(diffId);
  }

  /**
   * Unpacks the blob of a diffID, whose entries lie below `anchor`, to a workplace and verifies it (D4). What cannot be used
   * is removed again. Throws a RestorerError (exit 42, or 1) when the disk or a thread is the trouble, after which it throws
   * `Stopped` for all others; on abort the signal's reason.
   */
  async unpack(diffId: string, anchor: readonly string[], place: Workplace): Promise<Unpacked> {
    const { inputs, umask, signal } = this.#session;
    const { path: root, isMade, writesBehind, inheritsGroup } = place;
    const target = { root, isMade, anchor, writesBehind, inheritsGroup, layersDir: inputs.layersDir, umask };
    try {
      const outcome = await this.#workers.extract(target, diffId, () => this.#open(diffId));
      signal.throwIfAborted();
      if (outcome.ok) return { isUsable: true, extracted: outcome.extracted };
      if (outcome.fault === "cancelled") throw new Stopped("stopped", { exitCode: ExitCode.restoreFailed });
      if (outcome.fault !== "layer") {
        await this.#workers.cancel();
        const { layersDir } = inputs;
        throw outcome.fault === "thread" ? threadFailed(outcome.message) : cannotWriteBelow(layersDir, outcome.message);
      }
      // What there is of it takes room that other layers may need.
      place.remove();
      return { isUsable: false, code: "blob-unusable", reason: outcome.message };
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof NotOpened)) throw error;
      return { isUsable: false, code: "blob-unavailable", reason: describe(error.cause) };
    }
  }

  /** Ends all threads' work. */
  async end(): Promise<void> {
    this.#session.signal.removeEventListener("abort", this.#stop);
    await this.#workers.cancel();
  }

  async #open(diffId: string): Promise<LayerSource> {
    this.#session.signal.throwIfAborted();
    try {
      return await this.#cache.open(diffId);
    } catch (error) {
      throw new NotOpened("open blob", { cause: error });
    }
  }
}
