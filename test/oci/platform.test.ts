import { describe, expect, test } from "bun:test";
import { choosePlatform, contradicts, isSame } from "../../lib/oci/platform.ts";

const of = (text: string) => {
  const [os = "", architecture = "", variant = ""] = text.split("/");
  return { os, architecture, variant };
};
const chosen = (wanted: string, ...platforms: string[]) => {
  const all = platforms.map((text) => ({ platform: text === "" ? undefined : of(text) }));
  if (choosePlatform(all, of(wanted)) === undefined) return -1;
  return all.findIndex(({ platform }) => platform === choosePlatform(all, of(wanted))?.platform);
};

describe("of several platforms, the one chosen", () => {
  test.each([
    ["linux/amd64", ["windows/amd64", "linux/arm64", "linux/amd64"], 2],
    ["linux/arm64", ["windows/amd64", "linux/arm64", "linux/amd64"], 1],
    ["linux/s390x", ["linux/amd64", "", "unknown/unknown"], -1],
    ["linux/arm/v7", ["linux/arm/v6", "linux/arm", "linux/arm/v7"], 2],
    ["linux/arm/v5", ["linux/arm/v6", "linux/arm", "linux/arm/v7"], 1],
    ["linux/arm", ["linux/arm/v6", "linux/arm/v7"], 0],
    ["linux/amd64", ["linux/amd64/v3", "linux/amd64/v1"], 1],
    ["linux/arm64", ["linux/arm64/v8"], 0],
  ])("for %s of %p is number %i", (wanted, platforms, number) => {
    expect(chosen(wanted, ...platforms)).toBe(number);
  });
});

test("what is left open contradicts nothing", () => {
  const amd64 = of("linux/amd64");
  for (const said of ["", "linux", "/amd64", "linux/amd64/v3"]) expect(contradicts(of(said), amd64)).toBe(false);
  for (const said of ["windows", "linux/arm64", "unknown/unknown"]) expect(contradicts(of(said), amd64)).toBe(true);
  expect(contradicts(undefined, amd64)).toBe(false);
});

test("a variant that every machine has need not be named", () => {
  expect(isSame(of("linux/arm64/v8"), of("linux/arm64"))).toBe(true);
  expect(isSame(of("linux/arm/v7"), of("linux/arm"))).toBe(false);
});
