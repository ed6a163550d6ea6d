import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseChallenges } from "../../lib/registry/challenges.ts";

describe("WWW-Authenticate", () => {
  const token = fc.stringMatching(/^[a-z][a-z0-9_-]{0,10}$/);
  const value = fc.string({ unit: "grapheme-ascii", maxLength: 30 });
  const parameters = fc.uniqueArray(fc.tuple(token, value, fc.boolean()), {
    selector: ([name]) => name,
    minLength: 1,
    maxLength: 5,
  });
  const challenge = fc.record({ scheme: token, parameters });

  test("gives back all challenges that were written, however they are quoted and spaced", () => {
    const space = fc.constantFrom("", " ", "  ");
    fc.assert(
      fc.property(fc.array(challenge, { minLength: 1, maxLength: 3 }), space, (challenges, gap) => {
        const header = challenges
          .map(({ scheme, parameters: pairs }) => {
            const shown = pairs.map(([name, text, plain]) => {
              const isToken = plain && /^[A-Za-z0-9_-]+$/.test(text);
              return `${name}=${isToken ? text : `"${text.replace(/["\\]/g, "\\$&")}"`}`;
            });
            return `${scheme} ${shown.join(`${gap},${gap}`)}`;
          })
          .join(`${gap}, ${gap}`);
        const parsed = parseChallenges(header).map(({ scheme, parameters: map }) => ({ scheme, parameters: [...map] }));
        const written = challenges.map(({ scheme, parameters: pairs }) => ({
          scheme,
          parameters: pairs.map(([name, text]) => [name, text]),
        }));
        expect(parsed).toEqual(written as typeof parsed);
      }),
      { numRuns: 1000 },
    );
  });
  test("never throws, and takes no longer for longer nonsense", () => {
    const piece = fc.constantFrom("Bearer ", "realm=", '"', "\\", ",", "=", " ", "a", "\t", "é", '"\\"', "==");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 5000 }), (pieces) => void parseChallenges(pieces.join(""))),
      { numRuns: 300 },
    );
  });
});
