import { createPrivateKey, sign, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { certificates } from "./certificates.ts";

const signer = certificates.alone;
export const [service, issuer] = ["test-registry", "test-issuer"] as const;

/** What `auth` of a docker-registry is that takes such tokens, and sends whoever has none to a token server. */
export const tokenAuth = (realm: string) => ({ token: { realm, service, issuer, rootcertbundle: signer.cert } });

/** A token that lets its bearer pull a repository: a JWT, signed by a key whose certificate the docker-registry knows. */
export function registryToken(repository: string, subject: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const x5c = [new X509Certificate(readFileSync(signer.cert)).raw.toString("base64")];
  const now = Math.floor(Date.now() / 1000);
  const access = [{ type: "repository", name: repository, actions: ["pull"] }];
  const life = { iat: now, nbf: now - 600, exp: now + 3600 };
  const claims = { iss: issuer, sub: subject, aud: service, jti: crypto.randomUUID(), access, ...life };
  const signed = `${part({ typ: "JWT", alg: "ES256", x5c })}.${part(claims)}`;
  const key = createPrivateKey(readFileSync(signer.key));
  return `${signed}.${sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

/** The repository that a token is asked for, if it is only to be pulled from. */
export function repositoryOf(scope: string | null | undefined): string | undefined {
  return /^repository:([^:]+):pull$/.exec(scope ?? "")?.[1];
}
