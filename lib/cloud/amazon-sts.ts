import { AwsV4Signer } from "aws4fetch";
import type { Environment } from "../environment.ts";
import { stsEndpoint } from "./amazon-endpoints.ts";
import type { Endpoint } from "./endpoints.ts";
import { RefusedFailure, type Requests, type SignInRequest } from "./requests.ts";
import { type Files, StepFailure } from "./steps.ts";

/** Keys of Amazon's, with which requests are signed. */
export interface AmazonKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string | undefined;
  readonly livesMs: number | undefined;
}

/** What it takes to get keys: the region is that of the security token service. */
export interface SecurityTokens {
  readonly env: Environment;
  readonly files: Files;
  readonly requests: Requests;
  readonly region: string;
}

/** Keys as answers have them; without an end where that cannot be read. */
export function readKeys(answer: {
  readonly AccessKeyId: string;
  readonly SecretAccessKey: string;
  readonly Token: string;
  readonly Expiration: string;
}): AmazonKeys {
  const livesMs = Date.parse(answer.Expiration) - Date.now();
  return {
    accessKeyId: answer.AccessKeyId,
    secretAccessKey: answer.SecretAccessKey,
    sessionToken: answer.Token,
    livesMs: Number.isNaN(livesMs) ? undefined : livesMs,
  };
}

interface WebIdentity {
  readonly role: string;
  /** Path of a file with the token. */
  readonly tokenFile: string;
  /** What names that file. */
  readonly where: string;
  readonly session: string | undefined;
}

/** Exchanges another provider's token for keys of a role (AssumeRoleWithWebIdentity, which is not signed). */
export async function assumeByWebIdentity(tokens: SecurityTokens, identity: WebIdentity): Promise<AmazonKeys> {
  const form = {
    Action: "AssumeRoleWithWebIdentity",
    Version: "2011-06-15",
    RoleArn: identity.role,
    RoleSessionName: identity.session || "restorer",
    WebIdentityToken: tokens.files.text(identity.tokenFile, identity.where),
  };
  return assumed(tokens, { form });
}

/** Exchanges keys for those of a role (AssumeRole). */
export async function assumeRole(
  tokens: SecurityTokens,
  keys: AmazonKeys,
  { role, session, externalId }: { readonly role: string; readonly session?: string; readonly externalId?: string },
): Promise<AmazonKeys> {
  const form = {
    Action: "AssumeRole",
    Version: "2011-06-15",
    RoleArn: role,
    RoleSessionName: session || "restorer",
    ...(externalId === undefined ? {} : { ExternalId: externalId }),
  };
  const body = new URLSearchParams(form).toString();
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const place = { endpoint: stsEndpoint(tokens), service: "sts", region: tokens.region };
  return assumed(tokens, await signed(place, keys, headers, body));
}

async function assumed(tokens: SecurityTokens, request: SignInRequest): Promise<AmazonKeys> {
  const [endpoint, headers] = [stsEndpoint(tokens), { ...request.headers, accept: "application/xml" }];
  const ask = () => tokens.requests.askOk(endpoint, { ...request, headers });
  const { host, text } = await ask().catch((error: unknown) => {
    // Amazon did not reach the other provider: its libraries try that again, too.
    if (error instanceof RefusedFailure && error.code === "IDPCommunicationError") return ask();
    throw error;
  });
  const part = (name: string) => new RegExp(`<${name}>([^<>&]+)</${name}>`).exec(text)?.[1]?.trim() ?? "";
  const answer = {
    AccessKeyId: part("AccessKeyId"),
    SecretAccessKey: part("SecretAccessKey"),
    Token: part("SessionToken"),
    Expiration: part("Expiration"),
  };
  if (!answer.AccessKeyId || !answer.SecretAccessKey || !answer.Token)
    throw new StepFailure(`${host} answered without keys`);
  return readKeys(answer);
}

/** A POST that is signed with keys (Signature Version 4). */
export async function signed(
  place: { readonly endpoint: Endpoint; readonly service: string; readonly region: string },
  keys: AmazonKeys,
  headers: Readonly<Record<string, string>>,
  body: string,
): Promise<SignInRequest> {
  const { service, region } = place;
  const { accessKeyId, secretAccessKey, sessionToken } = keys;
  if (![accessKeyId, secretAccessKey, sessionToken ?? "."].every((key) => /^[\x21-\x7e]+$/.test(key))) {
    throw new StepFailure("the keys hold characters that no key has");
  }
  const given = sessionToken === undefined ? {} : { sessionToken };
  const url = place.endpoint.url.href;
  const signer = new AwsV4Signer({
    method: "POST",
    url,
    headers,
    body,
    accessKeyId,
    secretAccessKey,
    ...given,
    service,
    region,
  });
  const { authorization = "", ...others } = Object.fromEntries((await signer.sign()).headers);
  return { method: "POST", headers: others, authorization, body };
}
