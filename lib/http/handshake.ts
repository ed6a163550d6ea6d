import { connect } from "node:tls";
import { errorCode } from "../errors.ts";
import { TransportError } from "./errors.ts";

/** What a server that speaks TLS has against a handshake, by the names that TLS has for it. */
const reasons: readonly (readonly [code: RegExp, what: string, hint: string])[] = [
  [
    /CERTIFICATE_REQUIRED/,
    "it wants a client certificate, and the restorer has none",
    "Ask whoever runs it for access with a password or token, or put something in between that has the certificate.",
  ],
  [
    /HANDSHAKE_FAILURE|INSUFFICIENT_SECURITY|NO_SHARED_CIPHER/,
    "it refuses the TLS handshake; perhaps it wants a client certificate, which the restorer does not have, or speaks only old ciphers",
    "Ask whoever runs it which certificates and ciphers it takes.",
  ],
  [
    /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/,
    "it speaks only old versions of TLS",
    "It must speak TLS 1.2 or newer: ask whoever runs it.",
  ],
  [/UNRECOGNIZED_NAME/, "it knows no certificate for this name", "Check that this is the right name for it."],
];

/**
 * Why a server that speaks TLS refuses our handshake, which fetch does not tell; undefined where that is not known, as for
 * one that speaks no TLS. Makes a connection, and sends nothing.
 */
export async function explainHandshake(url: URL, signal: AbortSignal): Promise<TransportError | undefined> {
  const code = await refusalOf(url, signal);
  const known = reasons.find(([pattern]) => pattern.test(code));
  return known && new TransportError("Handshake", `${url.host}: ${known[1]} (${code})`, known[2]);
}

function refusalOf(url: URL, signal: AbortSignal): Promise<string> {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connect({ host, port: Number(url.port || 443), rejectUnauthorized: false });
  const end = (code: string) => {
    signal.removeEventListener("abort", onAbort);
    socket.destroy();
    resolve(code);
  };
  const onAbort = () => end("");
  signal.addEventListener("abort", onAbort);
  socket.on("error", (error) => end(errorCode(error) ?? ""));
  socket.on("close", () => end(""));
  // A server of TLS 1.3 refuses only afterwards; one that does not would have us speak first.
  socket.on("secureConnect", () => socket.setTimeout(1000, () => end("")));
  return promise;
}
