import { expect, describe as group, test } from "bun:test";
import { verify } from "node:crypto";
import { emptySteps } from "../support/cloud-scene.ts";
import type { Answers, Clouds } from "../support/clouds.ts";
import {
  accessToken,
  audience,
  federation,
  googleScene,
  login,
  machine,
  machineAnswers,
  machineToken,
  publicKey,
  registry,
  scope,
  serviceAccount,
  tokenAnswer,
  tokenUrl,
  user,
} from "../support/google-scene.ts";
import { type TempDir, type Tree, tempDir } from "../support/harness.ts";

const scene = googleScene();
const named = (home: TempDir) => ({ GOOGLE_APPLICATION_CREDENTIALS: home.join("key.json") });
const file = (content: unknown): Tree => ({ "key.json": JSON.stringify(content) });
const source = "Google, GOOGLE_APPLICATION_CREDENTIALS";
const sts = "POST sts.googleapis.com/v1/token";
const account = "/v1/projects/-/serviceAccounts/builds@project.iam.gserviceaccount.com:generateAccessToken";
const impersonation = `https://iamcredentials.googleapis.com${account}`;

group("an access token of Google's", () => {
  test.each([registry, "gcr.io", "eu.gcr.io"])("for %s is asked for with a signed statement", async (name) => {
    const found = await scene.signIn({ [tokenUrl]: tokenAnswer }, named, file(serviceAccount), name);
    expect(found).toMatchObject({ login, source, warnings: [] });
    expect(scene.clouds.asked()).toEqual([tokenUrl]);
    const { grant_type, assertion = "" } = scene.clouds.requests[0]?.form ?? {};
    expect(grant_type).toBe("urn:ietf:params:oauth:grant-type:jwt-bearer");
    const [head = "", claims = "", signature = ""] = assertion.split(".");
    const decode = (part: string): unknown => JSON.parse(Buffer.from(part, "base64url").toString());
    expect(verify("sha256", Buffer.from(`${head}.${claims}`), publicKey, Buffer.from(signature, "base64url"))).toBe(
      true,
    );
    expect(decode(head)).toEqual({ alg: "RS256", typ: "JWT", kid: "key-1" });
    const { iat, exp, ...rest } = decode(claims) as { iat: number; exp: number };
    expect<unknown>(rest).toEqual({
      iss: serviceAccount.client_email,
      aud: serviceAccount.token_uri,
      scope,
    });
    expect(exp - iat).toBe(3600);
  });

  test("is asked for with what gcloud leaves for a person", async () => {
    for (const [env, tree] of [
      [{}, { ".config/gcloud/application_default_credentials.json": JSON.stringify(user) }],
      [
        (home: TempDir) => ({ CLOUDSDK_CONFIG: home.join("sdk") }),
        { "sdk/application_default_credentials.json": JSON.stringify(user) },
      ],
    ] as const) {
      const found = await scene.signIn({ [tokenUrl]: tokenAnswer }, env, tree);
      expect(found).toMatchObject({ login, source: "Google, gcloud's file", warnings: [] });
      const { type: _, ...rest } = user;
      expect(scene.clouds.requests[0]?.form).toEqual({ grant_type: "refresh_token", ...rest });
    }
  });

  test.each<[what: string, token: string, format: object | undefined]>([
    ["text", "subject.t0ken\n", undefined],
    ["JSON", '{"value":"subject.t0ken"}', { type: "json", subject_token_field_name: "value" }],
  ])("is asked for with another provider's token in a file: %s", async (_, text, format) => {
    using dir = tempDir("subject", { token: text });
    const config = { ...federation, credential_source: { file: dir.join("token"), format } };
    const found = await scene.signIn({ [sts]: tokenAnswer }, named, file(config));
    expect(found).toMatchObject({ login, source, warnings: [] });
    expect(scene.clouds.asked()).toEqual([sts]);
    expect(scene.clouds.requests[0]?.form).toEqual({
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      requested_token_type: "urn:ietf:params:oauth:token-type:access_token",
      audience,
      scope,
      subject_token_type: federation.subject_token_type,
      subject_token: "subject.t0ken",
    });
  });

  test("is asked for with another provider's token from an address, and then for a service account", async () => {
    const config = {
      ...federation,
      service_account_impersonation_url: impersonation,
      credential_source: {
        url: `http://${scene.clouds.local}/oidc?audience=x`,
        headers: { authorization: "bearer t0ken-of-the-runner" },
        format: { type: "json", subject_token_field_name: "value" },
      },
    };
    const answers: Answers = {
      "GET local/oidc": { json: { value: "subject.t0ken" } },
      [sts]: { json: { access_token: "federated.t0ken", expires_in: 3600 } },
      [`POST iamcredentials.googleapis.com${account}`]: { json: { accessToken, expireTime: "2100-01-01T00:00:00Z" } },
    };
    expect(await scene.signIn(answers, named, file(config))).toMatchObject({ login, source, warnings: [] });
    expect(scene.clouds.asked()).toEqual(Object.keys(answers));
    const [subject, exchanged, impersonated] = scene.clouds.requests;
    expect(subject?.headers.authorization).toBe("bearer t0ken-of-the-runner");
    expect(subject?.query).toEqual({ audience: "x" });
    expect(exchanged?.form["subject_token"]).toBe("subject.t0ken");
    expect(impersonated?.headers.authorization).toBe("Bearer federated.t0ken");
    expect(JSON.parse(impersonated?.body ?? "")).toEqual({ scope: [scope] });
  });

  test("is asked for at the machine's metadata server", async () => {
    const found = await scene.signIn(machineAnswers, machine(scene.clouds));
    expect(found).toMatchObject({ login, source: "Google, metadata server", warnings: [] });
    expect(scene.clouds.asked()).toEqual(["GET local/", machineToken]);
    for (const { headers } of scene.clouds.requests) expect(headers["metadata-flavor"]).toBe("Google");
  });

  test("is asked for in the order of the chain, and nothing more once there is one", async () => {
    const answers = { ...machineAnswers, [tokenUrl]: tokenAnswer };
    const wellKnown: Tree = { ".config/gcloud/application_default_credentials.json": JSON.stringify(user) };
    const names = ["GOOGLE_APPLICATION_CREDENTIALS", "gcloud's file", "metadata server"];
    for (const [index, name] of names.entries()) {
      const env = (home: TempDir) => ({ ...machine(scene.clouds), ...(index === 0 ? named(home) : {}) });
      const found = await scene.signIn(answers, env, { ...file(serviceAccount), ...(index < 2 ? wellKnown : {}) });
      expect(found).toMatchObject({ login, source: `Google, ${name}`, warnings: [] });
      expect(emptySteps(found.log)).toEqual(names.slice(0, index));
      expect(found.log).toContain(`debug Google: credentials by ${name}`);
    }
  });
});

