import { describe, expect, test } from "bun:test";
import { RestorerError } from "../../lib/failures.ts";
import { auths, basic, hub, lookUp } from "../support/keychain-fixture.ts";

describe("CNB_REGISTRY_AUTH", () => {
  const env = {
    CNB_REGISTRY_AUTH: JSON.stringify({
      "https://basic.io/v1/": `Basic ${basic("u:p")}`,
      "bearer.io": "Bearer tok",
      "identity.io:5000": "X-Identity refresh",
      "docker.io": `basic ${basic("hub:p")}`,
    }),
  };

  test("maps registries to headers; keys may be URLs, docker.io is Docker Hub", async () => {
    expect(await lookUp({}, env, "basic.io")).toMatchObject({
      kind: "basic",
      login: "u:p",
      source: "CNB_REGISTRY_AUTH",
    });
    expect(await lookUp({}, env, "bearer.io")).toMatchObject({ kind: "bearer", bearer: "tok" });
    expect(await lookUp({}, env, "identity.io:5000")).toMatchObject({ kind: "identity", identity: "refresh" });
    expect(await lookUp({}, env, hub)).toMatchObject({ kind: "basic", login: "hub:p" });
  });

  test("is for the registry with that port and no other", async () => {
    expect((await lookUp({}, env, "identity.io")).kind).toBe("anonymous");
    expect((await lookUp({}, env, "sub.basic.io")).kind).toBe("anonymous");
  });

  test("comes before every file", async () => {
    const tree = { ".docker/config.json": auths({ "basic.io": { auth: basic("other:x") } }) };
    expect((await lookUp(tree, env, "basic.io")).login).toBe("u:p");
  });

  test.each(["NOT -- JSON s3cret", '["s3cret"]', '{"a": 5}', "null", '"s3cret"'])(
    "that is malformed is an error with exit code 1 which tells no secret: %j",
    async (value) => {
      const error = await lookUp({}, { CNB_REGISTRY_AUTH: value }).catch((thrown) => thrown);
      expect(error).toBeInstanceOf(RestorerError);
      expect(error.exitCode).toBe(1);
      expect(error.message).toContain("failed to parse CNB_REGISTRY_AUTH");
      expect(Bun.inspect(error)).not.toContain("s3cret");
    },
  );

  test("with a value of an unknown kind is an error, but only for a registry in use", async () => {
    const bad = { CNB_REGISTRY_AUTH: '{"reg.io":"Digest s3cret","ok.io":"Bearer x"}' };
    const error = await lookUp({}, bad).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(RestorerError);
    expect(Bun.inspect(error)).not.toContain("s3cret");
    expect((await lookUp({}, bad, "ok.io")).kind).toBe("bearer");
  });

  test("cannot smuggle another header in", async () => {
    const bad = { CNB_REGISTRY_AUTH: JSON.stringify({ "reg.io": "Bearer a\r\nX-Evil: 1" }) };
    expect(await lookUp({}, bad).catch((thrown) => thrown)).toBeInstanceOf(RestorerError);
  });
});
