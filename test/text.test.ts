import { expect, test } from "bun:test";
import fc from "fast-check";
import { printable, quote, withShortDigests } from "../lib/text.ts";

test("no message carries a control character to a terminal", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(quote(text)).not.toMatch(/[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/);
      expect(printable(text)).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/);
    }),
    { numRuns: 2000 },
  );
});

test("digests are cut to twelve digits, but not where somebody may want to copy them from a reference or a path", () => {
  const digest = `sha256:${"0123456789ab".padEnd(64, "c")}`;
  expect(withShortDigests(`has "${digest}", not ${digest}`)).toBe('has "sha256:0123456789ab", not sha256:0123456789ab');
  for (const whole of [`x/y@${digest}`, `/cache/committed/${digest}.tar`, `${digest}.tar`, `${digest}00`]) {
    expect(withShortDigests(whole)).toBe(whole);
  }
});
