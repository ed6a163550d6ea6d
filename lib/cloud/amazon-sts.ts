import { AwsV4Signer } from "aws4fetch";
import type { Environment } from "../environment.ts";
import { quote } from "../text.ts";
import { type Endpoint, namedEndpoint } from "./endpoints.ts";
import type { Requests, SignInRequest } from "./requests.ts";
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
  const { host, text } = await tokens.requests.askOk(stsEndpoint(tokens), {
    ...request,
    headers: { ...request.headers, accept: "application/xml" },
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

/** The region of the environment, if it names one. Throws a StepFailure for what cannot be one. */
export function ownRegion(env: Environment): string | undefined {
  const region = env["AWS_REGION"]?.trim() || env["AWS_DEFAULT_REGION"]?.trim() || undefined;
  if (region !== undefined && !/^[\w-]{1,64}$/.test(region))
    throw new StepFailure(`AWS_REGION ${quote(region)} is not a region`);
  return region;
}

function stsEndpoint({ env, region }: SecurityTokens): Endpoint {
  return amazonEndpoint(env, "STS", `https://sts.${region}.${suffixOf(region)}/`);
}

/** Domains of the partitions, by how the names of their regions begin. */
const suffixes: readonly (readonly [beginning: string, suffix: string])[] = [
  ["cn-", "amazonaws.com.cn"],
  ["eusc-", "amazonaws.eu"],
  ["us-isob-", "sc2s.sgov.gov"],
  ["us-isof-", "csp.hci.ic.gov"],
  ["eu-isoe-", "cloud.adc-e.uk"],
  ["us-iso-", "c2s.ic.gov"],
];

function suffixOf(region: string): string {
  return suffixes.find(([beginning]) => region.startsWith(beginning))?.[1] ?? "amazonaws.com";
}

/** A service's address: what AWS_ENDPOINT_URL and its like name, else its own. */
export function amazonEndpoint(env: Environment, service: string, own: string): Endpoint {
  const isIgnored = /^true$/i.test(env["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"]?.trim() ?? "");
  const names = isIgnored ? [] : [`AWS_ENDPOINT_URL_${service}`, "AWS_ENDPOINT_URL"];
  const name = names.find((one) => env[one]?.trim());
  return name === undefined ? namedEndpoint(own, "it") : namedEndpoint(env[name]?.trim() ?? "", name);
}
