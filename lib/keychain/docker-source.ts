import { type Stats, statSync } from "node:fs";
import { userInfo } from "node:os";
import { join, relative } from "node:path";
import { orAsSecondUser } from "../disk/second-user.ts";
import type { Environment } from "../environment.ts";
import { describe } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import { dockerHub } from "../oci/reference.ts";
import { namedPath, quote, quotePath } from "../text.ts";
import type { Credential } from "./credential.ts";
import { type DockerConfig, readDockerConfig } from "./docker-config.ts";
import { askHelper } from "./helper.ts";
import type { AskOptions, CredentialSource, ScopedCredential } from "./source.ts";

/** Names that files of credentials have in a directory: docker's, and those of Kubernetes' two types of secrets. */
const configNames = ["config.json", ".dockerconfigjson", ".dockercfg"] as const;

/** The credentials in a docker configuration, and those of the helpers that it names. */
export class DockerSource implements CredentialSource {
  readonly name: string;
  readonly #config: DockerConfig;
  readonly #env: Environment;
  readonly #options: AskOptions;

  constructor(config: DockerConfig, env: Environment, options: AskOptions) {
    this.name = config.path;
    this.#config = config;
    this.#env = env;
    this.#options = options;
  }

  /** What is stored for a path in the registry, then the helper's answer or else what is stored for all of it. */
  async lookUp(registry: string): Promise<readonly ScopedCredential[]> {
    const stored = this.#config.stored(registry, this.#options.warn);
    const specific = stored.filter(({ path }) => path !== "");
    const helped = await this.#askHelper(registry);
    const whole = helped === undefined ? stored.filter(({ path }) => path === "") : [{ path: "", credential: helped }];
    return [...specific, ...whole];
  }

  async #askHelper(registry: string): Promise<Credential | undefined> {
    const { warn, debug, signal, helperMs } = this.#options;
    const helper = this.#config.helper(registry);
    if (helper === undefined) return undefined;
    const server = registry === dockerHub ? `https://${dockerHub}/v1/` : registry;
    try {
      return await askHelper(helper, server, { env: this.#env, debug, signal, timeoutMs: helperMs });
    } catch (error) {
      signal?.throwIfAborted();
      warn(`No credentials for ${registry} from the helper ${quote(helper)} (${this.name}): ${describe(error)}`);
      return undefined;
    }
  }
}

/** CNB_REGISTRY_AUTH_FILE is set for us alone: what is wrong with it is an error, not a reason to go on without. */
export function readOwnConfig(env: Environment): DockerConfig | undefined {
  const name = "CNB_REGISTRY_AUTH_FILE";
  const path = env[name] ?? "";
  if (path === "") return undefined;
  const hint = "Point it at a file like docker's config.json, or unset it.";
  try {
    const config = readDockerConfig(path);
    if (config !== undefined) return config;
    if (!isDirectory(path)) throw new Error("no such file");
    const inside = configNames.map((file) => join(path, file)).find(isFile);
    throw new Error(`it is a directory${inside === undefined ? "" : `; did you mean ${quote(inside)}?`}`);
  } catch (error) {
    throw new RestorerError(`failed to read ${namedPath(name, path)}: ${describe(error)}`, { hint });
  }
}

/** The first file there is of those that docker and podman share with other tools; they are not merged. */
export function readSharedConfig(env: Environment, warn: (message: string) => void): DockerConfig | undefined {
  const misplaced = misplacedConfig(env);
  if (misplaced !== undefined) warn(misplaced);
  for (const path of sharedPaths(env)) {
    try {
      const config = readDockerConfig(path);
      if (config !== undefined) return config;
    } catch (error) {
      warn(`Not using the credentials in ${quotePath(path)}: ${describe(error)}`);
      return undefined;
    }
  }
  return undefined;
}

/** A warning where no config.json of docker's can be read, though it is plain what was meant to be one. */
function misplacedConfig(env: Environment): string | undefined {
  const named = env.DOCKER_CONFIG;
  const directory = dockerDirectory(env);
  if (directory === undefined) return undefined;
  if (named && isFile(named)) {
    return `DOCKER_CONFIG names a file, ${quote(named)}, not a directory that holds a config.json: set CNB_REGISTRY_AUTH_FILE to it instead.`;
  }
  const usual = join(directory, "config.json");
  if (named && isAbsent(named)) {
    return `DOCKER_CONFIG names a directory, ${quotePath(named)}, that does not exist: there are no credentials in it.`;
  }
  const secret = [directory, usual].flatMap((place) => configNames.map((name) => join(place, name)));
  const meant = isFile(usual) ? undefined : secret.find(isFile);
  if (meant === undefined) {
    return isDirectory(usual)
      ? `${quote(usual)} is a directory, not a file with credentials: perhaps what should be mounted there does not exist.`
      : undefined;
  }
  const where = named ? `DOCKER_CONFIG names a directory, ${quote(named)}, that` : `The directory ${quote(directory)}`;
  return `${where} holds ${relative(directory, meant)}, but no file config.json: set CNB_REGISTRY_AUTH_FILE to ${quote(meant)}, or mount the file as config.json.`;
}

/** Undefined where nothing is there, or it may not be looked at: reading it will tell. */
function look(path: string): Stats | undefined {
  try {
    return orAsSecondUser(() => statSync(path, { throwIfNoEntry: false }));
  } catch {
    return undefined;
  }
}

/** Whether nothing is there, as far as can be seen. */
function isAbsent(path: string): boolean {
  try {
    return orAsSecondUser(() => statSync(path, { throwIfNoEntry: false })) === undefined;
  } catch {
    return false;
  }
}

const isFile = (path: string): boolean => look(path)?.isFile() === true;
const isDirectory = (path: string): boolean => look(path)?.isDirectory() === true;

function dockerDirectory(env: Environment): string | undefined {
  const home = env.HOME || homeOfUser();
  return env.DOCKER_CONFIG || (home ? join(home, ".docker") : undefined);
}

function sharedPaths(env: Environment): string[] {
  const home = env.HOME || homeOfUser();
  const below = (directory: string | undefined, name: string) => (directory ? [join(directory, name)] : []);
  return [
    ...below(dockerDirectory(env), "config.json"),
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
