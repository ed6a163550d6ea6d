import type { HttpAnswer } from "../http/request.ts";
import type { Credential } from "../keychain/credential.ts";
import { orAbort, renewalTime } from "../waiting.ts";
import { parseChallenges } from "./challenges.ts";
import type { Token, TokenServer } from "./tokens.ts";
import { noWay, type RefuseRealm, volunteered, type Way, waysOf } from "./ways.ts";

/** How often one request is sent with other credentials, whatever a registry offers. */
const maximumTries = 6;

interface AccessOptions {
  readonly credential: Credential;
  readonly repository: string;
  readonly refuseRealm: RefuseRealm;
  readonly fetchToken: (server: TokenServer) => Promise<Token>;
}

interface TokenState {
  token: { readonly value: string; readonly renewAt: number } | undefined;
  pending: Promise<string> | undefined;
}

/**
 * How one repository of a registry is accessed: nothing at first; what a challenge asks for once there has been one.
 * Requests that run side by side share tokens, and the requests for them.
 */
export class Access {
  readonly options: AccessOptions;
  /** The way that was let in last. */
  proven: Way = noWay;
  readonly #tokens = new Map<string, TokenState>();

  constructor(options: AccessOptions) {
    this.options = options;
  }

  get credential(): Credential {
    return this.options.credential;
  }

  /** The value of `Authorization` for a way; fetches a token when there is none or it is about to expire. */
  async header(way: Way): Promise<string | undefined> {
    if (way.kind === "none") return undefined;
    if (way.kind === "fixed") {
      await this.credential.keepFresh();
      return `${way.key === "basic" ? "Basic" : "Bearer"} ${this.credential.reveal(way.key)}`;
    }
    const state = this.#tokens.get(way.key) ?? { token: undefined, pending: undefined };
    this.#tokens.set(way.key, state);
    if (state.token !== undefined && performance.now() < state.token.renewAt) return `Bearer ${state.token.value}`;
    state.pending ??= this.#renew(way.server, state).finally(() => {
      state.pending = undefined;
    });
    return `Bearer ${await state.pending}`;
  }

  async #renew(server: TokenServer, state: TokenState): Promise<string> {
    await this.credential.keepFresh();
    const { value, livesMs } = await this.options.fetchToken(server);
    state.token = { value, renewAt: renewalTime(livesMs) };
    return value;
  }

  /** A token that was refused expired, or was revoked. */
  forget(way: Way, sent: string | undefined): void {
    const state = this.#tokens.get(way.key);
    if (state !== undefined && sent === `Bearer ${state.token?.value}`) state.token = undefined;
  }
}

/** One request's tries to be let in: every way that the registry offers, the strongest first. */
export class Entrance {
  /** The first trouble with a way that could not be tried: a token server that gave no token, or may not be asked. */
  trouble: unknown;
  readonly #access: Access;
  readonly #tries = new Map<string, number>();
  #way: Way;
  #sent: string | undefined;
  #offered: readonly Way[] = [];

  constructor(access: Access) {
    this.#access = access;
    this.#way = access.proven;
    this.#tries.set(this.#way.key, 1);
  }

  /** The value of `Authorization` to send now. Throws the trouble where every way has some, or the signal's reason. */
  async authorization(signal: AbortSignal): Promise<string | undefined> {
    for (;;) {
      try {
        this.#sent = await orAbort(this.#access.header(this.#way), signal);
        return this.#sent;
      } catch (error) {
        signal.throwIfAborted();
        this.trouble ??= error;
        // Another token would not be given either.
        this.#tries.set(this.#way.key, maximumTries);
        if (!this.#next()) throw this.trouble;
      }
    }
  }

  /** Takes in that the way was let in. */
  passed(): void {
    if (this.#way.kind !== "none") this.#access.proven = this.#way;
  }

  /** Takes in a registry's refusal. Whether to send the request again, since it would go out with something else. */
  refused({ response, asked }: HttpAnswer): boolean {
    const { credential } = this.#access;
    const isStranger = this.#way.kind === "none";
    if (response.status === 401) {
      this.#access.forget(this.#way, this.#sent);
      const challenges = parseChallenges(response.headers.get("www-authenticate") ?? "");
      if (challenges.length > 0) {
        const { ways, trouble } = waysOf(challenges, asked, this.#access.options);
        this.#offered = ways;
        this.trouble ??= trouble;
      } else if (isStranger) this.#offered = volunteered(credential);
      return this.#next();
    }
    // A registry that lets everybody in shows what is public, and never asks who we are.
    if (!isStranger || (response.status !== 403 && response.status !== 404)) return false;
    this.#offered = volunteered(credential);
    return this.#next();
  }

  #next(): boolean {
    const triesOf = (way: Way) => this.#tries.get(way.key) ?? 0;
    const all = [...this.#tries.values()].reduce((sum, tries) => sum + Math.min(tries, 2), 0);
    // A token may have expired just now: then a new one is good.
    const next = this.#offered.find((way) => triesOf(way) < (way.kind === "token" ? 2 : 1));
    if (next === undefined || all >= maximumTries) return false;
    this.#tries.set(next.key, triesOf(next) + 1);
    this.#way = next;
    return true;
  }
}
