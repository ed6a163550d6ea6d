import type { Credential } from "../../lib/keychain/credential.ts";
import { type KeychainOptions, resolveKeychain } from "../../lib/keychain/keychain.ts";
import type { Log } from "../../lib/log.ts";
import { hangMs, type TempDir, type Tree, tempDir } from "./harness.ts";

/** Docker Hub. */
export const hub = "index.docker.io";
/** Base64, as of `user:password`. */
export const basic = (text: string) => Buffer.from(text).toString("base64");
/** A docker configuration with these entries of `auths`. */
export const auths = (entries: Record<string, unknown>, more: object = {}) =>
  JSON.stringify({ auths: entries, ...more });

/** A log that keeps what is said. */
export function record(): Log & { readonly lines: string[] } {
  const lines: string[] = [];
  const at = (level: string) => (message: string) => void lines.push(`${level} ${message}`);
  return {
    level: "debug",
    lines,
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    warnings: [],
    flush() {},
  };
}

/** Looks up one registry with a home directory that holds a tree; returns the credential in the open. */
export async function lookUp(
  tree: Tree,
  env: Record<string, string | undefined> | ((home: TempDir) => Record<string, string | undefined>),
  registry = "reg.io",
  repository = "org/app",
  more: Partial<KeychainOptions> = {},
) {
  using home = tempDir("keychain", tree);
  const log = record();
  const all = { HOME: home.path, PATH: process.env.PATH, ...(typeof env === "function" ? env(home) : env) };
  const keychain = await resolveKeychain({
    env: all,
    images: [{ registry, repository }],
    log,
    helperMs: hangMs,
    ...more,
  });
  const credential = keychain.for(registry, repository);
  const source = credential.source.replaceAll(home.path, "~");
  return {
    ...open(credential),
    kind: credential.kind,
    source,
    log: log.lines.map((line) => line.replaceAll(home.path, "~")),
  };
}

function open(credential: Credential) {
  const secret = credential.reveal("basic");
  return {
    login: secret === undefined ? undefined : Buffer.from(secret, "base64").toString(),
    identity: credential.reveal("identity"),
    bearer: credential.reveal("bearer"),
  };
}
