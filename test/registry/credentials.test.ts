import { expect, describe as group, test } from "bun:test";
import { describe } from "../../lib/errors.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import type { Fault, FaultRegistry } from "../support/fault-registry.ts";
import { anything, basic, client, collect, failure, image, layers, pull, serving } from "../support/registry-client.ts";

group("credentials:", () => {
  const login = (user: string) => (server: FaultRegistry) => ({ auth: { [server.host]: basic(user) } });

  test("nobody is told who we are without asking", async () => {
    await using all = await serving({}, login("u:p"));
    await pull(all);
    expect(all.server.requests.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
  });

  test("Basic, after one challenge", async () => {
    await using all = await serving({ auth: { kind: "basic", user: "u:p" } }, login("u:p"));
    await pull(all);
    expect(all.server.count(/./, (status) => status === 401)).toBe(1);
    expect(all.server.count(/./)).toBe(2 + layers.length);
  });

  test("Bearer as it is", async () => {
    await using all = await serving({ auth: { kind: "bearer", token: "tok" } }, (server) => ({
      auth: { [server.host]: "Bearer tok" },
    }));
    await pull(all);
    expect(all.server.count(/token/, anything)).toBe(0);
  });

  test("a token for a password, fetched once for requests side by side", async () => {
    await using all = await serving({ auth: { kind: "token", user: "u:p" } }, login("u:p"));
    await pull(all);
    expect(all.server.count(/token/, anything)).toBe(1);
    const query = new URLSearchParams(all.server.requests.find(({ path }) => path === "/token")?.query);
    expect([query.get("service"), query.get("scope")]).toEqual(["test", "repository:org/app:pull"]);
  });

  test("a token for nobody in particular", async () => {
    await using all = await serving({ auth: { kind: "token" } });
    await pull(all);
    expect(all.server.requests.some(({ headers }) => String(headers.authorization).startsWith("Basic"))).toBe(false);
  });

  test("a token for an identity token, by OAuth2", async () => {
    await using all = await serving({ auth: { kind: "token", user: "x:y", refreshToken: "refresh" } }, (server) => ({
      auth: { [server.host]: "X-Identity refresh" },
    }));
    await pull(all);
    const [asked] = all.server.requests.filter(({ path }) => path === "/token");
    expect(asked?.method).toBe("POST");
    expect(new URLSearchParams(asked?.body).get("grant_type")).toBe("refresh_token");
  });

  test("a token server without OAuth2 is asked by GET", async () => {
    await using all = await serving(
      { auth: { kind: "token" }, rules: [{ path: /token/, method: "POST", fault: { kind: "status", status: 404 } }] },
      (server) => ({ auth: { [server.host]: "X-Identity refresh" } }),
    );
    await pull(all);
    expect(all.server.requests.filter(({ path }) => path === "/token").map(({ method }) => method)).toEqual([
      "POST",
      "GET",
    ]);
  });

  test("a token that expired in the middle of a run is renewed", async () => {
    await using all = await serving({ auth: { kind: "token", user: "u:p" } }, login("u:p"));
    const found = await all.registry.image(all.reference);
    all.server.revokeTokens();
    await all.registry.config(found);
    expect(all.server.count(/token/)).toBe(2);
  });

  test("a token that is good for one request is renewed for each", async () => {
    await using all = await serving({ auth: { kind: "token", user: "u:p", uses: 1 } }, login("u:p"));
    const found = await all.registry.image(all.reference);
    const { config } = await all.registry.config(found);
    for (const layer of found.manifest.layers) await collect(all.registry.blob(found, layer));
    expect(config.diffIds).toHaveLength(2);
  });

  test("a token about to expire is renewed before it does", async () => {
    await using all = await serving({ auth: { kind: "token", expiresIn: 0.000001 } });
    const found = await all.registry.image(all.reference);
    await all.registry.config(found);
    expect(all.server.count(/v2/, (status) => status === 401)).toBe(1);
    expect(all.server.count(/token/)).toBe(2);
  });

  test("of several challenges, the first that can be answered counts", async () => {
    const challenge = ["Negotiate", 'Digest realm="a, b", nonce="x", Basic realm="c, d"'];
    await using all = await serving({ auth: { kind: "basic", user: "u:p" }, challenge }, login("u:p"));
    await pull(all);
    expect(all.server.requests.at(-1)?.headers.authorization).toBe(basic("u:p"));
  });

  test("a registry that hides what is private from strangers is shown who we are", async () => {
    await using all = await serving(
      { rules: [{ path: /./, times: 1, fault: { kind: "status", status: 404 } }] },
      login("u:p"),
    );
    await all.registry.image(all.reference);
    expect(all.server.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, basic("u:p")]);
  });

  test("a 401 without a challenge is answered once", async () => {
    const fault: Fault = { kind: "status", status: 401 };
    await using all = await serving({ rules: [{ path: /./, fault }] }, login("u:p"));
    const error = await failure(all.registry.image(all.reference));
    expect(error.mayNotExist).toBe(true);
    expect(all.server.requests).toHaveLength(2);
  });

  test("wrong ones fail with their source and what to do, but not what they are", async () => {
    for (const auth of [{ kind: "basic", user: "u:p" } as const, { kind: "token", user: "u:p" } as const]) {
      await using all = await serving({ auth }, login("user:s3cret"));
      const error = await failure(all.registry.image(all.reference));
      expect([error.status, error.mayNotExist, error.notFound]).toEqual([401, true, false]);
      expect(error.message).toContain("credentials: CNB_REGISTRY_AUTH");
      expect(error.hint).toContain("CNB_REGISTRY_AUTH");
      expect(error.message).toContain(`${all.server.host}/org/app:v1`);
      const everything = [...all.lines, describe(error), Bun.inspect(error), error.hint].join("\n");
      expect(everything).not.toMatch(/s3cret|token-[0-9a-f]{8}/);
      expect(everything).not.toContain(basic("user:s3cret").slice(6));
    }
  });

  test("missing ones fail with the way to give them", async () => {
    await using all = await serving({ auth: { kind: "basic", user: "u:p" } });
    const error = await failure(all.registry.image(all.reference));
    expect(error.hint).toContain("set CNB_REGISTRY_AUTH or log in to");
  });

  test("a server that echoes a secret does not get it into a message", async () => {
    const body = JSON.stringify({ errors: [{ message: `bad s3cret-password and ${basic("u:s3cret-password")}` }] });
    await using all = await serving(
      { rules: [{ path: /./, fault: { kind: "status", status: 403, body } }] },
      login("u:s3cret-password"),
    );
    expect((await failure(all.registry.image(all.reference))).message).toContain('"bad *** and Basic ***"');
  });

  test.each([
    ["JSON", (echo: string) => JSON.stringify({ errors: [{ message: `bad header ${echo}` }] })],
    ["JSON, escaped", (echo: string) => `{"message":"bad header ${echo.replaceAll("-", "\\u002d")}"}`],
    ["plain text", (echo: string) => `bad header ${echo}\n`],
  ])("a registry that echoes a token, in %s, does not get it into a message either", async (_, bodyOf) => {
    const token = "SECRET-TOKEN-123";
    for (const echo of [`Bearer ${token}`, `bearer ${token}`, token]) {
      await using all = await serving({
        auth: { kind: "token" },
        rules: [
          { path: /token/, fault: { kind: "status", status: 200, body: JSON.stringify({ token }) } },
          { path: /./, after: 1, fault: { kind: "status", status: 403, body: bodyOf(echo) } },
        ],
      });
      const error = await failure(all.registry.image(all.reference));
      expect(all.server.requests.at(-1)?.headers.authorization).toBe(`Bearer ${token}`);
      expect(error.message).toContain("bad header ");
      expect([...all.lines, describe(error), Bun.inspect(error)].join("\n")).not.toContain(token);
    }
  });

  test("nor does a token server that echoes what it was sent, escaped", async () => {
    const user = "user:s3cret??>";
    const secret = basic(user).slice("Basic ".length);
    expect(secret).toContain("/");
    const body = `{"details":"bad header Basic ${secret.replaceAll("/", "\\/")}"}`;
    await using all = await serving(
      { auth: { kind: "token", user }, rules: [{ path: /token/, fault: { kind: "status", status: 403, body } }] },
      login(user),
    );
    expect((await failure(all.registry.image(all.reference))).message).toContain('"bad header Basic ***"');
  });

  test("a token server in trouble is asked again; one that is down fails the request, and names itself", async () => {
    await using all = await serving({
      auth: { kind: "token" },
      rules: [{ path: /token/, times: 2, fault: { kind: "status", status: 503 } }],
    });
    await pull(all);
    await using down = await serving({ auth: { kind: "token", realm: "http://127.0.0.1:1/token" } });
    const error = await failure(down.registry.image(down.reference));
    expect(error.message).toContain(`failed to get a token for ${down.server.host}`);
    expect(describe(error)).toContain("127.0.0.1:1: connection refused");
  });

  test.each<[string, Fault, string]>([
    ["garbage", { kind: "garbage" }, "without a token"],
    ["nothing to the point", { kind: "status", status: 200, body: "{}" }, "without a token"],
    ["two headers in one", { kind: "status", status: 200, body: '{"token":"a\\r\\nX-Evil: 1"}' }, "without a token"],
    ["50 MB", { kind: "huge", bytes: 50_000_000 }, "more than 65536 bytes"],
    ["its own troubles", { kind: "status", status: 400, body: '{"error":"bad","details":"no such scope"}' }, "bad"],
  ])("a token server that answers with %s fails the request", async (_, fault, words) => {
    await using all = await serving({ auth: { kind: "token" }, rules: [{ path: /token/, fault }] });
    expect(describe(await failure(all.registry.image(all.reference)))).toContain(words);
  });

  const value = "SECRET-TOKEN-123";
  test.each<[what: string, body: unknown]>([
    ["null beside it", { token: null, access_token: value }],
    ["null beside it, the other way round", { token: value, access_token: null }],
    ["something else than text beside it", { token: 5, access_token: value, scope: null, issued_at: 7 }],
    ["something unusable beside it", { token: value, access_token: "two words" }],
    ["its life as text", { token: value, expires_in: "300" }],
    ["its life as null", { token: value, expires_in: null }],
    ["its life as nonsense", { token: value, expires_in: { seconds: 5 } }],
    ["something deep beside it", { token: value, more: JSON.parse(`${"[".repeat(3000)}${"]".repeat(3000)}`) }],
    ["white space around it", { token: ` ${value}\n` }],
  ])("a token is taken from an answer with %s", async (_, body) => {
    const answer: Fault = { kind: "status", status: 200, body: JSON.stringify(body) };
    await using all = await serving({ auth: { kind: "token" }, rules: [{ path: /token/, fault: answer }] });
    await failure(all.registry.image(all.reference));
    expect(all.server.requests.some(({ headers }) => headers.authorization === `Bearer ${value}`)).toBe(true);
  });

  test("one for each registry and repository", async () => {
    await using one = await serving({ auth: { kind: "token", user: "u:p" } });
    one.server.push("org/other", "v1", image);
    const { registry } = await client([one.server.host], { auth: { [one.server.host]: basic("u:p") } });
    await registry.image(one.reference);
    await registry.image(parseReference(`${one.server.host}/org/other:v1`));
    const scopes = one.server.requests
      .filter(({ path }) => path === "/token")
      .map(({ query }) => new URLSearchParams(query).get("scope"));
    expect(scopes).toEqual(["repository:org/app:pull", "repository:org/other:pull"]);
  });
});
