import * as v from "valibot";
import { type EcrService, ecrEndpoint, ecrService, ownRegion, partitionOf } from "./amazon-endpoints.ts";
import { amazonSteps } from "./amazon-keys.ts";
import { type AmazonKeys, signed } from "./amazon-sts.ts";
import type { Cloud, Grant } from "./cloud.ts";
import { type CloudOptions, Requests, readJson, someText } from "./requests.ts";
import { Files, onceGiven, type Shared, StepFailure, sharedFirst } from "./steps.ts";

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
  /** By partition: keys are good for all of its regions. */
  readonly #keys = new Map<string, Shared<Keys>>();

  constructor(options: CloudOptions) {
    this.#options = options;
    this.#requests = new Requests(options);
  }

  async signIn(registry: string): Promise<Grant> {
    const { env } = this.#options;
    const service = ecrService(env, registry);
    const keys = await this.#keysFor(ownRegion(env) ?? service.region);
    return onceGiven(keys.by, () => this.#exchange(service, keys));
  }

  async #exchange(service: EcrService, keys: Keys): Promise<Grant> {
    const endpoint = ecrEndpoint(this.#options.env, service);
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
    const partition = partitionOf(region);
    const { env, debug } = this.#options;
    const tokens = { env, files: this.#files, requests: this.#requests, region };
    const keys = this.#keys.get(partition) ?? sharedFirst(amazonSteps(tokens), debug);
    this.#keys.set(partition, keys);
    return keys.get();
  }
}

function splitOnce(text: string): [string, string] {
  const colon = text.indexOf(":");
  return colon < 0 ? ["", ""] : [text.slice(0, colon), text.slice(colon + 1)];
}