group("what fails at Google's ends the chain, and is told once", () => {
  const invalid = { status: 400, json: { error: "invalid_grant", error_description: "r3fresh s3cret" } };
  const denied = { status: 403, json: { error: { code: 403, status: "PERMISSION_DENIED", message: "subject.t0ken" } } };
  const byUrl = ({ local }: Clouds) => ({ ...federation, credential_source: { url: `http://${local}/oidc` } });
  const hello = machineAnswers["GET local/"];

  test.each<[what: string, answers: Answers, content: unknown, said: string]>([
    ["a file that is not there", {}, undefined, 'key.json": no such file or directory'],
    [
      "a file that is not JSON",
      {},
      "s3cret",
      'is not JSON with a "type" of service_account, authorized_user or external_account',
    ],
    ["a file of another type", {}, { type: "s3cret: other" }, 'is not JSON with a "type" of'],
    [
      "a file of a type that is not known",
      {},
      { type: "impersonated_service_account" },
      "is of the type impersonated_service_account, which the restorer does not know",
    ],
    ["a file without a key", {}, { ...serviceAccount, private_key: undefined }, "has no usable private_key"],
    [
      "a file with half a key",
      {},
      { ...serviceAccount, private_key: "-----BEGIN s3cret" },
      "is not an RSA key in PEM (PKCS #8)",
    ],
    [
      "a key for others' servers",
      {},
      { ...serviceAccount, token_uri: "https://evil.example/" },
      'leads to "evil.example", which is not an address of this cloud',
    ],
    [
      "a key for servers in the clear",
      {},
      { ...serviceAccount, token_uri: "http://oauth2.googleapis.com/" },
      "it must be https",
    ],
    [
      "a key for the machine's own service",
      {},
      { ...serviceAccount, token_uri: "http://169.254.169.254/" },
      "which is not an address of this cloud",
    ],
    [
      "Google that refuses a key",
      { [tokenUrl]: invalid },
      serviceAccount,
      "oauth2.googleapis.com answered 400 (invalid_grant)",
    ],
    [
      "Google that refuses a person",
      { [tokenUrl]: invalid },
      user,
      "oauth2.googleapis.com answered 400 (invalid_grant)",
    ],
    [
      "Google that answers nonsense",
      { [tokenUrl]: { json: { access_token: "" } } },
      serviceAccount,
      "answered without an access token",
    ],
    [
      "a provider without a source",
      {},
      { ...federation, credential_source: {} },
      "has no credential_source with a file or a url",
    ],
    [
      "a provider that is Amazon's",
      {},
      { ...federation, credential_source: { environment_id: "aws1", url: "http://127.0.0.1:1/security-credentials" } },
      "is Amazon (environment_id), which the restorer does not know",
    ],
    [
      "a provider that is a program",
      {},
      { ...federation, credential_source: { executable: { command: "/bin/s3cret" } } },
      "is an executable, which the restorer does not know",
    ],
    [
      "a provider that is a certificate",
      {},
      { ...federation, credential_source: { certificate: { use_default_certificate_config: true } } },
      "is a certificate, which the restorer does not know",
    ],
    [
      "a provider's address in the clear",
      {},
      { ...federation, credential_source: { url: "http://oidc.example/" } },
      "it must be https",
    ],
    [
      "a provider for others' servers",
      {},
      { ...federation, token_url: "https://googleapis.com.evil.example/", credential_source: { url: "https://x/" } },
      "which is not an address of this cloud",
    ],
    [
      "a service account at others' servers",
      {},
      {
        ...federation,
        service_account_impersonation_url: "https://evil.example/",
        credential_source: { url: "https://x/" },
      },
      "the service_account_impersonation_url of",
    ],
    [
      "a provider with a header that has an odd name",
      {},
      { ...federation, credential_source: { url: "http://127.0.0.1:1/", headers: { "x s3cret": "t0ken" } } },
      "a header's name in the credential_source of",
    ],
    ["a provider that refuses", { "GET local/oidc": { status: 401 } }, byUrl, "answered 401"],
    ["a provider that answers nothing", { "GET local/oidc": { text: "" } }, byUrl, "answered without a subject token"],
    [
      "an exchange that is refused",
      { "GET local/oidc": { text: "subject.t0ken" }, [sts]: denied },
      byUrl,
      "sts.googleapis.com answered 403 (PERMISSION_DENIED)",
    ],
  ])("%s", async (_, answers, content, said) => {
    const made = typeof content === "function" ? content(scene.clouds) : content;
    const found = await scene.signIn(answers, named, made === undefined ? {} : file(made));
    expect(found.kind).toBe("anonymous");
    expect(found.warnings).toHaveLength(1);
    expect(found.warnings[0]).toStartWith(
      `warn No credentials for ${registry} from Google. Tried: GOOGLE_APPLICATION_CREDENTIALS (`,
    );
    expect(found.warnings[0]).toContain(said);
    expect(found.warnings[0]).toContain("CNB_REGISTRY_AUTH_KEYCHAIN_SKIP_GOOGLE=true");
  });

  test.each<[what: string, answers: Answers, said: string]>([
    ["a machine of somebody else", { "GET local/": { text: "hello" } }, "is not Google's"],
    ["a machine that never answers", { "GET local/": "silence" }, "did not answer within 0.05 s"],
    ["a machine that cuts connections", { "GET local/": "broken" }, "metadata server (127.0.0.1"],
    ["a machine without a service account", { "GET local/": hello }, "the machine has no service account"],
    ["a machine that refuses", { "GET local/": hello, [machineToken]: { status: 403 } }, "answered 403"],
    [
      "a machine that answers nonsense",
      { "GET local/": hello, [machineToken]: { text: "t0ken" } },
      "without an access token",
    ],
  ])("%s", async (_, answers, said) => {
    const found = await scene.signIn(answers, machine(scene.clouds));
    expect(found.kind).toBe("anonymous");
    expect(found.warnings).toHaveLength(1);
    expect(found.warnings[0]).toContain(said);
    expect(found.warnings[0]).toContain("GOOGLE_APPLICATION_CREDENTIALS (GOOGLE_APPLICATION_CREDENTIALS is not set)");
  });
});
