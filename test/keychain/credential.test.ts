import { expect, test } from "bun:test";
import { inspect } from "node:util";
import { Credential } from "../../lib/keychain/credential.ts";
import { basic } from "../support/keychain-fixture.ts";

test("a credential shows its source but no secret, however it is printed", () => {
  const credential = new Credential("here", { basic: basic("u:s3cret"), identity: "s3cret-2", bearer: "s3cret-3" });
  const nested = { list: [credential] };
  for (const shown of [
    JSON.stringify(nested),
    Bun.inspect(nested),
    String(credential),
    inspect(nested, { showHidden: true, depth: 9 }),
    JSON.stringify(structuredClone({ ...credential })),
  ]) {
    expect(shown).not.toMatch(/s3cret/);
    expect(shown).not.toContain(basic("u:s3cret"));
  }
  expect(Bun.inspect(credential)).toContain("here");
});
