import { userInfo } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import type { Environment } from "../environment.ts";
import { describe } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import type { Log } from "../log.ts";
import { dockerHub } from "../oci/reference.ts";
import { quote } from "../text.ts";
import { parseIfObject } from "../toml/json.ts";
import { anonymous, Credential, isHeaderWord } from "./credential.ts";
import { type DockerConfig, readDockerConfig, type ScopedCredential, splitKey } from "./docker-config.ts";
import { askHelper } from "./helper.ts";

export { anonymous, Credential } from "./credential.ts";

export interface KeychainOptions {
  readonly env: Environment;
  /** The registries in use, as {@link Reference.registry} names them; for others there are no credentials. */
  readonly registries: Iterable<string>;
  readonly log: Log;
  readonly signal?: AbortSignal | undefined;
  /** Time each credential helper gets. */
  readonly helperMs?: number;
}

/** The credentials of a run, all resolved: asking it reads no file and starts no process. */
export interface Keychain {
  for(registry: string, repository: string): Credential;
}

/**
 * Looks up credentials for the registries in use, once and before privileges are dropped. For each registry the first of
 * these that has any (Platform specification, "Registry Authentication"): CNB_REGISTRY_AUTH; the file CNB_REGISTRY_AUTH_FILE;
 * the first file found of docker's config.json, REGISTRY_AUTH_FILE and podman's auth.json; else anonymous.
 * Throws a RestorerError when one of the first two, which are meant for us, is malformed; trouble with the others is a warning.
 */
export async function resolveKeychain(options: KeychainOptions): Promise<Keychain> {
  const { env, log } = options;
  const ours = fromVariable(env);
  const configs = [ownFile(env), sharedFile(env, log)].filter((config) => config !== undefined);
  const resolved = new Map<string, ScopedCredential[]>();
  const resolve = async (registry: string): Promise<void> => {
    const found = await lookUp(registry, ours, configs, options);
    resolved.set(registry, found);
    log.debug(
      `Credentials for ${registry}: ${found.map(({ credential }) => credential.source)[0] ?? anonymous.source}`,
    );
  };
  await Promise.all([...new Set(options.registries)].map(resolve));
  return {
    for(registry, repository) {
      const covers = ({ path }: ScopedCredential) => path === "" || `${repository}/`.startsWith(`${path}/`);
      return resolved.get(registry)?.find(covers)?.credential ?? anonymous;
    },
  };
}

async function lookUp(
  registry: string,
  ours: ReadonlyMap<string, string>,
  configs: readonly DockerConfig[],
  options: KeychainOptions,
): Promise<ScopedCredential[]> {
  const header = ours.get(registry.toLowerCase());
  if (header !== undefined) return [{ path: "", credential: fromHeader(registry, header) }];
  for (const config of configs) {
    const stored = config.stored(registry, (message) => options.log.warn(message));
    const specific = stored.filter(({ path }) => path !== "");
    const helped = await fromHelper(config, registry, options);
    const whole = helped === undefined ? stored.filter(({ path }) => path === "") : [{ path: "", credential: helped }];
    if (specific.length + whole.length > 0) return [...specific, ...whole];
  }
  return [];
}

async function fromHelper(
  config: DockerConfig,
  registry: string,
  { env, log, signal, helperMs }: KeychainOptions,
): Promise<Credential | undefined> {
  const name = config.helper(registry);
  if (name === undefined) return undefined;
  const server = registry === dockerHub ? `https://${dockerHub}/v1/` : registry;
  try {
    return await askHelper(name, server, env, signal, helperMs);
  } catch (error) {
    signal?.throwIfAborted();
    log.warn(`No credentials for ${registry} from the helper ${quote(name)} (${config.path}): ${describe(error)}`);
    return undefined;
  }
}

const variable = "CNB_REGISTRY_AUTH";

/** CNB_REGISTRY_AUTH: registry → value of an Authorization header. Keys may be URLs. */
function fromVariable(env: Environment): Map<string, string> {
  const text = env[variable] ?? "";
  if (text === "") return new Map();
  // Why it is no JSON is not told: the parser's message quotes the text, which holds secrets.
  const parsed = v.safeParse(v.record(v.string(), v.string()), parseIfObject(text));
  if (!parsed.success) {
    throw new RestorerError(`failed to parse ${variable}: not a JSON object of registry names and headers`, {
      hint: `Set it to a JSON object such as {"registry.example.com": "Basic <base64 of user:password>"}.`,
    });
  }
  return new Map(Object.entries(parsed.output).map(([key, header]) => [splitKey(key).registry, header]));
}

/** A value of CNB_REGISTRY_AUTH as the lifecycle writes it: `Basic …`, `Bearer …` or `X-Identity …`. */
function fromHeader(registry: string, header: string): Credential {
  const match = /^(basic|bearer|x-identity) +(\S+) *$/i.exec(header);
  const secret = match?.[2] ?? "";
  if (isHeaderWord(secret)) {
    switch (match?.[1]?.toLowerCase()) {
      case "basic":
        return new Credential(variable, { basic: secret });
      case "bearer":
        return new Credential(variable, { bearer: secret });
      case "x-identity":
        return new Credential(variable, { identity: secret });
    }
  }
  throw new RestorerError(`failed to parse ${variable}: the value for ${quote(registry)} is of no known kind`, {
    hint: `It must begin with "Basic ", "Bearer " or "X-Identity ".`,
  });
}

/** CNB_REGISTRY_AUTH_FILE is set for us alone: what is wrong with it is an error, not a reason to go on without. */
function ownFile(env: Environment): DockerConfig | undefined {
  const name = "CNB_REGISTRY_AUTH_FILE";
  const path = env[name] ?? "";
  if (path === "") return undefined;
  const hint = "Point it at a file like docker's config.json, or unset it.";
  try {
    const config = readDockerConfig(path);
    if (config === undefined) throw new Error("no such file");
    return config;
  } catch (error) {
    throw new RestorerError(`failed to read ${name} ${quote(path)}: ${describe(error)}`, { hint });
  }
}

/** The first file there is of those that docker and podman share with other tools; they are not merged. */
function sharedFile(env: Environment, log: Log): DockerConfig | undefined {
  for (const path of sharedPaths(env)) {
    try {
      const config = readDockerConfig(path);
      if (config !== undefined) return config;
    } catch (error) {
      log.warn(`Not using the credentials in ${quote(path)}: ${describe(error)}`);
      return undefined;
    }
  }
  return undefined;
}

function sharedPaths(env: Environment): string[] {
  const home = env.HOME || homeOfUser();
  const below = (directory: string | undefined, name: string) => (directory ? [join(directory, name)] : []);
  return [
    ...below(env.DOCKER_CONFIG || (home && join(home, ".docker")), "config.json"),
    ...(env.REGISTRY_AUTH_FILE ? [env.REGISTRY_AUTH_FILE] : []),
    ...below(env.XDG_RUNTIME_DIR, "containers/auth.json"),
    ...below(env.XDG_CONFIG_HOME || (home && join(home, ".config")), "containers/auth.json"),
  ];
}

function homeOfUser(): string | undefined {
  try {
    return userInfo().homedir;
  } catch {
    return undefined; // A user id without an entry in /etc/passwd.
  }
}
