import { expect, test } from "bun:test";
import { Digester, digestOf, isDigest } from "../../lib/oci/digest.ts";

const empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

test("bytes have one digest, whole or in pieces", () => {
  expect(digestOf(new Uint8Array())).toBe(empty);
  const bytes = Buffer.from("layer");
  const digest = new Digester().update(bytes.subarray(0, 2)).update(bytes.subarray(2)).digest();
  expect(digest).toBe(digestOf(bytes));
  expect(isDigest(digest)).toBe(true);
});

test.each([
  "",
  "sha256:",
  empty.toUpperCase(),
  `${empty}0`,
  ` ${empty}`,
  `${empty}\n`,
  `sha512:${"a".repeat(128)}`,
  "sha256:../../etc/passwd",
])("%j is not a digest", (text) => expect(isDigest(text)).toBe(false));
