import { errorCode } from "../errors.ts";

/** A failed request between us and a server, before or instead of an HTTP answer; what it says is free of secrets. */
export class TransportError extends Error {
  override readonly name = "TransportError";
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, hint?: string) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}

/** Connection errors that may pass. Names are Bun's. */
const transientCodes: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "ENETUNREACH",
  "EHOSTUNREACH",
  "ENETDOWN",
  "EAI_AGAIN",
  "ConnectionClosed",
  "ConnectionRefused",
  "Timeout",
]);

/** Whether trying again may help. */
export function isTransient(error: unknown): boolean {
  return isTransientCode(errorCode(error));
}

function isTransientCode(code: string | undefined): boolean {
  return code !== undefined && transientCodes.has(code);
}

/** Whether a server that speaks plain http may be the reason: it never answers a TLS handshake sensibly. */
export function mayBePlainHttp(error: unknown): boolean {
  return isTransient(error) || errorCode(error) === "EPROTO";
}

const explanations: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "the connection broke",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "the name server does not answer",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "the network is unreachable",
  ETIMEDOUT: "connection timed out",
  EPROTO: "the TLS handshake failed",
  ERR_TLS_CERT_ALTNAME_INVALID: "the certificate is for another host",
  CERT_HAS_EXPIRED: "the certificate has expired",
  CERT_NOT_YET_VALID: "the certificate is not valid yet",
};

/**
 * Puts what fetch threw into words of our own: its message may quote the address, and the query of a redirect's address
 * is often a secret. `proxy` is what stood between, if anything.
 */
export function toTransportError(error: unknown, url: URL, proxy: string | undefined): unknown {
  if (!(error instanceof Error) || error instanceof TransportError) return error;
  const code = errorCode(error);
  if (code === undefined || code === "ABORT_ERR") return error;
  const via = proxy === undefined ? "" : ` by way of the proxy ${proxy}`;
  const certificate = /CERT|SIGNATURE|ISSUER/.test(code);
  const what = explanations[code] ?? (certificate ? "the certificate cannot be verified" : "cannot connect");
  return new TransportError(
    code,
    `${url.host}${via}: ${what} (${code})`,
    connectionHint(code, certificate, url, proxy),
  );
}

function connectionHint(code: string, certificate: boolean, url: URL, proxy: string | undefined): string | undefined {
  const unusable = proxy !== undefined && code === "ERR_INVALID_ARG_VALUE";
  if (unusable || /proxy/i.test(code)) return "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.";
  if (certificate) {
    return `If ${url.host} has a certificate of a private authority, set SSL_CERT_FILE to the authority's certificate.`;
  }
  if (code === "EPROTO") return `If ${url.host} speaks plain http, pass -insecure-registry ${url.host}.`;
  if (isTransientCode(code) || code === "ENOTFOUND") {
    return `Check that ${proxy ?? url.host} is the right address and can be reached from here.`;
  }
  return undefined;
}
