/** How long to wait for what; all in milliseconds but the counts. */
export interface RegistryTiming {
  /** One attempt: connecting, TLS, until the headers are there; for a document also its body. */
  readonly answerMs: number;
  /** The part of it that https gets where plain http may be tried next. */
  readonly probeMs: number;
  /** One document (manifest, config), or the beginning of a blob, with all attempts, redirects and the token. */
  readonly operationMs: number;
  /** One token, with all attempts. */
  readonly tokenMs: number;
  /** How long the body of a blob may give nothing, or next to nothing, before it counts as broken. */
  readonly stallMs: number;
  /** Less than this in all that time is next to nothing. */
  readonly trickleBytes: number;
  /** How long registries may keep us waiting in silence in all, before nothing more is asked of those that do. */
  readonly silenceMs: number;
  /** Silence below this is not counted: it is how registries are. */
  readonly graceMs: number;
  /** How often a request is sent at most. A refused connection or a time-out is tried once less. */
  readonly attempts: number;
  /** The first wait between attempts; each further one is three times as long, up to the cap. A part of it is chance. */
  readonly backoffMs: number;
  readonly backoffCapMs: number;
  /** The longest wait a server may ask for (Retry-After). */
  readonly retryAfterMs: number;
  /** For how long a request is sent again that is refused with status 429, because others ask too. */
  readonly limitedMs: number;
  /** Chance added to a wait that a server asked for: up to this, twice as much each further time, up to the cap. */
  readonly spreadMs: number;
  readonly spreadCapMs: number;
  /** How often a blob is resumed, and how often without having got any further. */
  readonly resumes: number;
  readonly fruitlessResumes: number;
}

/** Servers that stall, at whatever step, cost a run no more than `silenceMs` and a little. */
export const defaultTiming: RegistryTiming = {
  answerMs: 15_000,
  probeMs: 3_000,
  operationMs: 40_000,
  tokenMs: 35_000,
  stallMs: 30_000,
  trickleBytes: 1024,
  silenceMs: 65_000,
  graceMs: 2_000,
  attempts: 4,
  backoffMs: 400,
  backoffCapMs: 4_000,
  retryAfterMs: 10_000,
  limitedMs: 20_000,
  spreadMs: 1_000,
  spreadCapMs: 4_000,
  resumes: 20,
  fruitlessResumes: 3,
};

/** The wait before attempt `attempt` + 1, `attempt` counting from 1. */
export function backoff({ backoffMs, backoffCapMs }: RegistryTiming, attempt: number): number {
  return jitter(Math.min(backoffCapMs, backoffMs * 3 ** (attempt - 1)));
}

/** What to wait beyond the time a server asked for before attempt `attempt` + 1: it tells all who come the same time. */
export function spread({ spreadMs, spreadCapMs }: RegistryTiming, attempt: number): number {
  return Math.random() * Math.min(spreadCapMs, spreadMs * 2 ** (attempt - 1));
}

/** Half of a wait is chance, so that many builds that failed at once do not come back at once. */
function jitter(ms: number): number {
  return ms * (0.5 + Math.random() / 2);
}

/** Waits; throws the signal's reason when it is aborted meanwhile. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(resolve, ms);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

/** A promise, or the signal's reason if it is aborted first; for work that others wait for too and that goes on. */
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
