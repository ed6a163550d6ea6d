import { sleep } from "../waiting.ts";

/** How long a request waits for what; all in milliseconds but the count. */
export interface HttpTiming {
  /** One attempt: connecting, TLS, redirects, until the headers are there; for a document also its body. */
  readonly answerMs: number;
  /** The part of it that an address gets where another one may be tried next. */
  readonly probeMs: number;
  /** How often a request is sent at most. A refused connection or a time-out is tried once less. */
  readonly attempts: number;
  /** The first wait between attempts; each further one is three times as long, up to the cap. Half of it is chance. */
  readonly backoffMs: number;
  readonly backoffCapMs: number;
  /** The longest wait a server may ask for (Retry-After): one that asks for more is given up at once. */
  readonly retryAfterMs: number;
  /** For how long a request is sent again that is refused with status 429, because others ask too. */
  readonly limitedMs: number;
  /** Chance added to a wait that a server asked for: up to this, twice as much each further time, up to the cap. */
  readonly spreadMs: number;
  readonly spreadCapMs: number;
  /** How waits between attempts are waited. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** How long requests wait where nothing else is said. */
export const httpTiming: HttpTiming = {
  // One long attempt is worth more than three short ones: a server that is alive may need half a minute.
  answerMs: 30_000,
  probeMs: 3_000,
  attempts: 4,
  backoffMs: 400,
  backoffCapMs: 4_000,
  retryAfterMs: 20_000,
  limitedMs: 30_000,
  spreadMs: 1_000,
  spreadCapMs: 4_000,
  sleep,
};
