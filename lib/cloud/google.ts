import type { Cloud, Grant } from "./cloud.ts";
import { googleSteps } from "./google-steps.ts";
import type { GoogleToken } from "./google-token.ts";
import { type CloudOptions, Requests } from "./requests.ts";
import { Files, type Shared, sharedFirst } from "./steps.ts";

/** Google's registries: an access token, which is the password of a user that has the same name for everybody. */
export class Google implements Cloud {
  readonly #token: Shared<GoogleToken & { readonly by: string }>;

  constructor(options: CloudOptions) {
    const { env, debug } = options;
    const steps = googleSteps({ env, files: new Files(), requests: new Requests(options) });
    this.#token = sharedFirst(steps, debug);
  }

  async signIn(): Promise<Grant> {
    const { by, value: password, livesMs } = await this.#token.get();
    return { by, secret: { user: "oauth2accesstoken", password }, livesMs };
  }
}
