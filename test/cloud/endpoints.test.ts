import { expect, describe as group, test } from "bun:test";
import { at, namedEndpoint, vendorEndpoint } from "../../lib/cloud/endpoints.ts";
import { googleHosts } from "../../lib/cloud/google-token.ts";
import { azureScene, exchange, exchangeAnswer, login, loginAnswer, secretEnv } from "../support/azure-scene.ts";

group("an address that the environment names", () => {
  test.each([
    ["https://sts.example.com/path", false],
    ["https://10.0.0.1/", false],
    ["https://169.254.169.254/", false],
    ["http://127.0.0.1:8080/", true],
    ["http://127.9.9.9/", true],
    ["http://localhost:4566", true],
    ["http://[::1]/", true],
    ["http://169.254.169.254/latest", true],
    ["http://169.254.170.2/v2", true],
    ["http://169.254.131.5:8081/msi/token", true],
    ["http://[fd00:ec2::254]/", true],
    ["http://[fd00:ec2::23]/", true],
    ["http://metadata.google.internal/", true],
    ["http://2852039166/", true],
  ])("may be %s; local: %p", (text, isLocal) => expect(namedEndpoint(text, "it").isLocal).toBe(isLocal));

  test.each([
    "http://sts.example.com/",
    "http://10.0.0.1/",
    "http://100.100.100.200/",
    "http://169.253.0.1/",
    "http://169.254.example.com/",
    "http://127.0.0.1.example.com/",
    "http://localhost.example.com/",
    "http://metadata.example.com/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::25]/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "https://user:password@sts.example.com/",
    "sts.example.com",
    "",
  ])("may not be %j", (text) => expect(() => namedEndpoint(text, "THE_VARIABLE")).toThrow("THE_VARIABLE"));

  test("is not told with what may be a secret in it", () => {
    expect(() => namedEndpoint("http://h.example/s3cret?s3cret", "X")).toThrow(
      'X is "http://h.example": it must be https, or http on this machine or a link-local address',
    );
  });

  test("keeps its path, and gets a further one", () => {
    expect(at(namedEndpoint("http://127.0.0.1/a/", "it"), "/b", { c: "d e" }).url.href).toBe(
      "http://127.0.0.1/a/b?c=d+e",
    );
  });
});

group("an address that a file of Google's names", () => {
  test.each([
    "https://oauth2.googleapis.com/token",
    "https://sts.googleapis.com/v1/token",
    "https://sts.europe-west1.rep.googleapis.com/v1/token",
    "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/x:generateAccessToken",
    "https://sts-ours.p.googleapis.com/v1/token",
    "https://accounts.google.com/o/oauth2/token",
    "http://127.0.0.1:1/",
  ])("may be %s", (text) => expect(vendorEndpoint(text, "it", googleHosts).url.href).toBe(text));

  test.each([
    "https://googleapis.com.example.com/",
    "https://storage.googleapis.com/bucket/token",
    "https://bucket.storage.googleapis.com/token",
    "https://sts.storage.googleapis.com/token",
    "https://run.googleapis.com/",
    "https://notgoogleapis.com/",
    "https://example.com/?sts.googleapis.com",
    "https://sts.googleapis.com@example.com/",
    "http://sts.googleapis.com/",
    "http://169.254.169.254/",
    "https://169.254.169.254/",
    "http://metadata.google.internal/",
  ])("may not be %s", (text) => expect(() => vendorEndpoint(text, "it", googleHosts)).toThrow());
});

const scene = azureScene();
test("a server whose certificate is not trusted is sent nothing, whatever is said of registries", async () => {
  const answers = { [login]: loginAnswer, [exchange]: exchangeAnswer };
  const env = { ...secretEnv, SSL_CERT_FILE: undefined, CNB_INSECURE_REGISTRIES: "login.microsoftonline.com" };
  const found = await scene.signIn(answers, env);
  expect(found.kind).toBe("anonymous");
  expect(found.warnings[0]).toContain("login.microsoftonline.com by way of the proxy");
  expect(found.warnings[0]).toMatch(/certificate/);
  expect(scene.clouds.requests).toEqual([]);
});
