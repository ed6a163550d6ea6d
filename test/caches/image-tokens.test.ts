import { afterAll, beforeAll, expect, describe as group } from "bun:test";
import {
  all,
  asVariable,
  basic,
  cacheImage,
  expectCold,
  expectNoSecret,
  expectWarm,
  password,
  restore,
  shareRegistry,
  user,
} from "../support/cache-image-fixture.ts";
import { program, push, type RealRegistry, startRegistry, withRegistry } from "../support/docker-registry.ts";
import { hangMs, tempDir } from "../support/harness.ts";
import { registryToken, repositoryOf, service, tokenAuth } from "../support/registry-token.ts";

shareRegistry();

interface TokenServer extends Disposable {
  readonly realm: string;
  readonly requests: {
    readonly method: string;
    readonly authorization: string | null;
    readonly scope: string | null;
  }[];
}

const refreshToken = "refresh-me-0123456789";

/** Hands out what docker-registry's `auth: token` takes. */
function startTokenServer(): TokenServer {
  const requests: TokenServer["requests"] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { method, headers } = request;
      const asked = method === "POST" ? new URLSearchParams(await request.text()) : new URL(request.url).searchParams;
      const [authorization, scope] = [headers.get("authorization"), asked.get("scope")];
      requests.push({ method, authorization, scope });
      const known = authorization === `Basic ${basic(password)}` || asked.get("refresh_token") === refreshToken;
      const repository = repositoryOf(scope);
      if (!known) return Response.json({ details: "incorrect username or password" }, { status: 401 });
      if (repository === undefined || asked.get("service") !== service) return new Response("bad", { status: 400 });
      return Response.json({
        [method === "POST" ? "access_token" : "token"]: registryToken(repository, user),
        expires_in: 3600,
      });
    },
  });
  return {
    realm: `http://127.0.0.1:${server.port}/token`,
    requests,
    [Symbol.dispose]: () => void server.stop(true),
  };
}

group("a registry with a token server", () => {
  let registry: RealRegistry | undefined;
  let tokens: TokenServer | undefined;
  beforeAll(async () => {
    if (program === null) return;
    const { dir, open } = all();
    tokens = startTokenServer();
    registry = await startRegistry(dir, "token", { auth: tokenAuth(tokens.realm) });
    await push(open, "guarded/cache", "latest", cacheImage());
  }, hangMs);
  afterAll(async () => {
    tokens?.[Symbol.dispose]();
    await registry?.[Symbol.asyncDispose]();
  });
  const host = () => registry?.host ?? "";
  /** Restores, and tells what the token server was asked for it. */
  async function guarded(env: Record<string, string>) {
    const before = tokens?.requests.length ?? 0;
    const result = await restore(`${host()}/guarded/cache`, env);
    return { result, asked: tokens?.requests.slice(before) ?? [] };
  }
  const scope = "repository:guarded/cache:pull";

  withRegistry("opens to a token got with a password: one challenge and one token for the whole run", async () => {
    const authorization = `Basic ${basic(password)}`;
    const { result, asked } = await guarded(asVariable(host(), authorization));
    expectWarm(result);
    expect(asked).toEqual([{ method: "GET", authorization, scope }]);
    expectNoSecret(result, password, `${user}:${password}`);
    expect(`${result.stdout}${result.stderr}`).not.toContain("eyJ");
    const answers = (await registry?.answers("guarded/cache", 1 + 2 + all().needed.length)) ?? [];
    expect(answers.filter((line) => line.startsWith("401"))).toHaveLength(1);
    expect(answers).toHaveLength(1 + 2 + all().needed.length);
  });

  withRegistry("opens to a token got with a refresh token", async () => {
    const auths = { [host()]: { identitytoken: refreshToken } };
    using dir = tempDir("auth", { "config.json": JSON.stringify({ auths }) });
    const { result, asked } = await guarded({ DOCKER_CONFIG: dir.path });
    expectWarm(result);
    expect(asked).toEqual([{ method: "POST", authorization: null, scope }]);
    expectNoSecret(result, refreshToken);
  });

  withRegistry("opens to a token that is there already", async () => {
    const token = registryToken("guarded/cache", user);
    const { result, asked } = await guarded(asVariable(host(), `Bearer ${token}`));
    expectWarm(result);
    expect(asked).toEqual([]);
    expectNoSecret(result, token);
  });

  withRegistry("stays closed where the token server refuses, and to a token for another repository", async () => {
    const { result, asked } = await guarded(asVariable(host(), `Basic ${basic("guess-guess")}`));
    expectCold(result, "401", "incorrect username or password", "CNB_REGISTRY_AUTH");
    expect(asked).toHaveLength(1);
    expectNoSecret(result, "guess-guess");
    const nobody = await guarded({});
    expectCold(nobody.result, "401", "credentials: none found, anonymous", "CNB_REGISTRY_AUTH");
    const elsewhere = await guarded(asVariable(host(), `Bearer ${registryToken("other/cache", user)}`));
    expectCold(elsewhere.result, "401", "CNB_REGISTRY_AUTH");
  });
});
