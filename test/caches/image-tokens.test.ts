import { afterAll, beforeAll, expect, describe as group } from "bun:test";
import { createPrivateKey, sign, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
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
import { certificates } from "../support/certificates.ts";
import { program, push, type RealRegistry, startRegistry, withRegistry } from "../support/docker-registry.ts";
import { hangMs, tempDir } from "../support/harness.ts";

shareRegistry();

interface TokenServer extends Disposable {
  readonly realm: string;
  readonly requests: {
    readonly method: string;
    readonly authorization: string | null;
    readonly scope: string | null;
  }[];
  /** A token that lets its bearer pull a repository. */
  token(repository: string): string;
}

const service = "test-registry";
const issuer = "test-issuer";
const refreshToken = "refresh-me-0123456789";

/** Hands out what docker-registry's `auth: token` takes: JWTs signed by a key whose certificate it knows. */
function startTokenServer({ cert, key }: { readonly cert: string; readonly key: string }): TokenServer {
  const requests: TokenServer["requests"] = [];
  const privateKey = createPrivateKey(readFileSync(key));
  const x5c = [new X509Certificate(readFileSync(cert)).raw.toString("base64")];
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  function token(repository: string): string {
    const now = Math.floor(Date.now() / 1000);
    const access = [{ type: "repository", name: repository, actions: ["pull"] }];
    const life = { iat: now, nbf: now - 600, exp: now + 3600 };
    const claims = { iss: issuer, sub: user, aud: service, jti: crypto.randomUUID(), access, ...life };
    const signed = `${part({ typ: "JWT", alg: "ES256", x5c })}.${part(claims)}`;
    const signature = sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" });
    return `${signed}.${signature.toString("base64url")}`;
  }
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { method, headers } = request;
      const asked = method === "POST" ? new URLSearchParams(await request.text()) : new URL(request.url).searchParams;
      const [authorization, scope] = [headers.get("authorization"), asked.get("scope")];
      requests.push({ method, authorization, scope });
      const known = authorization === `Basic ${basic(password)}` || asked.get("refresh_token") === refreshToken;
      const repository = /^repository:([^:]+):pull$/.exec(scope ?? "")?.[1];
      if (!known) return Response.json({ details: "incorrect username or password" }, { status: 401 });
      if (repository === undefined || asked.get("service") !== service) return new Response("bad", { status: 400 });
      return Response.json({ [method === "POST" ? "access_token" : "token"]: token(repository), expires_in: 3600 });
    },
  });
  return {
    realm: `http://127.0.0.1:${server.port}/token`,
    requests,
    token,
    [Symbol.dispose]: () => void server.stop(true),
  };
}

group("a registry with a token server", () => {
  let registry: RealRegistry | undefined;
  let tokens: TokenServer | undefined;
  beforeAll(async () => {
    if (program === null) return;
    const { dir, open } = all();
    const signer = certificates.alone;
    tokens = startTokenServer(signer);
    const { realm } = tokens;
    registry = await startRegistry(dir, "token", {
      auth: { token: { realm, service, issuer, rootcertbundle: signer.cert } },
    });
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
    const token = tokens?.token("guarded/cache") ?? "";
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
    const elsewhere = await guarded(asVariable(host(), `Bearer ${tokens?.token("other/cache")}`));
    expectCold(elsewhere.result, "401", "CNB_REGISTRY_AUTH");
  });
});
