import { type HttpTiming, httpTiming } from "../http/timing.ts";

/** How long to wait for a registry; all in milliseconds but the counts. */
export interface RegistryTiming extends HttpTiming {
  /** One document (manifest, config), or the beginning of a blob, with all attempts, redirects and the token. */
  readonly operationMs: number;
  /** One token, with all attempts. */
  readonly tokenMs: number;
  /** For how long a token server is asked again that refuses with status 429: a registry waits behind it. */
  readonly tokenLimitedMs: number;
  /** How long the body of a blob may give nothing, or next to nothing, before it counts as broken. */
  readonly stallMs: number;
  /** Less than this in all that time is next to nothing. */
  readonly trickleBytes: number;
  /** A connection that brings less than this is given up for a new one, */
  readonly crawlBytesPerSecond: number;
  /** after so long; twice as long each further time; */
  readonly crawlMs: number;
  /** but not where nothing has come for so long: then it pauses. */
  readonly pauseMs: number;
  /** How long registries may keep us waiting in silence in all, before nothing more is asked of those that do. */
  readonly silenceMs: number;
  /** Silence below this is not counted: it is how registries are. */
  readonly graceMs: number;
  /** How often a blob is resumed, and how often without having got any further. */
  readonly resumes: number;
  readonly fruitlessResumes: number;
}

/** Servers that stall, at whatever step, cost a run no more than `silenceMs` and a little. */
export const defaultTiming: RegistryTiming = {
  ...httpTiming,
  operationMs: 40_000,
  tokenMs: 35_000,
  tokenLimitedMs: 6_000,
  stallMs: 30_000,
  trickleBytes: 30 * 1024,
  crawlBytesPerSecond: 64 * 1024,
  crawlMs: 10_000,
  pauseMs: 2_000,
  silenceMs: 65_000,
  graceMs: 2_000,
  resumes: 20,
  fruitlessResumes: 3,
};
