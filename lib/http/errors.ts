import { STATUS_CODES } from "node:http";
import { errorCode, hasCode, inWords } from "../errors.ts";

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
  "ProxyUnavailable",
]);

/** Errors of an answer that is not HTTP, or not any more. Names are Bun's. */
const malformedCodes: ReadonlySet<string> = new Set([
  "Malformed_HTTP_Response",
  "InvalidHTTPResponse",
  "InvalidContentLength",
  "ResponseHeadersTooLarge",
  "UnexpectedData",
  "UnsupportedTransferEncoding",
]);

/** Whether an answer broke off, or is not HTTP or not any more, so that it or the rest of it may be asked for. */
export function breaksAnswer(error: unknown): boolean {
  return isTransient(error) || malformedCodes.has(errorCode(error) ?? "");
}

/** Whether trying again may help. */
export function isTransient(error: unknown): boolean {
  return isTransientCode(errorCode(error));
}

function isTransientCode(code: string | undefined): boolean {
  return code !== undefined && transientCodes.has(code);
}

/**
 * Whether a server that speaks plain http may be the reason: it never answers a TLS handshake sensibly. A proxy that makes
 * no tunnel may still pass on plain http.
 */
export function mayBePlainHttp(error: unknown): boolean {
  return isTransient(error) || hasCode(error, "EPROTO", "ProxyTunnel");
}

/** Whether a connection failed for want of TLS, or of trust in a certificate. */
export function concernsTrust(error: unknown): boolean {
  const code = errorCode(error);
  return code !== undefined && (code === "EPROTO" || isAboutCertificate(code));
}

function isAboutCertificate(code: string): boolean {
  return /CERT|SIGNATURE|ISSUER/.test(code);
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
  CERT_REVOKED: "the certificate was revoked",
  Malformed_HTTP_Response: "the answer is not HTTP",
  InvalidHTTPResponse: "the answer is not HTTP",
  InvalidContentLength: "the answer has no length that makes sense",
  ResponseHeadersTooLarge: "the answer has too many headers",
  UnexpectedData: "more came than an answer",
  UnsupportedTransferEncoding: "the answer has a transfer encoding that is not supported",
  UnsupportedProxyProtocol: "proxies of this kind are not supported",
};

/** What a request went by. */
interface Circumstances {
  /** What stood between, if anything. */
  readonly proxy?: string | undefined;
  /** The variables that certificates of private authorities came from, with what they name. */
  readonly trusted?: string | undefined;
}

/**
 * Puts what fetch threw into words of our own: its message may quote the address, and the query of a redirect's address
 * is often a secret.
 */
export function toTransportError(error: unknown, url: URL, { proxy, trusted }: Circumstances = {}): unknown {
  if (!(error instanceof Error) || error instanceof TransportError) return error;
  const code = errorCode(error);
  if (code === undefined || code === "ABORT_ERR") return error;
  const via = proxy === undefined ? "" : ` by way of the proxy ${proxy}`;
  const tunnel = /^Proxy refused to open a tunnel: (\d{3})\b/.exec(error.message)?.[1];
  if (proxy !== undefined && tunnel !== undefined) return proxyRefusal(Number(tunnel), url, proxy);
  const certificate = isAboutCertificate(code) ? "the certificate cannot be verified" : undefined;
  const what = explanations[code] ?? certificate ?? inWords(code) ?? "cannot connect";
  return new TransportError(
    code,
    `${url.host}${via}: ${what} (${code})`,
    connectionHint(code, url, { proxy, trusted }),
  );
}

/** The error for a proxy that does not let a request through, by the status that it answered. */
export function proxyRefusal(status: number, url: URL, proxy: string): TransportError {
  const reason = STATUS_CODES[status] === undefined ? "" : ` ${STATUS_CODES[status]}`;
  const words = `${url.host} by way of the proxy ${proxy}: the proxy answered ${status}${reason}`;
  const variable = url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  if (status === 407) {
    const hint = `The proxy wants a user name and password, or does not take those given: set ${variable} to http://user:password@host:port.`;
    return new TransportError("ProxyTunnel", words, hint);
  }
  const without = `add ${url.host} to NO_PROXY if it can be reached without`;
  if (status >= 502 && status <= 504) {
    const hint = `The proxy cannot reach ${url.host}: check that this is the right address, ask whoever runs the proxy, or ${without}.`;
    return new TransportError("ProxyUnavailable", words, hint);
  }
  return new TransportError(
    "ProxyTunnel",
    words,
    `Ask whoever runs the proxy to let ${url.host} through, or ${without}.`,
  );
}

function connectionHint(code: string, url: URL, { proxy, trusted }: Circumstances): string | undefined {
  const { host } = url;
  if (code === "UnsupportedProxyProtocol") {
    const isSocks = /^socks/i.test(proxy ?? "");
    const put = isSocks ? "Put one before the SOCKS proxy, such as Privoxy, and name it" : "Name one";
    return `Only http:// and https:// proxies are. ${put} in HTTPS_PROXY and HTTP_PROXY, or add ${host} to NO_PROXY if it can be reached without.`;
  }
  const unusable = proxy !== undefined && code === "ERR_INVALID_ARG_VALUE";
  if (unusable || /proxy/i.test(code)) return "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.";
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID") {
    return `Whoever runs ${host} must renew it, unless this machine's clock is wrong.`;
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return `Use a name of ${host} that the certificate is for, or ask whoever runs it for one with this name.`;
  }
  if (code === "CERT_REVOKED") return `Ask whoever runs ${host} for another one.`;
  if (isAboutCertificate(code)) {
    if (trusted !== undefined) {
      return `None of the certificates in ${trusted} signed that of ${host}: add the certificate of the authority that did.`;
    }
    return `If ${host} has a certificate of a private authority, set SSL_CERT_FILE to the authority's certificate.`;
  }
  if (code === "EPROTO") return `If ${host} speaks plain http, pass -insecure-registry ${host}.`;
  if (isTransientCode(code) || code === "ENOTFOUND") {
    return `Check that ${proxy ?? host} is the right address and can be reached from here.`;
  }
  return undefined;
}
