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

  test.each(["NOT -- JSON s3cret", '["s3cret"]', "5", '{"a": "s3cret', '"s3cret"'])(
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
    for (const value of ['"Digest s3cret"', '"s3cret"', '"Bearer"', '"Basic "', '""']) {
      const bad = { CNB_REGISTRY_AUTH: `{"reg.io":${value},"ok.io":"Bearer x"}` };
      const error = await lookUp({}, bad).catch((thrown) => thrown);
      expect(error).toBeInstanceOf(RestorerError);
      expect(Bun.inspect(error)).not.toContain("s3cret");
      expect((await lookUp({}, bad, "ok.io")).kind).toBe("bearer");
    }
  });

  test("with a value that is not text is an error, but only for a registry in use", async () => {
    for (const value of ["5", "true", '["s3cret"]', '{"auth":"s3cret"}']) {
      const bad = { CNB_REGISTRY_AUTH: `{"reg.io":${value},"ok.io":"Bearer x"}` };
      const error = await lookUp({}, bad).catch((thrown) => thrown);
      expect(error).toBeInstanceOf(RestorerError);
      expect(error.message).toContain('the value for "reg.io" is not text');
      expect(Bun.inspect(error)).not.toContain("s3cret");
      expect((await lookUp({}, bad, "ok.io")).kind).toBe("bearer");
    }
  });

  test.each(["", " \n", "null", " null\n", "{}", '{"reg.io":null}', "\ufeff{}"])("may hold none: %j", async (value) => {
    expect((await lookUp({}, { CNB_REGISTRY_AUTH: value })).kind).toBe("anonymous");
  });

  const long = `user:${"p4ss".repeat(500)}`;
  const wrapped = basic(long).replace(/.{76}/g, "$&\n");
  test.each<[what: string, json: string]>([
    ["ends in a newline", JSON.stringify({ "reg.io": `Basic ${basic(long)}\n` })],
    ["was wrapped by base64, as JSON has it", JSON.stringify({ "reg.io": `Basic ${wrapped}\n` })],
    ["was wrapped by base64, as a shell puts it there", `{"reg.io": "Basic ${wrapped}"}\n`],
    ["was wrapped behind its first word", `{"reg.io": "Basic\n${wrapped}\n"}`],
    ["has a tab behind its first word", `{"reg.io": "Basic\t${basic(long)}"}`],
    [
      "has something deep for another registry",
      `{"deep.io":${"[".repeat(500)}${"]".repeat(500)},"reg.io":"Basic ${basic(long)}"}`,
    ],
    ["was wrapped on Windows", `{\r\n\t"reg.io": "Basic ${wrapped.replaceAll("\n", "\r\n")}"\r\n}`],
    ["has spaces around everything", ` { " reg.io ": "  basic   ${basic(long)}  " } `],
    ["begins with a byte order mark", `\ufeff{"reg.io": "Basic ${basic(long)}"}`],
    ["is of a password with the newline of echo", `{"reg.io": "Basic ${basic(`${long}\n`)}"}`],
  ])("that %s is what was meant", async (_, json) => {
    expect((await lookUp({}, { CNB_REGISTRY_AUTH: json })).login).toBe(long);
  });

  test("may have line breaks in a token, too", async () => {
    const token = "eyJhbGciOi.J9-_~+/".repeat(100);
    const broken = token.replace(/.{76}/g, "$&\n");
    const of = (scheme: string) => ({ CNB_REGISTRY_AUTH: JSON.stringify({ "reg.io": `${scheme}\n${broken}\n` }) });
    expect((await lookUp({}, of("Bearer"))).bearer).toBe(token);
    expect((await lookUp({}, of("X-Identity"))).identity).toBe(token);
  });

  test("cannot smuggle another header in", async () => {
    const bad = { CNB_REGISTRY_AUTH: JSON.stringify({ "reg.io": "Bearer a\r\nX-Evil: 1" }) };
    expect(await lookUp({}, bad).catch((thrown) => thrown)).toBeInstanceOf(RestorerError);
  });
});
