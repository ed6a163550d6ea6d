import * as v from "valibot";
import { TransportError } from "../http/errors.ts";
import type { HttpAnswer } from "../http/request.ts";
import type { Credential } from "../keychain/credential.ts";
import { isHeaderWord } from "../keychain/credential.ts";
import { optionalText } from "../lenient.ts";
import { parseIfJson } from "../toml/json.ts";

const tokenBytes = 64 * 1024;

/** A server that hands out tokens, as a registry's challenge names it (distribution specification, "Token Authentication"). */
export interface TokenServer {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scopes: readonly string[];
}

/** What a token server gives. */
export interface Token {
  readonly value: string;
  /** How long the server says it lives, if it says so. */
  readonly livesMs: number | undefined;
}

/** What a token server is asked. */
export interface TokenRequest {
  readonly url: URL;
  readonly method: "GET" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly authorization?: string | undefined;
  readonly documentBytes: number;
}

const tokenSchema = v.object({
  token: optionalText,
  access_token: optionalText,
  expires_in: v.fallback(v.pipe(v.union([v.number(), v.string()]), v.transform(Number)), Number.NaN),
});

/**
 * Exchanges a credential for a token: a refresh token by OAuth2, a password or nothing at all by GET. Returns the token, or
 * the answer of a server that gave none.
 */
export async function fetchToken(
  server: TokenServer,
  credential: Credential,
  send: (request: TokenRequest) => Promise<HttpAnswer>,
): Promise<Token | HttpAnswer> {
  const identity = credential.reveal("identity");
  if (identity !== undefined) {
    const answer = await send(refreshRequest(server, identity));
    // Not every token server knows OAuth2.
    if (answer.response.ok || ![404, 405].includes(answer.response.status)) return await readToken(answer);
  }
  const basic = credential.reveal("basic");
  return await readToken(await send(plainRequest(server, basic)));
}

/** Whether a token server is sent a secret: else anybody may ask it the same. */
export function sendsSecret(credential: Credential): boolean {
  return credential.reveal("identity") !== undefined || credential.reveal("basic") !== undefined;
}

function refreshRequest({ realm, service, scopes }: TokenServer, refreshToken: string): TokenRequest {
  const form = new URLSearchParams({ grant_type: "refresh_token", refresh_token: refreshToken, client_id: "restorer" });
  form.set("scope", scopes.join(" "));
  if (service !== undefined) form.set("service", service);
  const headers = { "content-type": "application/x-www-form-urlencoded", accept: "application/json" };
  return { url: realm, method: "POST", headers, body: form.toString(), documentBytes: tokenBytes };
}

function plainRequest({ realm, service, scopes }: TokenServer, basic: string | undefined): TokenRequest {
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set("service", service);
  url.searchParams.delete("scope");
  for (const scope of scopes) url.searchParams.append("scope", scope);
  const authorization = basic === undefined ? undefined : `Basic ${basic}`;
  return { url, method: "GET", headers: { accept: "application/json" }, authorization, documentBytes: tokenBytes };
}

async function readToken(answer: HttpAnswer): Promise<Token | HttpAnswer> {
  if (!answer.response.ok) return answer;
  const parsed = v.safeParse(tokenSchema, parseIfJson(await answer.response.text()));
  const { access_token = "", token = "", expires_in = Number.NaN } = parsed.success ? parsed.output : {};
  const value = [access_token.trim(), token.trim()].find(isHeaderWord);
  if (value === undefined) throw new TransportError("Token", `${answer.answered.host} answers without a token`);
  return { value, livesMs: expires_in > 0 ? expires_in * 1000 : undefined };
}
