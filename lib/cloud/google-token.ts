import * as v from "valibot";
import type { Environment } from "../environment.ts";
import { type Requests, readJson, type SignInAnswer, someText } from "./requests.ts";
import type { Files } from "./steps.ts";

/** An access token for Google's services. */
export interface GoogleToken {
  readonly value: string;
  readonly livesMs: number | undefined;
}

/** What it takes to get one. */
export interface Sources {
  readonly env: Environment;
  readonly files: Files;
  readonly requests: Requests;
}

/** What a token is for. */
export const scope = "https://www.googleapis.com/auth/cloud-platform";
/**
 * Hosts that may be sent what proves an identity, whatever a file of credentials says: Google's token services, those of a
 * region and of a private connection likewise. Others on googleapis.com serve what anybody stores there.
 */
export const googleHosts =
  /^(accounts\.google\.com|(sts|iamcredentials|oauth2)(\.mtls)?\.googleapis\.com|(sts|iamcredentials)(\.[a-z0-9-]+\.rep|-[a-z0-9-]+\.p)\.googleapis\.com)$/;

const tokenSchema = v.object({ access_token: someText, expires_in: v.fallback(v.number(), Number.NaN) });

/** The token of an answer. Throws a StepFailure where it has none. */
export function readToken(answer: SignInAnswer): GoogleToken {
  const { access_token: value, expires_in } = readJson(answer, tokenSchema, "an access token");
  return { value, livesMs: expires_in > 0 ? expires_in * 1000 : undefined };
}
