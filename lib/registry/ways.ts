import { TransportError } from "../http/errors.ts";
import type { Credential } from "../keychain/credential.ts";
import { quote } from "../text.ts";
import type { Challenge } from "./challenges.ts";
import type { TokenServer } from "./tokens.ts";

/** A way to authenticate: what goes along with a request. The key tells it from others. */
export type Way =
  | { readonly kind: "none"; readonly key: "" }
  /** A secret of ours as it is; the key says which, for it may be renewed. */
  | { readonly kind: "fixed"; readonly key: "bearer" | "basic" }
  | { readonly kind: "token"; readonly key: string; readonly server: TokenServer };

/** Why a token server may not be asked; undefined when it may. */
export type RefuseRealm = (asked: URL, realm: URL) => string | undefined;

interface Options {
  readonly credential: Credential;
  readonly repository: string;
  readonly refuseRealm: RefuseRealm;
}

/** A request without credentials. */
export const noWay: Way = { kind: "none", key: "" };

const ownToken: Way = { kind: "fixed", key: "bearer" };
const password: Way = { kind: "fixed", key: "basic" };

/**
 * The ways that a registry offers and our credentials can go, the strongest first: a token of its own, one of a token
 * server, user and password. `trouble` is a TransportError for the first token server that must not be asked.
 */
export function waysOf(
  challenges: readonly Challenge[],
  asked: URL,
  options: Options,
): { readonly ways: Way[]; readonly trouble: TransportError | undefined } {
  const { credential } = options;
  const [bearer, basic] = [credential.reveal("bearer"), credential.reveal("basic")];
  const ways: Way[] = [];
  let trouble: TransportError | undefined;
  const known = challenges.filter(({ scheme }) => scheme === "bearer" || scheme === "basic");
  if (bearer !== undefined && known.length > 0) ways.push(ownToken);
  for (const { parameters } of known.filter(({ scheme }) => scheme === "bearer")) {
    if (!parameters.has("realm")) continue;
    const server = serverOf(parameters, asked, options);
    if (server instanceof TransportError) trouble ??= server;
    else ways.push({ kind: "token", key: `${server.realm} ${server.service} ${server.scopes.join(" ")}`, server });
  }
  const wantsBasic = known.some(({ scheme }) => scheme === "basic");
  if (wantsBasic && basic !== undefined) ways.push(password);
  return { ways, trouble };
}

function serverOf(
  parameters: Challenge["parameters"],
  asked: URL,
  { repository, refuseRealm }: Options,
): TokenServer | TransportError {
  const text = parameters.get("realm") ?? "";
  if (!URL.canParse(text)) {
    const words = `${asked.host} names ${quote(text.slice(0, 100))} as its token server, which is not a URL`;
    return new TransportError("Realm", words);
  }
  const realm = new URL(text);
  const why = refuseRealm(asked, realm);
  if (why !== undefined) {
    return new TransportError(
      "Realm",
      `${asked.host} names the token server ${realm.host}, which is not asked: ${why}`,
    );
  }
  const scopes = parameters.get("scope") || `repository:${repository}:pull`;
  return { realm, service: parameters.get("service"), scopes: scopes.split(" ") };
}

/** Credentials that nobody asked for. */
export function volunteered(credential: Credential): Way[] {
  const [bearer, basic] = [credential.reveal("bearer"), credential.reveal("basic")];
  return [...(bearer === undefined ? [] : [ownToken]), ...(basic === undefined ? [] : [password])];
}
