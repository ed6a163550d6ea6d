import { join } from "node:path";
import * as v from "valibot";
import { quote, quotePath } from "../text.ts";
import { parseIfObject } from "../toml/json.ts";
import { at, namedEndpoint } from "./endpoints.ts";
import { byFederation } from "./google-federation.ts";
import { byKey, byRefresh } from "./google-key.ts";
import { type GoogleToken, readToken, type Sources } from "./google-token.ts";
import { RefusedFailure, Visit } from "./requests.ts";
import { NotSetUp, required, type Step, StepFailure } from "./steps.ts";

/** Where a token may come from ("application default credentials"), in order. */
export function googleSteps(sources: Sources): Step<GoogleToken>[] {
  const named = "GOOGLE_APPLICATION_CREDENTIALS";
  return [
    { name: named, get: () => byFile(sources, required(sources.env, named), named) },
    { name: "gcloud's file", get: () => byWellKnownFile(sources) },
    { name: "metadata server", get: () => byMachine(sources) },
  ];
}

async function byWellKnownFile(sources: Sources): Promise<GoogleToken> {
  const { CLOUDSDK_CONFIG, HOME } = sources.env;
  const directory = CLOUDSDK_CONFIG?.trim() || (HOME ? join(HOME, ".config/gcloud") : "");
  if (directory === "") throw new NotSetUp("neither CLOUDSDK_CONFIG nor HOME is set");
  const path = join(directory, "application_default_credentials.json");
  if (sources.files.find(path) === undefined) throw new NotSetUp(`there is no ${quotePath(path)} to read`);
  return byFile(sources, path, "gcloud's file");
}

/** By a file of credentials, of whatever type. */
async function byFile(sources: Sources, path: string, where: string): Promise<GoogleToken> {
  const file = parseIfObject(sources.files.text(path, where));
  const { type } = v.parse(v.fallback(v.object({ type: v.string() }), { type: "" }), file);
  switch (type) {
    case "service_account":
      return byKey(sources, file, path);
    case "authorized_user":
      return byRefresh(sources, file, path);
    case "external_account":
      return byFederation(sources, file, path);
  }
  const known = "service_account, authorized_user or external_account";
  if (/^[a-z_]{1,64}$/.test(type))
    throw new StepFailure(
      `${quote(path)} is of the type ${type}, which the restorer does not know (it knows ${known})`,
    );
  throw new StepFailure(`${quote(path)} is not JSON with a "type" of ${known}`);
}

/** The service account of the node or, on GKE, of the pod. */
async function byMachine({ env, requests }: Sources): Promise<GoogleToken> {
  const name = "GCE_METADATA_HOST";
  const machine = namedEndpoint(`http://${env[name]?.trim() || "169.254.169.254"}`, name);
  const asked = { headers: { "metadata-flavor": "Google" }, visit: new Visit() };
  const hello = await requests.ask(at(machine, "/"), asked);
  if (hello.status === 429 || hello.status >= 500) throw new RefusedFailure(hello);
  if (hello.headers.get("metadata-flavor") !== "Google") throw new StepFailure(`${hello.host} is not Google's`);
  const token = at(machine, "/computeMetadata/v1/instance/service-accounts/default/token");
  const answer = await requests.ask(token, asked);
  if (answer.status === 404) throw new StepFailure("the machine has no service account");
  if (answer.status !== 200) throw new RefusedFailure(answer);
  return readToken(answer);
}
