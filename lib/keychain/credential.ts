type CredentialKind = "anonymous" | "basic" | "bearer" | "identity";

/** What proves who we are; at most one of the tokens is used, the registry's own before the identity. */
interface Secrets {
  /** Base64 of `user:password`, as in an `Authorization: Basic` header. */
  readonly basic?: string | undefined;
  /** A refresh token (OAuth2), to be exchanged for access tokens. */
  readonly identity?: string | undefined;
  /** A token the registry itself takes, as in `Authorization: Bearer`. */
  readonly bearer?: string | undefined;
}

/** A way to authenticate at a registry. Its secrets are reachable only by name, never by printing or serialising it. */
export class Credential {
  /** Where it comes from, in words for people: "CNB_REGISTRY_AUTH". */
  readonly source: string;
  readonly kind: CredentialKind;
  readonly #secrets: Secrets;

  constructor(source: string, secrets: Secrets = {}) {
    this.source = source;
    this.#secrets = secrets;
    if (secrets.bearer !== undefined) this.kind = "bearer";
    else if (secrets.identity !== undefined) this.kind = "identity";
    else this.kind = secrets.basic === undefined ? "anonymous" : "basic";
  }

  /** A secret, for a request to the host it belongs to. */
  reveal(kind: keyof Secrets): string | undefined {
    return this.#secrets[kind];
  }

  /** Text of a server in which our secrets, should it have echoed them, are blotted out. */
  redact(text: string): string {
    const { basic = "", identity = "", bearer = "" } = this.#secrets;
    const decoded = Buffer.from(basic, "base64").toString();
    const secrets = [basic, identity, bearer, decoded, decoded.slice(decoded.indexOf(":") + 1)];
    return secrets.filter((secret) => secret.length > 2).reduce((rest, secret) => rest.replaceAll(secret, "***"), text);
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

export const anonymous = new Credential("none found, anonymous");

/** Base64 of `user:password`. */
export function basicSecret(user: string, password: string): string {
  return Buffer.from(`${user}:${password}`).toString("base64");
}

/** Whether text may stand in an HTTP header as one word; anything else would break the request, or smuggle another header in. */
export function isHeaderWord(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text);
}
