import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { RestorerError } from "../../lib/failures.ts";
import { digestReference, formatReference, parseReference } from "../../lib/oci/reference.ts";
import { printable } from "../../lib/text.ts";

describe("references", () => {
  const host = fc.oneof(
    fc.constantFrom("localhost", "ghcr.io", "127.0.0.1:5000", "[::1]:5000", "Registry.Example:443", "docker.io"),
    fc.domain(),
  );
  const component = fc.stringMatching(/^[a-z0-9]{1,8}([_-][a-z0-9]{1,8})?$/);
  const repository = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
  const tag = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/);
  const digest = fc.stringMatching(/^[0-9a-f]{64}$/).map((hex) => `sha256:${hex}`);
  const valid = fc
    .tuple(fc.option(host), repository, fc.option(tag), fc.option(digest))
    .map(
      ([where, path, name, sha]) =>
        `${where === null ? "" : `${where}/`}${path}${name === null ? "" : `:${name}`}${sha === null ? "" : `@${sha}`}`,
    )
    .filter((reference) => !/(^|\/)[a-z0-9](:|@|$)/.test(reference));

  test("that are made by the rules come back the same from their own text", () => {
    fc.assert(
      fc.property(valid, (text) => {
        const parsed = parseReference(text);
        expect(parseReference(formatReference(parsed))).toEqual(parsed);
        const sha = `sha256:${"0".repeat(64)}`;
        const { registry, repository: path } = parseReference(digestReference(parsed, sha));
        expect({ registry, path }).toEqual({ registry: parsed.registry, path: parsed.repository });
      }),
      { numRuns: 1000 },
    );
  });
  test("of any text are parsed or refused with a RestorerError, and lead nowhere else", () => {
    const hostile = fc.oneof(
      fc.string(),
      fc
        .tuple(valid, fc.nat(), fc.constantFrom("/", "..", "%2e", "?", "#", "\\", "@", ":", " ", "\n", "//", "\0", "é"))
        .map(([text, at, insert]) => {
          const place = at % (text.length + 1);
          return text.slice(0, place) + insert + text.slice(place);
        }),
    );
    fc.assert(
      fc.property(hostile, (text) => {
        try {
          const { registry, repository: path, tag: label = "x" } = parseReference(text);
          const url = new URL(`https://${registry}/v2/${path}/manifests/${label}`);
          expect(url.pathname).toBe(`/v2/${path}/manifests/${label}`);
          expect(url.username + url.search + url.hash).toBe("");
        } catch (error) {
          if (!(error instanceof RestorerError)) throw error;
          expect(printable(error.message)).toBe(error.message);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
