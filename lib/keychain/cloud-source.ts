import type { Cloud, Grant } from "../cloud/cloud.ts";
import { acr, ecrPrivate, ecrPublic, google } from "../cloud/registries.ts";
import type { CloudOptions } from "../cloud/requests.ts";
import { SignInFailure } from "../cloud/steps.ts";
import type { Environment } from "../environment.ts";
import { basicSecret, Credential, type Lease, type Secrets } from "./credential.ts";
import type { AskOptions, CredentialSource, ScopedCredential } from "./source.ts";

/** A cloud that we can sign in to. */
interface Known {
  readonly name: string;
  /** Set to true by those who want no sign-in. */
  readonly skippedBy: string;
  /** Whether a registry is one of its own. */
  readonly serves: (registry: string) => boolean;
  /** Loaded only when one of its registries is used. */
  readonly load: (options: CloudOptions) => Promise<Cloud>;
}

const clouds: readonly Known[] = [
  {
    name: "Amazon ECR",
    skippedBy: "CNB_REGISTRY_AUTH_KEYCHAIN_SKIP_AMAZON",
    serves: (registry) => ecrPrivate.test(registry) || ecrPublic.test(registry),
    load: async (options) => new (await import("../cloud/ecr.ts")).Ecr(options),
  },
  {
    name: "Azure ACR",
    skippedBy: "CNB_REGISTRY_AUTH_KEYCHAIN_SKIP_AZURE",
    serves: (registry) => acr.test(registry),
    load: async (options) => new (await import("../cloud/acr.ts")).Acr(options),
  },
  {
    name: "Google",
    skippedBy: "CNB_REGISTRY_AUTH_KEYCHAIN_SKIP_GOOGLE",
    serves: (registry) => google.test(registry),
    load: async (options) => new (await import("../cloud/google.ts")).Google(options),
  },
];

/** What clouds give for their own registries to whom they know: this machine, its service account, a key. */
export class CloudSource implements CredentialSource {
  readonly name = "clouds";
  readonly #env: Environment;
  readonly #options: AskOptions;
  readonly #opened = new Map<string, Promise<Cloud>>();
  /** Failures that were told: several registries may meet the same one. */
  readonly #told = new Set<unknown>();

  constructor(env: Environment, options: AskOptions) {
    this.#env = env;
    this.#options = options;
  }

  async lookUp(registry: string): Promise<readonly ScopedCredential[]> {
    const known = clouds.find(({ serves }) => serves(registry.toLowerCase()));
    if (known === undefined) return [];
    if (/^(1|t|true)$/i.test(this.#env[known.skippedBy]?.trim() ?? "")) {
      this.#options.debug(`${known.name}: not asked, ${known.skippedBy} is set`);
      return [];
    }
    const cloud = await this.#open(known);
    const grant = await this.#signIn(known, cloud, registry);
    if (grant === undefined) return [];
    const renew = async () => {
      const again = await this.#signIn(known, cloud, registry);
      return again === undefined ? undefined : leaseOf(again);
    };
    const { secrets, livesMs } = leaseOf(grant);
    return [{ path: "", credential: new Credential(`${known.name}, ${grant.by}`, secrets, renew, livesMs) }];
  }

  #open(known: Known): Promise<Cloud> {
    const opened = this.#opened.get(known.name);
    if (opened !== undefined) return opened;
    const { debug, signal, cloudTiming: timing } = this.#options;
    const say = (message: string) => debug(`${known.name}: ${message}`);
    const made = known.load({ env: this.#env, debug: say, signal, timing });
    this.#opened.set(known.name, made);
    return made;
  }

  async #signIn({ name, skippedBy }: Known, cloud: Cloud, registry: string): Promise<Grant | undefined> {
    try {
      return await cloud.signIn(registry.toLowerCase());
    } catch (error) {
      const { signal, warn, debug } = this.#options;
      signal?.throwIfAborted();
      const why = error instanceof SignInFailure ? error.message : "something that went wrong in the restorer itself";
      const tell = this.#told.has(error) ? debug : warn;
      this.#told.add(error);
      tell(
        `No credentials for ${registry} from ${name}. Tried: ${why}. Give others, for instance with CNB_REGISTRY_AUTH, or set ${skippedBy}=true where none are needed.`,
      );
      return undefined;
    }
  }
}

function leaseOf({ secret, livesMs }: Grant): Lease {
  const secrets: Secrets =
    "user" in secret ? { basic: basicSecret(secret.user, secret.password) } : { identity: secret.refreshToken };
  return { secrets, livesMs };
}
