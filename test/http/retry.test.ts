import { expect, describe as group, test } from "bun:test";
import { TransportError } from "../../lib/http/errors.ts";
import {
  type AttemptOutcome,
  backoff,
  decideRetry,
  draw,
  parseRetryAfter,
  type RetryDecision,
} from "../../lib/http/retry.ts";
import { type HttpTiming, httpTiming } from "../../lib/http/timing.ts";

const timing: HttpTiming = {
  ...httpTiming,
  attempts: 4,
  backoffMs: 100,
  backoffCapMs: 1000,
  retryAfterMs: 10_000,
  limitedMs: 20_000,
  spreadMs: 50,
  spreadCapMs: 150,
};

const answer = (status: number, retryAfterMs?: number, atMs = 0): AttemptOutcome => ({ atMs, status, retryAfterMs });
const failed = (code: string): AttemptOutcome => ({ atMs: 0, error: new TransportError(code, "host: trouble") });
const times = (count: number, outcome: AttemptOutcome) => Array.from({ length: count }, () => outcome);
const after = (outcomes: readonly AttemptOutcome[], isVain = false): RetryDecision =>
  decideRetry(outcomes, isVain, timing);

group("an answer", () => {
  test.each([200, 206, 304, 400, 401, 403, 404, 405, 410, 501])("of status %i is what counts", (status) => {
    expect(after([answer(status)])).toEqual({ kind: "done" });
    expect(after([answer(503), answer(429), failed("ECONNRESET"), answer(status)])).toEqual({ kind: "done" });
  });

  test.each([408, 500, 502, 503, 504])("of status %i may be another one next time, of four", (status) => {
    for (const count of [1, 2, 3]) expect(after(times(count, answer(status))).kind).toBe("again");
    expect(after(times(4, answer(status)))).toEqual({ kind: "give-up" });
  });
});

group("an error", () => {
  test.each(["ECONNRESET", "EPIPE", "ETIMEDOUT", "EHOSTUNREACH", "EAI_AGAIN", "ConnectionClosed"])(
    "of the connection may pass, of four: %s",
    (code) => {
      for (const count of [1, 2, 3]) expect(after(times(count, failed(code))).kind).toBe("again");
      expect(after(times(4, failed(code)))).toEqual({ kind: "give-up" });
    },
  );

  test.each(["ECONNREFUSED", "Timeout"])(
    "that takes long, or tells that nobody listens, is tried once less: %s",
    (code) => {
      for (const count of [1, 2]) expect(after(times(count, failed(code))).kind).toBe("again");
      expect(after(times(3, failed(code)))).toEqual({ kind: "give-up" });
    },
  );

  test.each(["ENOTFOUND", "EPROTO", "CERT_HAS_EXPIRED", "Redirect", "TooLarge"])("that stays is not: %s", (code) => {
    expect(after([failed(code)])).toEqual({ kind: "give-up" });
  });

  test.each(["Malformed_HTTP_Response", "InvalidContentLength"])(
    "of an answer that is not HTTP may, once: %s",
    (code) => {
      expect(after([failed(code)]).kind).toBe("again");
      expect(after(times(2, failed(code)))).toEqual({ kind: "give-up" });
    },
  );

  test("of the program is not", () => {
    expect(after([{ atMs: 0, error: new TypeError("oops") }])).toEqual({ kind: "give-up" });
  });

  test("counts with statuses together", () => {
    expect(after([answer(503), failed("ECONNRESET"), answer(500)]).kind).toBe("again");
    expect(after([answer(503), failed("ECONNRESET"), answer(500), answer(502)])).toEqual({ kind: "give-up" });
  });
});

group("a server that limits its clients", () => {
  test("is asked for a while, however often, counted from its first such answer", () => {
    const asked = Array.from({ length: 30 }, (_, i) => answer(429, undefined, 5000 + i * 600));
    expect(after(asked).kind).toBe("again");
    expect(after([...asked, answer(429, undefined, 24_999)]).kind).toBe("again");
    expect(after([...asked, answer(429, undefined, 25_000)])).toEqual({ kind: "give-up" });
  });

  test("does not fail with it", () => {
    expect(after([...times(20, answer(429)), ...times(3, answer(503))]).kind).toBe("again");
    expect(after([...times(20, answer(429)), ...times(4, answer(503))])).toEqual({ kind: "give-up" });
  });

  test("is not waited for where others waited in vain; what fails otherwise is tried all the same", () => {
    expect(after([answer(429)], true)).toEqual({ kind: "give-up" });
    expect(after([answer(503)], true).kind).toBe("again");
  });
});

