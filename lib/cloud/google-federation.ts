import * as v from "valibot";
import { optionalEntries, optionalText, optionalTexts } from "../lenient.ts";
import { quote } from "../text.ts";
import { parseIfObject } from "../toml/json.ts";
import { namedEndpoint, vendorEndpoint } from "./endpoints.ts";
import { readFile } from "./google-key.ts";
import { type GoogleToken, googleHosts, readToken, type Sources, scope } from "./google-token.ts";
import { readJson, someText, Visit } from "./requests.ts";
import { StepFailure } from "./steps.ts";

const formatSchema = v.fallback(v.object({ type: optionalText, subject_token_field_name: optionalText }), {
  type: "",
  subject_token_field_name: "",
});

const sourceSchema = v.object({
  file: optionalText,
  url: optionalText,
  headers: v.fallback(optionalTexts, []),
  format: formatSchema,
  environment_id: optionalText,
  executable: v.optional(v.unknown()),
  certificate: v.optional(v.unknown()),
});

const federationSchema = v.object({
  audience: someText,
  subject_token_type: someText,
  token_url: someText,
  service_account_impersonation_url: optionalText,
  credential_source: sourceSchema,
});

type Federation = v.InferOutput<typeof federationSchema>;

/** By a token of another provider, which Google exchanges (workload identity federation), perhaps for a service account. */
export async function byFederation(sources: Sources, file: unknown, path: string): Promise<GoogleToken> {
  const federation = readFile(file, federationSchema, path);
  const { token_url, service_account_impersonation_url: impersonation } = federation;
  const exchange = vendorEndpoint(token_url, `the token_url of ${quote(path)}`, googleHosts);
  const shown = `the service_account_impersonation_url of ${quote(path)}`;
  const account = impersonation === "" ? undefined : vendorEndpoint(impersonation, shown, googleHosts);
  const form = {
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    requested_token_type: "urn:ietf:params:oauth:token-type:access_token",
    audience: federation.audience,
    scope,
    subject_token_type: federation.subject_token_type,
    subject_token: await subjectToken(sources, federation, path),
  };
  const token = readToken(await sources.requests.askOk(exchange, { form }));
  if (account === undefined) return token;
  const answer = await sources.requests.askOk(account, {
    authorization: `Bearer ${token.value}`,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ scope: [scope] }),
  });
  const { accessToken, expireTime } = readJson(answer, accountSchema, "an access token");
  const livesMs = Date.parse(expireTime) - Date.now();
  return { value: accessToken, livesMs: Number.isNaN(livesMs) ? undefined : livesMs };
}

const accountSchema = v.object({ accessToken: someText, expireTime: optionalText });

/** The other provider's token, from a file or an address. */
async function subjectToken(
  sources: Sources,
  { credential_source: source }: Federation,
  path: string,
): Promise<string> {
  const unknown = unknownProvider(source);
  if (unknown !== undefined)
    throw new StepFailure(`the credential_source of ${quote(path)} is ${unknown}, which the restorer does not know`);
  const where = `credential_source.file (in ${quote(path)})`;
  const text = source.file !== "" ? sources.files.text(source.file, where) : await fromUrl(sources, source, path);
  if (source.format.type !== "json") return text.trim();
  const field = source.format.subject_token_field_name;
  const found = v.parse(optionalEntries, parseIfObject(text)).find(([key]) => key === field)?.[1];
  if (typeof found === "string" && found !== "") return found;
  throw new StepFailure(`the subject token that ${quote(path)} leads to is not JSON with a ${quote(field)}`);
}

/** In words; such a source may have an address, too, where no subject token is to be had. */
function unknownProvider(source: Federation["credential_source"]): string | undefined {
  if (/^aws/i.test(source.environment_id)) return "Amazon (environment_id)";
  if (source.environment_id !== "") return "an environment_id";
  if (source.executable !== undefined) return "an executable";
  return source.certificate === undefined ? undefined : "a certificate";
}

async function fromUrl({ requests }: Sources, source: Federation["credential_source"], path: string): Promise<string> {
  if (source.url === "") throw new StepFailure(`${quote(path)} has no credential_source with a file or a url`);
  const endpoint = namedEndpoint(source.url, `the credential_source of ${quote(path)}`);
  if (source.headers.some(([name]) => !/^[\w!#$%&'*+.^`|~-]+$/.test(name)))
    throw new StepFailure(`a header's name in the credential_source of ${quote(path)} is not one`);
  const headers = Object.fromEntries(source.headers);
  const { text, host } = await requests.askOk(endpoint, { headers, visit: new Visit() });
  if (text.trim() === "") throw new StepFailure(`${host} answered without a subject token`);
  return text;
}
