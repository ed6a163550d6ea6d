import type { Extracted } from "../archive/extract.ts";
import { aheadBytes, readAhead } from "../archive/read-ahead.ts";
import { type LayerSource, NotOpened, smallBytes } from "../archive/source.ts";
import { type Effort, Workers } from "../archive/workers.ts";
import type { Cache } from "../caches/cache.ts";
import { Fallbacks } from "../caches/fallbacks.ts";
import type { ChosenCache } from "../caches/open.ts";
import { reservedDescriptors, spareDescriptors } from "../disk/descriptors.ts";
import type { Workplace } from "../disk/workplace.ts";
import { describe } from "../errors.ts";
import { cannotWriteBelow, ExitCode, Stopped, threadFailed } from "../failures.ts";
import type { Session } from "../session.ts";
import type { Reason } from "./outcomes.ts";

/** What came of a blob: a directory in a workplace, or why there is none. */
type Unpacked<P extends Workplace> =
  | {
      readonly isUsable: true;
      readonly extracted: Extracted;
      readonly effort: Effort;
      readonly place: P;
      /** Where it came from. */
      readonly cache: Cache;
      /** Why not from the cache of the run, where it came from one to fall back on. */
      readonly instead: Reason | undefined;
    }
  | Unusable;

/** Enough for one thread to extract some while the other opens and publishes others. */
const mostSmall = 96;

type Unusable = { readonly isUsable: false } & Reason;

/** Unpacks blobs of caches into staging directories: in threads, several at once. */
export class Unpacker {
  readonly #cache: Cache;
  /** Those to fall back on. */
  readonly #others: readonly Cache[];
  readonly #fallbacks: Fallbacks;
  readonly #session: Session;
  readonly #workers = new Workers();
  /** Whether its blobs have a way to come. */
  readonly #isRemote: boolean;
  /** Blobs that are asked for before they are wanted, each for one opening. */
  readonly #ahead = new Map<string, Promise<LayerSource>>();
  /** A thread in the middle of a blob looks at its control word only. */
  readonly #stop = () => void this.#workers.cancel();

  constructor({ cache, fallbacks }: Pick<ChosenCache, "cache" | "fallbacks">, session: Session) {
    this.#cache = cache;
    this.#isRemote = cache.kind === "image";
    this.#others = fallbacks;
    this.#fallbacks = new Fallbacks(session.log);
    this.#session = session;
    session.signal.addEventListener("abort", this.#stop);
  }

  /** How many blobs may be unpacked at once. */
  get limit(): number {
    return this.#workers.limit;
  }

  /** How many small ones beside them. */
  get smallLimit(): number {
    return Math.max(this.limit, Math.min(mostSmall, Math.floor((spareDescriptors() - reservedDescriptors) / 4)));
  }

  /** Whether a blob of so many bytes is extracted at once. */
  isSmall(size: number): boolean {
    return !this.#isRemote && size <= smallBytes;
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
   * is removed again, and tried from the caches to fall back on, in a workplace of its own each (D25). Throws a RestorerError
   * (exit 42, or 1) when the disk or a thread is the trouble, after which it throws `Stopped` for all others; on abort the
   * signal's reason.
   */
  async unpack<P extends Workplace>(
    diffId: string,
    anchor: readonly string[],
    newPlace: () => P,
  ): Promise<Unpacked<P>> {
    let instead: Unusable | undefined;
    for (const cache of [this.#cache, ...this.#others]) {
      const place = newPlace();
      const outcome = await this.#unpackFrom(cache, diffId, anchor, place);
      if ("extracted" in outcome) return { isUsable: true, ...outcome, place, cache, instead };
      this.#session.log.debug(`${cache.name}: ${outcome.reason}`);
      instead ??= outcome;
    }
    return instead ?? { isUsable: false, code: "blob-unavailable", reason: "there is no cache" };
  }

  async #unpackFrom(
    cache: Cache,
    diffId: string,
    anchor: readonly string[],
    place: Workplace,
  ): Promise<{ readonly extracted: Extracted; readonly effort: Effort } | Unusable> {
    const { inputs, umask, signal } = this.#session;
    const { path: root, isMade, writesBehind, inheritsGroup, keepsModes } = place;
    const target = {
      root,
      isMade,
      anchor,
      writesBehind,
      inheritsGroup,
      keepsModes,
      layersDir: inputs.layersDir,
      umask,
    };
    try {
      const outcome = await this.#workers.extract(target, diffId, () => this.#open(cache, diffId));
      signal.throwIfAborted();
      if (outcome.ok) return { extracted: outcome.extracted, effort: outcome.effort };
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

  /**
   * Asks for a blob that comes soon, so that its way here costs no time once it is wanted. Trouble is left to its opening to
   * tell.
   */
  prepare(diffId: string): void {
    if (!this.#isRemote || this.#ahead.has(diffId)) return;
    const opening = this.#cache.open(diffId).then(begunAhead);
    this.#ahead.set(diffId, opening);
    opening.catch(() => {});
  }

  /** Ends all threads' work. */
  async end(): Promise<void> {
    this.#session.signal.removeEventListener("abort", this.#stop);
    await this.#workers.cancel();
  }

  async #open(cache: Cache, diffId: string): Promise<LayerSource> {
    this.#session.signal.throwIfAborted();
    if (cache !== this.#cache) await this.#fallbacks.look(cache);
    const ahead = cache === this.#cache ? this.#ahead.get(diffId) : undefined;
    this.#ahead.delete(diffId);
    return await (ahead ?? cache.open(diffId));
  }
}

function begunAhead(source: LayerSource): LayerSource {
  return source.kind === "file" ? source : { ...source, chunks: readAhead(source.chunks, aheadBytes) };
}