test.each([408, 429, 500, 502, 503, 504])("a wait asked for that is longer than ours may be ends it: %i", (status) => {
  for (const before of [[], [failed("ECONNRESET")], [answer(429, 1000)]]) {
    const tooLong = { kind: "too-long", askedMs: 10_001 } as const;
    expect(after([...before, answer(status, 10_001)])).toEqual(tooLong);
    expect(after([...before, answer(status, 10_001)], true)).toEqual(tooLong);
    expect(after([...before, answer(status, 10_000)]).kind).toBe("again");
  }
  expect(after([answer(200, 86_400_000)])).toEqual({ kind: "done" });
});

group("a wait that goes beyond the time a server is asked for", () => {
  const brief = (...outcomes: AttemptOutcome[]) => decideRetry(outcomes, false, { ...timing, limitedMs: 6000 });

  test("is not waited", () => {
    expect(brief(answer(429, 5000)).kind).toBe("again");
    expect(brief(answer(429, 5000), answer(429, 5000, 1000)).kind).toBe("again");
    expect(brief(answer(429, 5000), answer(429, 5000, 1001))).toEqual({ kind: "give-up" });
  });

  test("is told where it is longer by itself", () => {
    expect(brief(answer(429, 6001))).toEqual({ kind: "too-long", askedMs: 6001 });
  });
});

group("the wait", () => {
  const waitAfter = (...outcomes: AttemptOutcome[]) => {
    const decision = after(outcomes);
    return decision.kind === "again" && [decision.wait.leastMs, decision.wait.chanceMs, decision.isAsked];
  };
  const reset = failed("ECONNRESET");
  const limited = answer(429);

  test.each<[what: string, outcomes: AttemptOutcome[], leastMs: number, chanceMs: number, isAsked: boolean]>([
    ["is half chance", [reset], 50, 50, false],
    ["is three times as long each time", [reset, reset], 150, 150, false],
    ["has a cap", [reset, reset, reset], 450, 450, false],
    ["is as long as the server asks, and some chance more", [answer(503, 3000)], 3000, 50, true],
    ["with more chance each time", [answer(503, 3000), answer(503, 3000)], 3000, 100, true],
    ["up to a cap", [reset, reset, answer(503, 3000)], 3000, 150, true],
    ["counts as asked for by a limit that names no time", [limited], 50, 100, true],
    ["has its cap there, too", times(9, limited), 500, 650, true],
    ["follows the last answer alone", [answer(429, 3000), reset], 150, 150, false],
  ])("%s", (_, outcomes, leastMs, chanceMs, isAsked) => {
    expect(waitAfter(...outcomes)).toEqual([leastMs, chanceMs, isAsked]);
  });

  test("is within its bounds, whatever chance says", () => {
    for (let i = 0; i < 100; i++) {
      const ms = draw(backoff(timing, 2));
      expect(ms).toBeGreaterThanOrEqual(150);
      expect(ms).toBeLessThanOrEqual(300);
    }
  });
});

test.each<[text: string | null, ms: number | undefined]>([
  [null, undefined],
  ["0", 0],
  ["120", 120_000],
  ["Wed, 21 Oct 2015 07:28:00 GMT", 30_000],
  ["Wed, 21 Oct 2015 07:27:00 GMT", 0],
  ["", undefined],
  ["soon", undefined],
  ["-1", undefined],
  ["1.5", 1500],
  [" 7 ", 7000],
  ["9".repeat(400), 3_153_600_000_000],
  ["Wed, 21 Oct 2015 09:27:30 GMT", 7_200_000],
  ["Wed, 99 Oct 2015 07:28:00 GMT", undefined],
])("Retry-After: %s", (text, ms) => {
  expect(parseRetryAfter(text, Date.UTC(2015, 9, 21, 7, 27, 30))).toBe(ms);
});
