import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseChallenges } from "../../lib/registry/challenges.ts";

function parsed(header: string): [string, Record<string, string>][] {
  return parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);
}

test("one challenge, its names in lower case", () => {
  expect(parsed('Bearer Realm="https://auth.example/token",service="reg",SCOPE="repository:a/b:pull"')).toEqual([
    ["bearer", { realm: "https://auth.example/token", service: "reg", scope: "repository:a/b:pull" }],
  ]);
});

test("several challenges in one header, and commas inside of quotes", () => {
  expect(parsed('Negotiate, Basic realm="a, b", Bearer realm="https://x/y",scope="repository:a:pull,push"')).toEqual([
    ["negotiate", {}],
    ["basic", { realm: "a, b" }],
    ["bearer", { realm: "https://x/y", scope: "repository:a:pull,push" }],
  ]);
});

test("quoted strings with escapes, values without quotes, blanks around the equals sign", () => {
  expect(parsed('Basic realm="say \\"hi\\" \\\\",charset = UTF-8')).toEqual([
    ["basic", { realm: 'say "hi" \\', charset: "UTF-8" }],
  ]);
});

test("an unquoted address is taken as it is", () => {
  expect(parsed("Bearer realm=https-token/x==, service=y")).toEqual([
    ["bearer", { realm: "https-token/x==", service: "y" }],
  ]);
  expect(parsed("Bearer realm=http://h:5000/token?a=b&c")).toEqual([
    ["bearer", { realm: "http://h:5000/token?a=b&c" }],
  ]);
  expect(parsed('Bearer realm=https://h/token,service=reg.io,scope="repository:a:pull", Basic realm=my place')).toEqual(
    [
      ["bearer", { realm: "https://h/token", service: "reg.io", scope: "repository:a:pull" }],
      ["basic", { realm: "my" }],
      ["place", {}],
    ],
  );
  expect(parsed("Bearer service=s realm=https://h/t")).toEqual([["bearer", { service: "s", realm: "https://h/t" }]]);
});

test("credentials in one piece are no parameters, and hide no challenge after them", () => {
  expect(parsed('NTLM TlRMTVNTUAACAAAA==, Basic realm="x"')).toEqual([
    ["ntlm", {}],
    ["basic", { realm: "x" }],
  ]);
});

test("the first of two parameters of the same name counts", () => {
  expect(parsed('Bearer realm="one",realm="two"')).toEqual([["bearer", { realm: "one" }]]);
});

test("nothing, or nonsense, gives what was understood before it", () => {
  expect(parsed("")).toEqual([]);
  expect(parsed(" , ,")).toEqual([]);
  expect(parsed('Basic realm="x", "')).toEqual([["basic", { realm: "x" }]]);
  expect(parsed('Bearer realm="never closed')[0]?.[0]).toBe("bearer");
});

test("no header makes it throw or hang", () => {
  const piece = fc.constantFrom(
    "Basic",
    "Bearer",
    " ",
    ",",
    "=",
    '"',
    "\\",
    "realm",
    "a==",
    "\t",
    "é",
    "Negotiate abc=",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      parseChallenges(pieces.join(""));
    }),
    { numRuns: 2000 },
  );
});
