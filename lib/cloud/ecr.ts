import * as v from "valibot";
import { amazonSteps } from "./amazon-keys.ts";
import { type AmazonKeys, amazonEndpoint, ownRegion, signed } from "./amazon-sts.ts";
import type { Cloud, Grant } from "./cloud.ts";
import { ecrPrivate } from "./registries.ts";
import { type CloudOptions, Requests, readJson, someText } from "./requests.ts";
import { Files, firstOf, onceGiven, Shared, StepFailure } from "./steps.ts";

/** A registry's own service that hands out its passwords. */
interface Service {
  readonly variable: "ECR" | "ECR_PUBLIC";
  readonly url: string;
  readonly name: "ecr" | "ecr-public";
  readonly region: string;
  readonly target: string;
}

const authorization = v.object({ authorizationToken: someText, expiresAt: v.fallback(v.number(), Number.NaN) });
const answerSchema = v.object({
  // The public registry's is an object, that of the others a list.
  authorizationData: v.union([
    authorization,
    v.pipe(
      v.tupleWithRest([authorization], v.unknown()),
      v.transform(([first]) => first),
    ),
  ]),
});

type Keys = AmazonKeys & { readonly by: string };

/** Amazon ECR: keys of Amazon's, for which the registry's service gives a password (GetAuthorizationToken). */
export class Ecr implements Cloud {
  readonly #options: CloudOptions;
  readonly #requests: Requests;
  readonly #files = new Files();
  /** By region. */
  readonly #keys = new Map<string, Shared<Keys>>();

  constructor(options: CloudOptions) {
    this.#options = options;
    this.#requests = new Requests(options);
  }

  async signIn(registry: string): Promise<Grant> {
    const service = serviceOf(registry);
    const keys = await this.#keysFor(ownRegion(this.#options.env) ?? service.region);
    return onceGiven(keys.by, () => this.#exchange(service, keys));
  }

  async #exchange(service: Service, keys: Keys): Promise<Grant> {
    const endpoint = amazonEndpoint(this.#options.env, service.variable, service.url);
    const headers = { "content-type": "application/x-amz-json-1.1", "x-amz-target": service.target };
    const request = await signed({ endpoint, service: service.name, region: service.region }, keys, headers, "{}");
    const answer = await this.#requests.askOk(endpoint, request);
    const { authorizationData: data } = readJson(answer, answerSchema, "an authorization token");
    const { authorizationToken, expiresAt } = data;
    const [user, password] = splitOnce(Buffer.from(authorizationToken, "base64").toString());
    if (user === "" || password === "") throw new StepFailure(`${answer.host} answered without an authorization token`);
    const livesMs = expiresAt * 1000 - Date.now();
    return { by: keys.by, secret: { user, password }, livesMs: Number.isNaN(livesMs) ? undefined : livesMs };
  }

  #keysFor(region: string): Promise<Keys> {
    const known = this.#keys.get(region);
    if (known !== undefined) return known.get();
    const { env, debug } = this.#options;
    const steps = amazonSteps({ env, files: this.#files, requests: this.#requests, region });
    const made = new Shared(async () => {
      const { value, by } = await firstOf(steps, debug);
      return { ...value, by };
    });
    this.#keys.set(region, made);
    return made.get();
  }
}

/** The service of a registry, whose name is one that `lib/cloud/registries.ts` knows. */
export function serviceOf(registry: string): Service {
  const [, fips = "", region = "", suffix = ""] = ecrPrivate.exec(registry) ?? [];
  if (region === "") {
    const url = "https://api.ecr-public.us-east-1.amazonaws.com/";
    const target = "SpencerFrontendService.GetAuthorizationToken";
    return { variable: "ECR_PUBLIC", url, name: "ecr-public", region: "us-east-1", target };
  }
  const isDual = suffix.startsWith("on.");
  const domain = isDual ? suffix.replace("on.", "api.") : suffix;
  const name = isDual || fips !== "" ? `ecr${fips}` : "api.ecr";
  const target = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
  return { variable: "ECR", url: `https://${name}.${region}.${domain}/`, name: "ecr", region, target };
}

function splitOnce(text: string): [string, string] {
  const colon = text.indexOf(":");
  return colon < 0 ? ["", ""] : [text.slice(0, colon), text.slice(colon + 1)];
}
