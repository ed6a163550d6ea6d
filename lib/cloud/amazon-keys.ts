import * as v from "valibot";
import { optionalText } from "../lenient.ts";
import { profileKeys } from "./amazon-profiles.ts";
import { type AmazonKeys, assumeByWebIdentity, readKeys, type SecurityTokens } from "./amazon-sts.ts";
import { at, type Endpoint, namedEndpoint } from "./endpoints.ts";
import { RefusedFailure, readJson, someText, Visit } from "./requests.ts";
import { NotSetUp, required, type Step, StepFailure } from "./steps.ts";

/** Where keys of Amazon's may be, in the order in which most of its own libraries (Go, Java, PHP) look for them. */
export function amazonSteps(tokens: SecurityTokens): Step<AmazonKeys>[] {
  return [
    { name: "environment", get: async () => environmentKeys(tokens) },
    { name: "web identity", get: () => webIdentityKeys(tokens) },
    { name: "profile", get: () => profileKeys(tokens, { environmentKeys, containerKeys, machineKeys }) },
    { name: "container", get: () => containerKeys(tokens) },
    { name: "EC2 metadata", get: () => machineKeys(tokens) },
  ];
}

function environmentKeys({ env }: SecurityTokens): AmazonKeys {
  const [accessKeyId, secretAccessKey] = [required(env, "AWS_ACCESS_KEY_ID"), required(env, "AWS_SECRET_ACCESS_KEY")];
  return {
    accessKeyId,
    secretAccessKey,
    sessionToken: env["AWS_SESSION_TOKEN"]?.trim() || undefined,
    livesMs: undefined,
  };
}

/** A role for a service account of Kubernetes (IRSA), or for another provider's token. */
function webIdentityKeys(tokens: SecurityTokens): Promise<AmazonKeys> {
  const { env } = tokens;
  const name = "AWS_WEB_IDENTITY_TOKEN_FILE";
  const tokenFile = required(env, name);
  const role = env["AWS_ROLE_ARN"]?.trim();
  if (!role) throw new StepFailure(`${name} is set, but not AWS_ROLE_ARN`);
  return assumeByWebIdentity(tokens, { role, tokenFile, where: name, session: env["AWS_ROLE_SESSION_NAME"]?.trim() });
}

const relative = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const full = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

/** A task of ECS, or a pod of EKS (pod identity). */
async function containerKeys(tokens: SecurityTokens): Promise<AmazonKeys> {
  const { env, files, requests } = tokens;
  const path = env[relative]?.trim();
  if (path && !path.startsWith("/")) throw new StepFailure(`${relative} does not begin with a slash`);
  const address = path ? `http://169.254.170.2${path}` : env[full]?.trim();
  if (!address) throw new NotSetUp(`neither ${relative} nor ${full} is set`);
  const endpoint = namedEndpoint(address, path ? relative : full);
  const tokenName = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
  const tokenFile = env[tokenName]?.trim();
  const token = tokenFile ? files.text(tokenFile, tokenName) : env["AWS_CONTAINER_AUTHORIZATION_TOKEN"]?.trim();
  const answer = await requests.askOk(endpoint, { visit: new Visit(), ...(token ? { authorization: token } : {}) });
  return readKeys(readJson(answer, keysSchema, "keys"));
}

const keysSchema = v.object({
  AccessKeyId: someText,
  SecretAccessKey: someText,
  Token: someText,
  Expiration: optionalText,
});

const tokenHeader = "x-aws-ec2-metadata-token";

/** The role of the machine (IMDSv2). */
async function machineKeys({ env, requests }: SecurityTokens): Promise<AmazonKeys> {
  const disabled = "AWS_EC2_METADATA_DISABLED";
  if (/^true$/i.test(env[disabled]?.trim() ?? "")) throw new NotSetUp(`${disabled} is true`);
  const machine = machineEndpoint(env);
  const visit = new Visit();
  const session = await requests.ask(at(machine, "/latest/api/token"), {
    method: "PUT",
    headers: { [`${tokenHeader}-ttl-seconds`]: "300" },
    visit,
  });
  const token = session.text.trim();
  if (session.status !== 200) throw new RefusedFailure(session);
  if (!/^[\w=+/-]{1,1024}$/.test(token)) throw new StepFailure(`${session.host} answered without a session token`);
  const headers = { [tokenHeader]: token };
  const roles = at(machine, "/latest/meta-data/iam/security-credentials/");
  const listed = await requests.ask(roles, { headers, visit });
  if (listed.status === 404) throw new StepFailure("the machine has no role");
  if (listed.status !== 200) throw new RefusedFailure(listed);
  const role = listed.text.trim().split("\n", 1)[0] ?? "";
  if (!/^[\w+=,.@-]{1,128}$/.test(role)) throw new StepFailure(`${listed.host} answered without a role`);
  const answer = await requests.askOk(at(roles, `/${role}`), { headers, visit });
  return readKeys(readJson(answer, keysSchema, "keys"));
}

function machineEndpoint(env: SecurityTokens["env"]): Endpoint {
  const name = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
  const named = env[name]?.trim();
  if (named) return namedEndpoint(named, name);
  const mode = env[`${name}_MODE`]?.trim() ?? "";
  if (mode !== "" && !/^ipv[46]$/i.test(mode)) throw new StepFailure(`${name}_MODE is neither IPv4 nor IPv6`);
  return namedEndpoint(/6$/.test(mode) ? "http://[fd00:ec2::254]" : "http://169.254.169.254", name);
}
