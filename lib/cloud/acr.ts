import { decodeJwt } from "jose";
import * as v from "valibot";
import { azureSteps, type EntraToken } from "./azure-tokens.ts";
import type { Cloud, Grant } from "./cloud.ts";
import { namedEndpoint } from "./endpoints.ts";
import { acr } from "./registries.ts";
import { type CloudOptions, Requests, readJson, someText } from "./requests.ts";
import { Files, onceGiven, type Shared, sharedFirst } from "./steps.ts";

type Token = EntraToken & { readonly by: string };

const answerSchema = v.object({ refresh_token: someText });

/** Azure Container Registry: a token of Entra ID, which the registry exchanges for a refresh token of its own. */
export class Acr implements Cloud {
  readonly #options: CloudOptions;
  readonly #requests: Requests;
  readonly #files = new Files();
  /** By the domain of the cloud. */
  readonly #tokens = new Map<string, Shared<Token>>();

  constructor(options: CloudOptions) {
    this.#options = options;
    this.#requests = new Requests(options);
  }

  async signIn(registry: string): Promise<Grant> {
    const { by, value: accessToken } = await this.#tokenFor(acr.exec(registry)?.[1] ?? "io");
    return onceGiven(by, async () => {
      const tenant = this.#options.env["AZURE_TENANT_ID"]?.trim();
      const form = {
        grant_type: "access_token",
        service: registry,
        access_token: accessToken,
        ...(tenant ? { tenant } : {}),
      };
      const answer = await this.#requests.askOk(namedEndpoint(`https://${registry}/oauth2/exchange`, "it"), { form });
      const { refresh_token: refreshToken } = readJson(answer, answerSchema, "a refresh token");
      return { by, secret: { refreshToken }, livesMs: lifeOf(refreshToken) };
    });
  }

  #tokenFor(domain: string): Promise<Token> {
    const { env, debug } = this.#options;
    const source = { env, files: this.#files, requests: this.#requests, domain };
    const token = this.#tokens.get(domain) ?? sharedFirst(azureSteps(source), debug);
    this.#tokens.set(domain, token);
    return token.get();
  }
}

/** How long a token lives from when it was made, by its own clock. */
function lifeOf(token: string): number | undefined {
  try {
    const { exp, iat } = decodeJwt(token);
    return exp === undefined || iat === undefined ? undefined : (exp - iat) * 1000;
  } catch {
    return undefined;
  }
}
