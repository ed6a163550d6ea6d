import { TransportError } from "../http/errors.ts";
import type { HttpAnswer } from "../http/request.ts";
import type { Credential } from "../keychain/credential.ts";
import { quote } from "../text.ts";
import { type Challenge, parseChallenges } from "./challenges.ts";
import type { Token, TokenServer } from "./tokens.ts";

/** Tokens are renewed this long before they expire, or halfway through a very short life. */
const renewBeforeMs = 10_000;

interface AccessOptions {
  readonly credential: Credential;
  readonly repository: string;
  /** Why a token server may not be asked; undefined when it may. */
  readonly refuseRealm: (asked: URL, realm: URL) => string | undefined;
  readonly fetchToken: (server: TokenServer) => Promise<Token>;
}

/** What goes along with a request. */
type Authentication =
  | { readonly kind: "none" }
  | { readonly kind: "fixed"; readonly header: string }
  | { readonly kind: "token"; readonly server: TokenServer };

/**
 * How one repository of a registry is accessed: nothing at first; what a challenge asks for once there has been one.
 * Requests that run side by side share a token, and the request for it.
 */
export class Access {
  readonly credential: Credential;
  readonly #options: AccessOptions;
  #authentication: Authentication = { kind: "none" };
  #token: { value: string; renewAt: number } | undefined;
  #pending: Promise<string> | undefined;

  constructor(options: AccessOptions) {
    this.#options = options;
    this.credential = options.credential;
  }

  /** The value of `Authorization` for the next request; fetches a token when there is none or it is about to expire. */
  async authorization(): Promise<string | undefined> {
    if (this.#authentication.kind === "none") return undefined;
    if (this.#authentication.kind === "fixed") return this.#authentication.header;
    if (this.#token !== undefined && performance.now() < this.#token.renewAt) return `Bearer ${this.#token.value}`;
    this.#pending ??= this.#renew(this.#authentication.server).finally(() => {
      this.#pending = undefined;
    });
    return `Bearer ${await this.#pending}`;
  }

  async #renew(server: TokenServer): Promise<string> {
    const { value, livesMs = Number.POSITIVE_INFINITY } = await this.#options.fetchToken(server);
    this.#token = { value, renewAt: performance.now() + Math.max(livesMs - renewBeforeMs, livesMs / 2) };
    return value;
  }

  /**
   * Takes in a registry's refusal of a request that was sent with `sent`. Whether to send it again, since the next one
   * would go out with something else. Throws a TransportError for a challenge that must not be followed.
   */
  refused({ response, asked }: HttpAnswer, sent: string | undefined): boolean {
    if (response.status === 401) return this.#challenged(response, asked, sent);
    // A registry that lets everybody in shows what is public, and never asks who we are.
    const hidden = response.status === 403 || response.status === 404;
    return hidden && sent === undefined && this.#authentication.kind === "none" && this.#volunteer();
  }

  #challenged(response: Response, asked: URL, sent: string | undefined): boolean {
    if (this.#authentication.kind === "token" && sent !== undefined && sent === `Bearer ${this.#token?.value}`) {
      this.#token = undefined; // It expired, or was revoked.
    }
    const challenges = parseChallenges(response.headers.get("www-authenticate") ?? "");
    const chosen = this.#choose(challenges);
    if (chosen === undefined) return challenges.length === 0 && sent === undefined && this.#volunteer();
    this.#authentication = this.#answerTo(chosen, asked);
    return (
      this.#authentication.kind === "token" ||
      (this.#authentication.kind === "fixed" && this.#authentication.header !== sent)
    );
  }

  /** The first challenge that our credentials can answer. */
  #choose(challenges: readonly Challenge[]): Challenge | undefined {
    const { credential } = this.#options;
    const able = ({ scheme, parameters }: Challenge) => {
      if (scheme === "basic")
        return credential.reveal("basic") !== undefined || credential.reveal("bearer") !== undefined;
      return scheme === "bearer" && (credential.reveal("bearer") !== undefined || parameters.has("realm"));
    };
    return challenges.find(able);
  }

  #answerTo({ scheme, parameters }: Challenge, asked: URL): Authentication {
    const { credential, repository, refuseRealm } = this.#options;
    const bearer = credential.reveal("bearer");
    if (bearer !== undefined) return { kind: "fixed", header: `Bearer ${bearer}` };
    if (scheme === "basic") return { kind: "fixed", header: `Basic ${credential.reveal("basic")}` };
    const realm = parameters.get("realm") ?? "";
    if (!URL.canParse(realm))
      throw new TransportError(
        "Realm",
        `${asked.host} names ${quote(realm.slice(0, 100))} as its token server, which is not a URL`,
      );
    const url = new URL(realm);
    const why = refuseRealm(asked, url);
    if (why !== undefined) {
      throw new TransportError("Realm", `${asked.host} names the token server ${url.host}, which is not asked: ${why}`);
    }
    const scopes = parameters.get("scope") || `repository:${repository}:pull`;
    return { kind: "token", server: { realm: url, service: parameters.get("service"), scopes: scopes.split(" ") } };
  }

  /** Shows credentials that nobody asked for. */
  #volunteer(): boolean {
    const { credential } = this.#options;
    const bearer = credential.reveal("bearer");
    const basic = credential.reveal("basic");
    if (bearer !== undefined) this.#authentication = { kind: "fixed", header: `Bearer ${bearer}` };
    else if (basic !== undefined) this.#authentication = { kind: "fixed", header: `Basic ${basic}` };
    return this.#authentication.kind !== "none";
  }
}
