import * as v from "valibot";
import { NotAFile, readWhole } from "../disk/read-file.ts";
import { describe, hasCode } from "../errors.ts";
import { inLowerCase, optionalEntries, optionalText, optionalTexts } from "../lenient.ts";
import { canonicalRegistry, dockerHub } from "../oci/reference.ts";
import { quote } from "../text.ts";
import { isTable } from "../toml/values.ts";
import { basicSecret, Credential, isHeaderWord } from "./credential.ts";
import type { ScopedCredential } from "./source.ts";
import { decodeText, parseWritten, withoutSpace } from "./written.ts";

const maximumBytes = 4 * 1024 * 1024;

const configSchema = v.pipe(
  inLowerCase,
  v.object({
    auths: v.optional(v.unknown()),
    credhelpers: v.fallback(optionalTexts, []),
    credsstore: optionalText,
  }),
);

const secretsSchema = v.object({
  auth: optionalText,
  username: optionalText,
  password: optionalText,
  identitytoken: optionalText,
  registrytoken: optionalText,
});
const entrySchema = v.pipe(inLowerCase, secretsSchema);

/** A docker `config.json`; podman's `auth.json`, which has the same form; or a `.dockercfg`, which is only its `auths`. */
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
  const written = parseWritten(text);
  const parsed = v.safeParse(configSchema, isLegacy(written) ? { auths: written } : written);
  if (!parsed.success) throw new Error("it is not a docker configuration (not a JSON object)");
  const { auths, credhelpers, credsstore } = parsed.output;
  const helpers = new Map(credhelpers.map(([key, name]) => [splitKey(key).registry, name.trim()]));
  return {
    path,
    helper: (registry) => helpers.get(registry.toLowerCase()) || credsstore.trim() || undefined,
    stored: (registry, warn) => storedIn(auths, path, registry, warn),
  };
}

/** Whether it is what docker wrote before there was a config.json, as Kubernetes' secrets of type dockercfg still are. */
function isLegacy(written: unknown): boolean {
  const entries = v.parse(optionalEntries, written);
  if (entries.some(([name]) => /^(auths|credHelpers|credsStore)$/i.test(name))) return false;
  return entries.some(([, value]) => v.parse(optionalEntries, value).some(([name]) => isSecretName(name)));
}

function isSecretName(name: string): boolean {
  return Object.hasOwn(secretsSchema.entries, name.toLowerCase());
}

function readText(path: string): string | undefined {
  try {
    return decodeText(readWhole(path, maximumBytes));
  } catch (cause) {
    if (hasCode(cause, "ENOENT", "ENOTDIR") || (cause instanceof NotAFile && cause.isDirectory)) return undefined;
    throw new Error(describe(cause));
  }
}

function storedIn(auths: unknown, file: string, registry: string, warn: (message: string) => void): ScopedCredential[] {
  if (auths !== undefined && auths !== null && !isTable(auths)) {
    warn(`Not using the credentials in ${quote(file)}: its "auths" are not an object`);
  }
  const found: (ScopedCredential & { exact: boolean })[] = [];
  for (const [key, value] of v.parse(optionalEntries, auths)) {
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
  const whole = key.trim();
  const url = /^https?:\/\//i.exec(whole);
  const rest = url === null ? whole : whole.slice(url[0].length);
  const [host = "", ...components] = rest.split("/");
  const path = components.filter((component) => component !== "").join("/");
  const scoped = url === null && !/^v[12]$/.test(path);
  return { registry: canonicalRegistry(host.trim().toLowerCase()), path: scoped ? path : "" };
}

/** The secrets of an entry; undefined where it has none, "malformed" where what it has is of no use. */
function readEntry(value: unknown) {
  if (value === null) return undefined;
  const parsed = v.safeParse(entrySchema, value);
  if (!parsed.success) return "malformed";
  const { auth, username, password, identitytoken, registrytoken } = parsed.output;
  const [user, secret] = splitAuth(auth) ?? [username.trim(), password];
  const isToken = user === "<token>";
  const identity = withoutSpace(identitytoken || (isToken ? secret : "")) || undefined;
  const basic = user !== "" && secret !== "" && !isToken ? basicSecret(user, secret) : undefined;
  const bearer = [withoutSpace(registrytoken)].find(isHeaderWord);
  if (basic !== undefined || identity !== undefined || bearer !== undefined) return { basic, identity, bearer };
  const isMalformed = registrytoken !== "" || (auth !== "" && splitAuth(auth) === undefined) || hasOthers(value);
  return isMalformed ? "malformed" : undefined;
}

/** User and password of base64, without the line break or NUL that some programs put at its end. */
function splitAuth(auth: string): [user: string, password: string] | undefined {
  const decoded = Buffer.from(auth, "base64").toString();
  const colon = decoded.indexOf(":");
  return colon === -1 ? undefined : [decoded.slice(0, colon), decoded.slice(colon + 1).replace(/[\0\r\n]+$/, "")];
}

/** Whether a field of an entry holds something else than the text that belongs there. */
function hasOthers(entry: unknown): boolean {
  return v
    .parse(optionalEntries, entry)
    .some(([name, value]) => isSecretName(name) && value !== null && typeof value !== "string");
}
