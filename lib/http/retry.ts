import { hasCode } from "../errors.ts";
import { breaksAnswer, isTransient } from "./errors.ts";
import type { HttpTiming } from "./timing.ts";

/** What came of an attempt, and when (in milliseconds of any clock): an answer, or an error in its place. */
export type AttemptOutcome =
  | { readonly atMs: number; readonly status: number; readonly retryAfterMs: number | undefined }
  | { readonly atMs: number; readonly error: unknown };

/** A wait, a part of which is chance: many builds that failed at once must not come back at once. */
interface Wait {
  readonly leastMs: number;
  readonly chanceMs: number;
}

/** What to do after an attempt: take its answer, send the request again after a wait, or take what failed as it is. */
export type RetryDecision =
  | { readonly kind: "done" | "give-up" }
  /** The server asks for a wait that is longer than ours may be. */
  | { readonly kind: "too-long"; readonly askedMs: number }
  | {
      readonly kind: "again";
      readonly wait: Wait;
      /** Whether the server asked for the wait. */
      readonly isAsked: boolean;
    };

/** A century: what exceeds it means the same, and remains a number. */
const longestMs = 100 * 365 * 24 * 3600 * 1000;

const giveUp: RetryDecision = { kind: "give-up" };
/** Statuses that may pass. */
export const transientStatuses: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/**
 * Decides what follows the last of all attempts so far. A server that limits its clients (429) answers, and will have time
 * for us: it is asked for `limitedMs`, and not at all again where that `isVain`, since other requests waited for it.
 * Everything else that may pass is tried a few times.
 * One that asks for a longer wait than ours may be is given up at once.
 */
export function decideRetry(outcomes: readonly AttemptOutcome[], isVain: boolean, timing: HttpTiming): RetryDecision {
  const last = outcomes.at(-1);
  if (last === undefined) throw new Error("no attempt was made");
  if ("status" in last && !transientStatuses.has(last.status)) return { kind: "done" };
  const askedMs = "status" in last ? last.retryAfterMs : undefined;
  if (askedMs !== undefined && askedMs > timing.retryAfterMs) return { kind: "too-long", askedMs };
  if (isLimited(last)) {
    const since = outcomes.find(isLimited)?.atMs ?? last.atMs;
    const leftMs = timing.limitedMs - (last.atMs - since);
    if (askedMs !== undefined && askedMs > timing.limitedMs) return { kind: "too-long", askedMs };
    return isVain || leftMs <= 0 || (askedMs ?? 0) > leftMs ? giveUp : again(last, outcomes.length, timing);
  }
  const failures = outcomes.filter((outcome) => !isLimited(outcome)).length;
  return failures < attemptsFor(last, timing) ? again(last, outcomes.length, timing) : giveUp;
}

function isLimited(outcome: AttemptOutcome): boolean {
  return "status" in outcome && outcome.status === 429;
}

function attemptsFor(outcome: AttemptOutcome, { attempts }: HttpTiming): number {
  if ("status" in outcome) return attempts;
  // What does not speak HTTP hardly ever will; an answer may have been mangled on the way.
  if (!isTransient(outcome.error)) return breaksAnswer(outcome.error) ? 2 : 1;
  // These take long, or tell much: nobody listens there.
  return hasCode(outcome.error, "Timeout", "ECONNREFUSED") ? attempts - 1 : attempts;
}

function again(last: AttemptOutcome, attempts: number, timing: HttpTiming): RetryDecision {
  const askedMs = "status" in last ? last.retryAfterMs : undefined;
  const isAsked = askedMs !== undefined || isLimited(last);
  const wait = askedMs === undefined ? backoff(timing, attempts) : { leastMs: askedMs, chanceMs: 0 };
  // A server tells all who come the same time.
  const spreadMs = isAsked ? Math.min(timing.spreadCapMs, timing.spreadMs * 2 ** (attempts - 1)) : 0;
  return { kind: "again", wait: { ...wait, chanceMs: wait.chanceMs + spreadMs }, isAsked };
}

/** The wait before attempt `attempts` + 1, `attempts` counting from 1. */
export function backoff({ backoffMs, backoffCapMs }: HttpTiming, attempts: number): Wait {
  const half = Math.min(backoffCapMs, backoffMs * 3 ** (attempts - 1)) / 2;
  return { leastMs: half, chanceMs: half };
}

/** Milliseconds that Retry-After asks for, in seconds or as a date (RFC 9110, section 10.2.3); undefined where it is neither. */
export function parseRetryAfter(text: string | null, nowMs: number): number | undefined {
  if (text === null) return undefined;
  if (/^\d+(\.\d+)?$/.test(text.trim())) return Math.min(longestMs, Number(text) * 1000);
  const date = /^[A-Z][a-z]+, .* GMT$/.test(text.trim()) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}

/** How long a wait is, this time. */
export function draw({ leastMs, chanceMs }: Wait): number {
  return leastMs + Math.random() * chanceMs;
}
