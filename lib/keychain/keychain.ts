import type { Environment } from "../environment.ts";
import type { Log } from "../log.ts";
import { CloudSource } from "./cloud-source.ts";
import { anonymous, type Credential } from "./credential.ts";
import { DockerSource, readOwnConfig, readSharedConfig } from "./docker-source.ts";
import type { AskOptions, CredentialSource, ScopedCredential } from "./source.ts";
import { VariableSource } from "./variable.ts";

/** An image in use, as {@link Reference} names its place. */
export interface ImagePlace {
  readonly registry: string;
  readonly repository: string;
}

/** What credentials are looked up for, and how. */
export interface KeychainOptions {
  readonly env: Environment;
  /** The images in use; for other registries there are no credentials. */
  readonly images: Iterable<ImagePlace>;
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
 * Looks up credentials for the registries in use, once and before privileges are dropped: for each image, those of the
 * first source that has any for it (contract §5; Platform specification, "Registry Authentication"), else anonymous.
 * Throws a RestorerError when CNB_REGISTRY_AUTH or CNB_REGISTRY_AUTH_FILE, which are meant for us, is malformed; trouble
 * with the other sources is a warning.
 */
export async function resolveKeychain({ images, ...options }: KeychainOptions): Promise<Keychain> {
  const { log } = options;
  const sources = openSources(options);
  const resolved = new Map<string, readonly ScopedCredential[]>();
  const keychain: Keychain = {
    for: (registry, repository) => choose(resolved.get(registry) ?? [], repository)?.credential ?? anonymous,
  };
  const resolve = async ([registry, repositories]: [string, ReadonlySet<string>]): Promise<void> => {
    const found = await firstFound(sources, registry, [...repositories]);
    resolved.set(registry, found);
    const isWhole = found.every(({ path }) => path === "");
    for (const repository of isWhole ? [""] : repositories) {
      const name = isWhole ? registry : `${registry}/${repository}`;
      log.debug(`Credentials for ${name}: ${keychain.for(registry, repository).source}`);
    }
  };
  await Promise.all([...byRegistry(images)].map(resolve));
  return keychain;
}

function byRegistry(images: Iterable<ImagePlace>): Map<string, Set<string>> {
  const registries = new Map<string, Set<string>>();
  for (const { registry, repository } of images)
    registries.set(registry, (registries.get(registry) ?? new Set()).add(repository));
  return registries;
}

function choose(found: readonly ScopedCredential[], repository: string): ScopedCredential | undefined {
  return found.find(({ path }) => path === "" || `${repository}/`.startsWith(`${path}/`));
}

/** All sources there are, in the order in which they are asked. */
function openSources({ env, log, signal, helperMs, cloudTiming }: Omit<KeychainOptions, "images">): CredentialSource[] {
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

/** Asks the sources in turn until there is something for each repository: what one has may be for a path only. */
async function firstFound(
  sources: readonly CredentialSource[],
  registry: string,
  repositories: readonly string[],
): Promise<readonly ScopedCredential[]> {
  const found: ScopedCredential[] = [];
  for (const source of sources) {
    found.push(...(await source.lookUp(registry)));
    if (repositories.every((repository) => choose(found, repository) !== undefined)) break;
  }
  return found;
}
