import { expect, describe as group, test } from "bun:test";
import {
  amazonScene,
  ecr,
  keyId,
  keys,
  keysXml,
  machine,
  machineAnswers,
  pod,
  registry,
  roles,
  secret,
  session,
  sts,
  web,
} from "../support/amazon-scene.ts";
import type { Answers, Clouds } from "../support/clouds.ts";

const scene = amazonScene();

group("what fails at Amazon's ends the chain, and is told once", () => {
  const echo = { status: 403, text: `<Error><Code>AccessDenied</Code><Message>${session} ${secret}</Message></Error>` };
  const invalid = { status: 400, json: { __type: "com.amazonaws#UnrecognizedClientException", message: secret } };

  test.each<[what: string, answers: Answers, env: (clouds: Clouds) => Record<string, string>, said: string]>([
    [
      "STS that refuses",
      { [sts]: echo },
      () => web,
      "web identity (sts.eu-west-1.amazonaws.com answered 403 (AccessDenied))",
    ],
    ["STS that answers nonsense", { [sts]: { text: "<p>hello" } }, () => web, "answered without keys"],
    [
      "STS that answers without a token",
      { [sts]: { text: keysXml.text.replace(session, "") } },
      () => web,
      "without keys",
    ],
    ["no role", {}, () => ({ ...web, AWS_ROLE_ARN: "" }), "AWS_WEB_IDENTITY_TOKEN_FILE is set, but not AWS_ROLE_ARN"],
    [
      "no token",
      {},
      () => ({ ...web, AWS_WEB_IDENTITY_TOKEN_FILE: "/absent" }),
      'cannot read AWS_WEB_IDENTITY_TOKEN_FILE "/absent": no such file or directory',
    ],
    ["a region that is none", {}, () => ({ ...web, AWS_REGION: "a/b" }), "AWS_REGION is not a region"],
    ["a pod's agent that refuses", { "GET local/v1/credentials": { status: 400 } }, pod, "answered 400"],
    [
      "a pod's agent that answers nonsense",
      { "GET local/v1/credentials": { text: "[]" } },
      pod,
      "answered without keys",
    ],
    [
      "a pod's agent elsewhere",
      {},
      () => ({ AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://10.0.0.1/x" }),
      "it must be https",
    ],
    [
      "a pod's path that is none",
      {},
      () => ({ AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: "x" }),
      "does not begin with a slash",
    ],
    [
      "a pod's token of two lines",
      {},
      (clouds) => ({ ...pod(clouds), AWS_CONTAINER_AUTHORIZATION_TOKEN: "t0ken\n:x" }),
      "not one line of text",
    ],
    [
      "no role of the machine",
      { ...machineAnswers, [`GET local${roles}/`]: { status: 404 } },
      machine,
      "the machine has no role",
    ],
    ["a machine that wants no session", { "PUT local/latest/api/token": { status: 403 } }, machine, "answered 403"],
    [
      "a machine with a page for people",
      { "PUT local/latest/api/token": { text: "<html>" } },
      machine,
      "without a session token",
    ],
    [
      "a machine with an odd role",
      { ...machineAnswers, [`GET local${roles}/`]: { text: "../x" } },
      machine,
      "without a role",
    ],
    [
      "a machine with nonsense for keys",
      { ...machineAnswers, [`GET local${roles}/node-role`]: { text: "{}" } },
      machine,
      "without keys",
    ],
    [
      "a machine that leads elsewhere",
      { "PUT local/latest/api/token": { status: 307, headers: { location: "http://10.0.0.1/" } } },
      machine,
      "redirects to another address",
    ],
    ["a machine that cuts connections", { "PUT local/latest/api/token": "broken" }, machine, "EC2 metadata (127.0.0.1"],
    [
      "a machine that never answers",
      { "PUT local/latest/api/token": "silence" },
      machine,
      "did not answer within 0.05 s",
    ],
    [
      "nobody there",
      {},
      (clouds) => ({ ...machine(clouds), AWS_EC2_METADATA_SERVICE_ENDPOINT: "http://127.0.0.1:1" }),
      "connection refused",
    ],
    [
      "ECR that refuses",
      { [ecr]: invalid },
      () => keys,
      "environment (credentials were there, but api.ecr.eu-west-1.amazonaws.com answered 400 (UnrecognizedClientException))",
    ],
    [
      "ECR that refuses with its code in a header",
      { [ecr]: { status: 400, json: {}, headers: { "x-amzn-errortype": "ExpiredTokenException:http://x/s3cret" } } },
      () => keys,
      "answered 400 (ExpiredTokenException)",
    ],
    [
      "ECR that answers nonsense",
      { [ecr]: { json: { authorizationData: [] } } },
      () => keys,
      "answered without an authorization token",
    ],
    [
      "ECR that answers half a token",
      { [ecr]: { json: { authorizationData: { authorizationToken: "QVdT" } } } },
      () => keys,
      "without an authorization token",
    ],
    [
      "keys that are none",
      {},
      () => ({ ...keys, AWS_SECRET_ACCESS_KEY: "a b" }),
      "the keys hold characters that no key has",
    ],
    [
      "an ECR endpoint in the clear",
      {},
      () => ({ ...keys, AWS_ENDPOINT_URL_ECR: "http://ecr.example" }),
      'AWS_ENDPOINT_URL_ECR is "http://ecr.example": it must be https',
    ],
  ])("%s", async (_, answers, env, said) => {
    const found = await scene.signIn(answers, {
      ...machine(scene.clouds),
      AWS_EC2_METADATA_DISABLED: "true",
      ...env(scene.clouds),
    });
    expect(found).toMatchObject({ kind: "anonymous" });
    expect(found.warnings).toHaveLength(1);
    expect(found.warnings[0]).toStartWith(`warn No credentials for ${registry} from Amazon ECR. Tried: `);
    expect(found.warnings[0]).toContain(said);
    expect(found.warnings[0]).toContain("CNB_REGISTRY_AUTH_KEYCHAIN_SKIP_AMAZON=true");
  });

  test("but what is not set up leads on, and all of it is listed", async () => {
    const found = await scene.signIn({}, { AWS_ACCESS_KEY_ID: keyId });
    expect(found.warnings).toHaveLength(1);
    expect(found.warnings[0]).toContain(
      'Tried: environment (AWS_SECRET_ACCESS_KEY is not set), web identity (AWS_WEB_IDENTITY_TOKEN_FILE is not set), profile (there are no credentials for the profile "default"), container (neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set), EC2 metadata (AWS_EC2_METADATA_DISABLED is true).',
    );
    expect(scene.clouds.asked()).toEqual([]);
  });
});
