import * as v from "valibot";
import type { Environment } from "../environment.ts";
import { at, type Endpoint, namedEndpoint } from "./endpoints.ts";
import { type Requests, readJson, type SignInAnswer, someText, Visit } from "./requests.ts";
import { type Files, required, type Step, StepFailure } from "./steps.ts";

/** An access token of Entra ID (Azure AD) for container registries. */
export interface EntraToken {
  readonly value: string;
  readonly livesMs: number | undefined;
}

/** What it takes to get one; the domain is that of the registries: `io`, `cn` or `us`. */
interface Sources {
  readonly env: Environment;
  readonly files: Files;
  readonly requests: Requests;
  readonly domain: string;
}

/** Good for registries of all clouds, and for nothing else. */
const audience = "https://containerregistry.azure.net";

const tokenSchema = v.object({
  access_token: someText,
  expires_in: v.fallback(v.pipe(v.union([v.number(), v.string()]), v.transform(Number)), Number.NaN),
});

/** Where a token may come from, in the order in which the reference's library looks. */
export function azureSteps(sources: Sources): Step<EntraToken>[] {
  return [
    { name: "client secret", get: () => bySecret(sources) },
    { name: "workload identity", get: () => byFederation(sources) },
    { name: "managed identity", get: () => byMachine(sources) },
  ];
}

async function bySecret(sources: Sources): Promise<EntraToken> {
  const { env } = sources;
  const certificate = "AZURE_CLIENT_CERTIFICATE_PATH";
  const isSet = (name: string) => Boolean(env[name]?.trim());
  if (!isSet("AZURE_CLIENT_SECRET") && [certificate, "AZURE_TENANT_ID", "AZURE_CLIENT_ID"].every(isSet))
    throw new StepFailure(`${certificate} is set: the restorer does not know client certificates`);
  const client_secret = required(env, "AZURE_CLIENT_SECRET");
  return askEntra(sources, () => ({ client_secret }));
}

/** A service account of Kubernetes that a federated credential trusts (AKS's workload identity). */
async function byFederation(sources: Sources): Promise<EntraToken> {
  const name = "AZURE_FEDERATED_TOKEN_FILE";
  const path = required(sources.env, name);
  const client_assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
  return askEntra(sources, () => ({ client_assertion_type, client_assertion: sources.files.text(path, name) }));
}

async function askEntra({ env, requests, domain }: Sources, proof: () => Record<string, string>): Promise<EntraToken> {
  const [tenant, client_id] = [required(env, "AZURE_TENANT_ID"), required(env, "AZURE_CLIENT_ID")];
  if (!/^[\w.-]+$/.test(tenant)) throw new StepFailure(`AZURE_TENANT_ID is not the id of a tenant`);
  const form = {
    grant_type: "client_credentials",
    client_id,
    scope: `${audience}/.default`,
    ...proof(),
  };
  return readToken(await requests.askOk(at(authority(env, domain), `/${tenant}/oauth2/v2.0/token`), { form }));
}

function readToken(answer: SignInAnswer): EntraToken {
  const { access_token: value, expires_in } = readJson(answer, tokenSchema, "an access token");
  return { value, livesMs: expires_in > 0 ? expires_in * 1000 : undefined };
}

/** Where each cloud signs in, by what AZURE_ENVIRONMENT calls it and by the domain of its registries. */
const authorities: readonly (readonly [names: RegExp, domain: string, authority: string])[] = [
  [/^azure(public)?cloud$/i, "io", "https://login.microsoftonline.com"],
  [/^azurechinacloud$/i, "cn", "https://login.chinacloudapi.cn"],
  [/^azureusgovernment(cloud)?$/i, "us", "https://login.microsoftonline.us"],
];

function authority(env: Environment, domain: string): Endpoint {
  const host = env["AZURE_AUTHORITY_HOST"]?.trim();
  // Without a scheme, as the older libraries take it.
  if (host) return namedEndpoint(/^https?:/i.test(host) ? host : `https://${host}`, "AZURE_AUTHORITY_HOST");
  const named = env["AZURE_ENVIRONMENT"]?.trim() ?? "";
  const found = authorities.find(([names, own]) => (named === "" ? own === domain : names.test(named)));
  if (found === undefined)
    throw new StepFailure(`AZURE_ENVIRONMENT is not AzureCloud, AzureChinaCloud or AzureUSGovernment`);
  return namedEndpoint(found[2], "it");
}

/** The identity of the machine, the node or the app; AZURE_CLIENT_ID chooses one of several. */
async function byMachine({ env, requests }: Sources): Promise<EntraToken> {
  const clientId = env["AZURE_CLIENT_ID"]?.trim();
  const visit = new Visit();
  const query = { resource: audience, ...(clientId ? { client_id: clientId } : {}) };
  const [service, secret] = [env["IDENTITY_ENDPOINT"]?.trim(), env["IDENTITY_HEADER"]?.trim()];
  if (service && secret) {
    const endpoint = at(namedEndpoint(service, "IDENTITY_ENDPOINT"), "", { ...query, "api-version": "2019-08-01" });
    return readToken(await requests.askOk(endpoint, { headers: { "x-identity-header": secret }, visit }));
  }
  const name = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
  const machine = namedEndpoint(env[name]?.trim() || "http://169.254.169.254", name);
  const tokens = at(machine, "/metadata/identity/oauth2/token", { ...query, "api-version": "2018-02-01" });
  // It refuses whoever does not send the header, and so tells at once that it is there: a token may take longer.
  await requests.ask(tokens, { visit });
  return readToken(await requests.askOk(tokens, { headers: { metadata: "true" }, visit }));
}
