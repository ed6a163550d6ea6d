import { expect, describe as group, test } from "bun:test";
import { isTransient, TransportError, toTransportError } from "../../lib/http/errors.ts";

/** What becomes of an error of fetch. */
function told(code: string, proxy?: string): TransportError {
  const error = toTransportError(Object.assign(new Error("its words"), { code }), new URL("https://reg.io/v2/?x=s"), {
    proxy,
  });
  if (!(error instanceof TransportError)) throw new Error("not a TransportError");
  return error;
}

group("what went wrong with a connection is told in words, with advice that fits:", () => {
  test.each([
    ["ECONNREFUSED", "connection refused", "the right address"],
    ["CERT_HAS_EXPIRED", "has expired", "must renew it, unless this machine's clock is wrong"],
    ["CERT_NOT_YET_VALID", "not valid yet", "this machine's clock"],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "for another host", "that the certificate is for"],
    ["CERT_REVOKED", "was revoked", "Ask whoever runs reg.io"],
    ["SELF_SIGNED_CERT_IN_CHAIN", "cannot be verified", "set SSL_CERT_FILE"],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "cannot be verified", "set SSL_CERT_FILE"],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "cannot be verified", "set SSL_CERT_FILE"],
    ["EPROTO", "handshake failed", "-insecure-registry reg.io"],
  ])("%s", (code, words, hint) => {
    const error = told(code);
    expect(error.message).toBe(`reg.io: ${error.message.slice(8)}`);
    expect(error.message).toContain(words);
    expect(error.hint).toContain(hint);
    if (!hint.includes("SSL_CERT_FILE")) expect(error.hint).not.toContain("SSL_CERT_FILE");
  });

  test.each(["ESTALE", "EIO", "EMFILE", "ENFILE", "EACCES", "ENETDOWN", "EHOSTDOWN", "ENOMEM"])("%s", (code) => {
    expect(told(code).message).toMatch(/^reg\.io: [a-z].+ \(E[A-Z]+\)$/);
    expect(told(code).message).not.toContain("cannot connect");
  });
});

test("a proxy that has nobody behind it now may have somebody later", () => {
  const refused = (status: number) => {
    const error = Object.assign(new Error(`Proxy refused to open a tunnel: ${status} x`), { code: "ERR_PROXY_TUNNEL" });
    return toTransportError(error, new URL("https://reg.io/"), { proxy: "http://proxy:3128" });
  };
  expect([403, 405, 407, 500].map((status) => isTransient(refused(status)))).toEqual([false, false, false, false]);
  expect([502, 503, 504].map((status) => isTransient(refused(status)))).toEqual([true, true, true]);
});
