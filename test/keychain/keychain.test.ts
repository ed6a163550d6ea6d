import { expect, test } from "bun:test";
import { anonymous } from "../../lib/keychain/credential.ts";
import { resolveKeychain } from "../../lib/keychain/keychain.ts";
import { tempDir } from "../support/harness.ts";
import { basic, record } from "../support/keychain-fixture.ts";

test("a registry that is not in use has no credentials, and its helper is not asked", async () => {
  const config = { credHelpers: { "other.io": "absent" }, auths: { "other.io": { auth: basic("u:p") } } };
  using home = tempDir("keychain", { ".docker/config.json": JSON.stringify(config) });
  const log = record();
  const keychain = await resolveKeychain({
    env: { HOME: home.path, PATH: "" },
    images: [{ registry: "reg.io", repository: "org/app" }],
    log,
  });
  expect(keychain.for("other.io", "x/y")).toBe(anonymous);
  expect(log.lines.filter((line) => line.startsWith("warn"))).toEqual([]);
});
