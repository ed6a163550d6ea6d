import { renewalTime } from "../waiting.ts";

type CredentialKind = "anonymous" | "basic" | "bearer" | "identity";

/** What proves who we are; at most one of the tokens is used, the registry's own before the identity. */
export interface Secrets {
  /** Base64 of `user:password`, as in an `Authorization: Basic` header. */
  readonly basic?: string | undefined;
  /** A refresh token (OAuth2), to be exchanged for access tokens. */
  readonly identity?: string | undefined;
  /** A token the registry itself takes, as in `Authorization: Bearer`. */
  readonly bearer?: string | undefined;
}

/** Secrets that are good for a while. */
export interface Lease {
  readonly secrets: Secrets;
  /** In milliseconds from now; undefined where nobody knows. */
  readonly livesMs: number | undefined;
}

/** Where secrets could not be renewed, it is not tried again for so long. */
const renewAgainMs = 60_000;

/** A way to authenticate at a registry. Its secrets are reachable only by name, never by printing or serialising it. */
export class Credential {
  /** Where it comes from, in words for people: "CNB_REGISTRY_AUTH". */
  readonly source: string;
  readonly kind: CredentialKind;
  #secrets: Secrets;
  /** Those before: an error may repeat one that was renewed meanwhile. */
  #former: Secrets = {};
  /** Fetches secrets of the same kind anew; undefined where that failed and was told. */
  readonly #renew: (() => Promise<Lease | undefined>) | undefined;
  #renewAt = Number.POSITIVE_INFINITY;
  #renewing: Promise<void> | undefined;

  constructor(source: string, secrets: Secrets = {}, renew?: () => Promise<Lease | undefined>, livesMs?: number) {
    this.source = source;
    this.#secrets = secrets;
    this.#renew = renew;
    this.#renewAt = renewalTime(livesMs);
    if (secrets.bearer !== undefined) this.kind = "bearer";
    else if (secrets.identity !== undefined) this.kind = "identity";
    else this.kind = secrets.basic === undefined ? "anonymous" : "basic";
  }

  /** A secret, for a request to the host it belongs to. */
  reveal(kind: keyof Secrets): string | undefined {
    return this.#secrets[kind];
  }

  /** Renews secrets that are about to expire, as far as that can be done. Where it fails, the registry judges the old ones. */
  async keepFresh(): Promise<void> {
    if (this.#renew === undefined || performance.now() < this.#renewAt) return;
    this.#renewing ??= this.#renewNow(this.#renew).finally(() => {
      this.#renewing = undefined;
    });
    await this.#renewing;
  }

  async #renewNow(renew: () => Promise<Lease | undefined>): Promise<void> {
    const lease = await renew();
    this.#renewAt = lease === undefined ? performance.now() + renewAgainMs : renewalTime(lease.livesMs);
    if (lease === undefined) return;
    [this.#former, this.#secrets] = [this.#secrets, lease.secrets];
  }

  /** Text of a server in which our secrets, should it have echoed them, are blotted out. */
  redact(text: string): string {
    return [this.#secrets, this.#former]
      .flatMap(formsOf)
      .filter((secret) => secret.length > 2)
      .reduce((rest, secret) => rest.replaceAll(secret, "***"), text);
  }

  toJSON(): { source: string; kind: CredentialKind } {
    return { source: this.source, kind: this.kind };
  }

  toString(): string {
    return `${this.kind} credentials (${this.source})`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
}

/** The forms in which a server may repeat secrets. */
function formsOf({ basic = "", identity = "", bearer = "" }: Secrets): string[] {
  const decoded = Buffer.from(basic, "base64").toString();
  return [basic, identity, bearer, decoded, decoded.slice(decoded.indexOf(":") + 1)];
}

/** What is used where no source has any. */
export const anonymous = new Credential("none found, anonymous");

/** Base64 of `user:password`. */
export function basicSecret(user: string, password: string): string {
  return Buffer.from(`${user}:${password}`).toString("base64");
}

/** Whether text may stand in an HTTP header as one word; anything else would break the request, or smuggle another header in. */
export function isHeaderWord(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text);
}
