const algorithm = "sha256";

/** Whether text is a digest as registries write them: only such a one becomes part of a path. */
export function isDigest(text: string): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(text);
}

/** The digest of bytes: `sha256:<64 lower-case hexadecimal digits>`. */
export function digestOf(bytes: Uint8Array): string {
  return new Digester().update(bytes).digest();
}

/** Makes the digest of bytes that come in pieces. */
export class Digester {
  readonly #hasher = new Bun.CryptoHasher(algorithm);

  update(bytes: Uint8Array): this {
    this.#hasher.update(bytes);
    return this;
  }

  /** The digest of all that came; what comes afterwards is another. */
  digest(): string {
    return `${algorithm}:${this.#hasher.digest("hex")}`;
  }
}
