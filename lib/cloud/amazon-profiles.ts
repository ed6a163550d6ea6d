import { join } from "node:path";
import type { Environment } from "../environment.ts";
import { quote } from "../text.ts";
import { type AmazonKeys, assumeByWebIdentity, assumeRole, type SecurityTokens } from "./amazon-sts.ts";
import { type Files, NotSetUp, StepFailure } from "./steps.ts";

type Profile = ReadonlyMap<string, string>;
type Source = (tokens: SecurityTokens) => AmazonKeys | Promise<AmazonKeys>;

/** What a profile's `credential_source` may name. */
interface Sources {
  readonly environmentKeys: Source;
  readonly containerKeys: Source;
  readonly machineKeys: Source;
}

/** Profiles that lead from one to the next. */
const longestChain = 5;

/** Keys of the profile in use, in the files that Amazon's tools share: `~/.aws/credentials` and `~/.aws/config`. */
export async function profileKeys(tokens: SecurityTokens, sources: Sources): Promise<AmazonKeys> {
  const { env } = tokens;
  const named = env["AWS_PROFILE"]?.trim() || env["AWS_DEFAULT_PROFILE"]?.trim();
  const profiles = readProfiles(env, tokens.files);
  const name = named || "default";
  const profile = profiles.get(name);
  if (profile === undefined && named)
    throw new StepFailure(`there is no profile ${quote(name)}, which AWS_PROFILE names`);
  // A profile may also hold nothing but a region.
  if (profile === undefined || !hasKeys(profile))
    throw new NotSetUp(`there are no credentials for the profile ${quote(name)}`);
  return keysOf(name, profiles, { ...tokens, region: regionOf(profile, tokens) }, sources, longestChain);
}

function hasKeys(profile: Profile): boolean {
  const keys = /^(aws_access_key_id|role_arn|credential_process|sso_(session|start_url|account_id))$/;
  return [...profile.keys()].some((key) => keys.test(key));
}

function regionOf(profile: Profile, { env, region }: SecurityTokens): string {
  const own = profile.get("region") ?? "";
  return env["AWS_REGION"] || env["AWS_DEFAULT_REGION"] || !/^[\w-]{1,64}$/.test(own) ? region : own;
}

async function keysOf(
  name: string,
  profiles: ReadonlyMap<string, Profile>,
  tokens: SecurityTokens,
  sources: Sources,
  chain: number,
): Promise<AmazonKeys> {
  const profile = profiles.get(name);
  if (profile === undefined) throw new StepFailure(`there is no profile ${quote(name)}`);
  if (chain === 0) throw new StepFailure(`the profile ${quote(name)} is at the end of too many source_profile`);
  const get = (key: string) => profile.get(key) || undefined;
  const [role, source] = [get("role_arn"), get("source_profile")];
  // A profile that is its own source has keys for that.
  if (role === undefined || (source === name && chain < longestChain)) return ownKeys(name, profile);
  const tokenFile = get("web_identity_token_file");
  const session = get("role_session_name");
  if (tokenFile !== undefined) {
    const where = `web_identity_token_file (profile ${quote(name)})`;
    return assumeByWebIdentity(tokens, { role, tokenFile, where, session });
  }
  const keys =
    source === undefined
      ? await sourceKeys(name, get("credential_source"), tokens, sources)
      : await keysOf(source, profiles, tokens, sources, chain - 1);
  const externalId = get("external_id");
  const options = {
    ...(session === undefined ? {} : { session }),
    ...(externalId === undefined ? {} : { externalId }),
  };
  return assumeRole(tokens, keys, { role, ...options });
}

function ownKeys(name: string, profile: Profile): AmazonKeys {
  const get = (key: string) => profile.get(key) || undefined;
  const [accessKeyId, secretAccessKey] = [get("aws_access_key_id"), get("aws_secret_access_key")];
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    return { accessKeyId, secretAccessKey, sessionToken: get("aws_session_token"), livesMs: undefined };
  }
  const unknown = ["credential_process", "sso_session", "sso_start_url"].find((key) => profile.has(key));
  const why =
    unknown === undefined ? "has no aws_secret_access_key" : `uses ${unknown}, which the restorer does not know`;
  throw new StepFailure(`the profile ${quote(name)} ${why}`);
}

async function sourceKeys(
  name: string,
  source: string | undefined,
  tokens: SecurityTokens,
  { environmentKeys, containerKeys, machineKeys }: Sources,
): Promise<AmazonKeys> {
  const known = new Map<string, Source>([
    ["Environment", environmentKeys],
    ["EcsContainer", containerKeys],
    ["Ec2InstanceMetadata", machineKeys],
  ]);
  const get = known.get(source ?? "");
  if (get !== undefined) {
    try {
      return await get(tokens);
    } catch (error) {
      // The profile is set up; what it names is not.
      if (!(error instanceof NotSetUp)) throw error;
      throw new StepFailure(`the profile ${quote(name)} has credential_source = ${source}, but ${error.message}`);
    }
  }
  throw new StepFailure(
    `the profile ${quote(name)} has a role_arn, but no source_profile or credential_source that is known`,
  );
}

/** All profiles of both files; what the file of credentials says counts. */
function readProfiles(env: Environment, files: Files): Map<string, Profile> {
  const home = env["HOME"] ?? "";
  const pathOf = (name: string, file: string) => env[name]?.trim() || (home === "" ? "" : join(home, ".aws", file));
  const textOf = (path: string) => (path === "" ? "" : (files.find(path) ?? ""));
  const config = parseProfiles(textOf(pathOf("AWS_CONFIG_FILE", "config")), /^(?:profile\s+(.+)|(default))$/);
  const credentials = parseProfiles(textOf(pathOf("AWS_SHARED_CREDENTIALS_FILE", "credentials")), /^(.+)$/);
  const names = [...config.keys(), ...credentials.keys()];
  return new Map(names.map((name) => [name, new Map([...(config.get(name) ?? []), ...(credentials.get(name) ?? [])])]));
}

/** Sections whose names fit, with their keys; lines below a key (nested settings) are not for us. */
function parseProfiles(text: string, title: RegExp): Map<string, Map<string, string>> {
  const profiles = new Map<string, Map<string, string>>();
  let current: Map<string, string> | undefined;
  for (const line of text.split(/\r?\n/)) {
    const section = /^\s*\[([^\]]+)\]/.exec(line)?.[1]?.trim();
    if (section !== undefined) {
      const match = title.exec(section);
      const name = (match?.[1] ?? match?.[2])?.replace(/^(["'])(.*)\1$/, "$2");
      current = name === undefined ? undefined : (profiles.get(name) ?? new Map());
      if (name !== undefined && current !== undefined) profiles.set(name, current);
      continue;
    }
    const setting = /^([A-Za-z_]\w*)\s*=\s*(.*)$/.exec(line);
    if (setting === null || current === undefined) continue;
    current.set((setting[1] ?? "").toLowerCase(), (setting[2] ?? "").replace(/\s[#;].*$/, "").trim());
  }
  return profiles;
}
