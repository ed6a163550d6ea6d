import type { Environment } from "../environment.ts";
import type { Log } from "../log.ts";
import { CloudSource } from "./cloud-source.ts";
import { anonymous, type Credential } from "./credential.ts";
import { DockerSource, readOwnConfig, readSharedConfig } from "./docker-source.ts";
import type { AskOptions, CredentialSource, ScopedCredential } from "./source.ts";
import { VariableSource } from "./variable.ts";

export interface KeychainOptions {
  readonly env: Environment;
  /** The registries in use, as {@link Reference.registry} names them; for others there are no credentials. */
  readonly registries: Iterable<string>;
  readonly log: Log;
  readonly signal?: AbortSignal | undefined;
  /** Time each credential helper gets. */
  readonly helperMs?: number;
  /** How long sign-ins to clouds wait. */
  readonly cloudTiming?: AskOptions["cloudTiming"];
}

/** The credentials of a run, all resolved: asking it reads no file and starts no process. */
export interface Keychain {
  for(registry: string, repository: string): Credential;
}

/**
 * Looks up credentials for the registries in use, once and before privileges are dropped: for each registry, those of the
 * first source that has any (contract §5; Platform specification, "Registry Authentication"), else anonymous.
 * Throws a RestorerError when CNB_REGISTRY_AUTH or CNB_REGISTRY_AUTH_FILE, which are meant for us, is malformed; trouble
 * with the other sources is a warning.
 */
export async function resolveKeychain({ registries, ...options }: KeychainOptions): Promise<Keychain> {
  const { log } = options;
  const sources = openSources(options);
  const resolved = new Map<string, readonly ScopedCredential[]>();
  const resolve = async (registry: string): Promise<void> => {
    const found = await firstFound(sources, registry);
    resolved.set(registry, found);
    log.debug(`Credentials for ${registry}: ${(found[0]?.credential ?? anonymous).source}`);
  };
  await Promise.all([...new Set(registries)].map(resolve));
  return {
    for(registry, repository) {
      const covers = ({ path }: ScopedCredential) => path === "" || `${repository}/`.startsWith(`${path}/`);
      return resolved.get(registry)?.find(covers)?.credential ?? anonymous;
    },
  };
}

/** All sources there are, in the order in which they are asked. */
function openSources({
  env,
  log,
  signal,
  helperMs,
  cloudTiming,
}: Omit<KeychainOptions, "registries">): CredentialSource[] {
  const options: AskOptions = {
    warn: (message) => log.warn(message, "credentials"),
    debug: (message) => log.debug(message),
    signal,
    helperMs,
    cloudTiming,
  };
  const variable = new VariableSource(env);
  const configs = [readOwnConfig(env), readSharedConfig(env, options.warn)].filter((config) => config !== undefined);
  return [
    variable,
    ...configs.map((config) => new DockerSource(config, env, options)),
    // Only where nothing is configured.
    new CloudSource(env, options),
  ];
}

async function firstFound(
  sources: readonly CredentialSource[],
  registry: string,
): Promise<readonly ScopedCredential[]> {
  for (const source of sources) {
    const found = await source.lookUp(registry);
    if (found.length > 0) return found;
  }
  return [];
}
