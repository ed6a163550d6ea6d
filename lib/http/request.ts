/** A request; sent again while that may help. */
export interface HttpRequest {
  /** The address; a further one is tried when the one before speaks no TLS. */
  readonly urls: readonly [URL, ...URL[]];
  readonly method?: "GET" | "POST" | "PUT";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** The value of `Authorization`; sent to the origin of `urls` only, wherever redirects lead. */
  readonly authorization?: string | undefined;
  /** Why a redirect may not be followed; undefined when it may. */
  readonly refuseRedirect: (from: URL, to: URL) => string | undefined;
  /** Reads a body of up to this many bytes as part of the attempt; without it the body is left to the caller. */
  readonly documentBytes?: number;
  /** How many requests to the same host come soon after it: connections for them are opened meanwhile, where that is possible. */
  readonly soon?: number;
  /** For how long it is sent again where it is refused with status 429, if not for as long as others. */
  readonly limitedMs?: number;
  /** Is not sent again where it is refused with status 429: it is one of several that could be fewer. */
  readonly givesWay?: boolean;
  readonly signal: AbortSignal;
  readonly listener?: Listener;
}

/** Is told what goes on while an answer is awaited. */
export interface Listener {
  /** Something came. */
  heard(): void;
  /** What was waited up to now is what the server asked for. */
  excuse(): void;
  /** It will be asked again, but not yet. */
  waits?(): void;
  /** It is asked again. */
  retried?(): void;
}

/** An answer, and how it came. */
export interface HttpAnswer {
  readonly response: Response;
  /** Which of the addresses answered. */
  readonly asked: URL;
  /** Where redirects led. */
  readonly answered: URL;
  /** The proxy that plain http went by, for people: it may be the one that answered. */
  readonly proxy?: string | undefined;
  /** The wait that the server asked for, in milliseconds, where that was too long to be waited. */
  readonly askedMs?: number;
  /** When it may be asked again (by `performance.now()`), where the request gave way to others. */
  readonly againAtMs?: number;
}
