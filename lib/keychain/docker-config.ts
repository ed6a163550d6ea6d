import { readFileSync, statSync } from "node:fs";
import * as v from "valibot";
import { orAsSecondUser } from "../disk/second-user.ts";
import { describe } from "../errors.ts";
import { canonicalRegistry, dockerHub } from "../oci/reference.ts";
import { parseIfObject } from "../toml/json.ts";
import { basicSecret, Credential, isHeaderWord } from "./credential.ts";
import type { ScopedCredential } from "./source.ts";

const maximumBytes = 4 * 1024 * 1024;

const configSchema = v.object({
  auths: v.nullish(v.record(v.string(), v.unknown()), {}),
  credHelpers: v.nullish(v.record(v.string(), v.string()), {}),
  credsStore: v.nullish(v.string(), ""),
});

const entrySchema = v.object({
  auth: v.nullish(v.string(), ""),
  username: v.nullish(v.string(), ""),
  password: v.nullish(v.string(), ""),
  identitytoken: v.nullish(v.string(), ""),
  registrytoken: v.nullish(v.string(), ""),
});

/** A docker `config.json`, or podman's `auth.json`, which has the same form. */
export interface DockerConfig {
  readonly path: string;
  /** The credential helper for a registry: its own in `credHelpers`, else `credsStore`. */
  helper(registry: string): string | undefined;
  /** What `auths` holds for a registry, the most specific path first. */
  stored(registry: string, warn: (message: string) => void): ScopedCredential[];
}

/**
 * Reads a file of credentials; undefined when there is none. Throws an Error for one that cannot be used, without its
 * text: even a syntax error's message may quote a secret.
 */
export function readDockerConfig(path: string): DockerConfig | undefined {
  const text = readText(path);
  if (text === undefined) return undefined;
  const parsed = v.safeParse(configSchema, parseIfObject(text.trim() === "" ? "{}" : text));
  if (!parsed.success) {
    const where = v.getDotPath(parsed.issues[0]);
    throw new Error(`it is not a docker configuration${where === null ? " (not a JSON object)" : `: see ${where}`}`);
  }
  const { auths, credHelpers, credsStore } = parsed.output;
  const helpers = new Map(Object.entries(credHelpers).map(([key, name]) => [splitKey(key).registry, name]));
  return {
    path,
    helper: (registry) => helpers.get(registry.toLowerCase()) || credsStore || undefined,
    stored: (registry, warn) => storedIn(auths, path, registry, warn),
  };
}

function readText(path: string): string | undefined {
  try {
    return orAsSecondUser(() => {
      const stat = statSync(path, { throwIfNoEntry: false });
      if (stat === undefined || stat.isDirectory()) return undefined;
      if (!stat.isFile()) throw new Error("not a regular file");
      if (stat.size > maximumBytes) throw new Error(`larger than ${maximumBytes} bytes`);
      return readFileSync(path, "utf8");
    });
  } catch (cause) {
    throw new Error(describe(cause));
  }
}

function storedIn(
  auths: Record<string, unknown>,
  file: string,
  registry: string,
  warn: (message: string) => void,
): ScopedCredential[] {
  const found: (ScopedCredential & { exact: boolean })[] = [];
  for (const [key, value] of Object.entries(auths)) {
    const place = splitKey(key);
    if (place.registry !== registry.toLowerCase()) continue;
    const secrets = readEntry(value);
    if (secrets === "malformed")
      warn(
        `Not using the credentials for ${place.registry} in ${file}: malformed entry, expected an object with "auth"`,
      );
    else if (secrets !== undefined) {
      const credential = new Credential(`${file} (auths)`, secrets);
      found.push({ path: place.path, credential, exact: key === registry || key === `https://${dockerHub}/v1/` });
    }
  }
  return found
    .sort((a, b) => b.path.length - a.path.length || Number(b.exact) - Number(a.exact))
    .map(({ path, credential }) => ({ path, credential }));
}

/**
 * The registry a key stands for, and the path in it. Docker writes URLs whose path is that of an API
 * (`https://index.docker.io/v1/`); podman writes `registry/path` for credentials of a part of a registry.
 */
export function splitKey(key: string): { registry: string; path: string } {
  const url = /^https?:\/\//i.exec(key);
  const rest = url === null ? key : key.slice(url[0].length);
  const [host = "", ...components] = rest.split("/");
  const path = components.filter((component) => component !== "").join("/");
  const scoped = url === null && !/^v[12]$/.test(path);
  return { registry: canonicalRegistry(host.trim().toLowerCase()), path: scoped ? path : "" };
}

function readEntry(value: unknown) {
  const parsed = v.safeParse(entrySchema, value);
  if (!parsed.success) return "malformed";
  const { auth, identitytoken, registrytoken } = parsed.output;
  let { username, password } = parsed.output;
  if (auth !== "") {
    const decoded = Buffer.from(auth, "base64").toString();
    const colon = decoded.indexOf(":");
    if (colon === -1) return "malformed";
    username = decoded.slice(0, colon);
    password = decoded.slice(colon + 1).replace(/\0+$/, "");
  }
  const isToken = username === "<token>";
  const identity = identitytoken || (isToken ? password : "") || undefined;
  const basic = username !== "" && password !== "" && !isToken ? basicSecret(username, password) : undefined;
  const bearer = registrytoken || undefined;
  if (bearer !== undefined && !isHeaderWord(bearer)) return "malformed";
  if (basic === undefined && identity === undefined && bearer === undefined) return undefined;
  return { basic, identity, bearer };
}
