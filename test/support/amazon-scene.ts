/** What Amazon's servers say to those who may have a password of ECR. */

import { certificates } from "./certificates.ts";
import { cloudScene } from "./cloud-scene.ts";
import type { Answers, Clouds } from "./clouds.ts";

export const registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
export const [sts, ecr] = ["POST sts.eu-west-1.amazonaws.com/", "POST api.ecr.eu-west-1.amazonaws.com/"] as const;
export const [keyId, secret, session] = ["AKIDEXAMPLE1", "s3cret/Key+0123456789", "Session//Token+0123=="] as const;
export const password = "p4ssword-of-ecr";
export const role = "arn:aws:iam::123456789012:role/builds";

export const tokenData = {
  authorizationToken: Buffer.from(`AWS:${password}`).toString("base64"),
  expiresAt: 4_000_000_000.5,
  proxyEndpoint: `https://${registry}`,
};
export const tokenAnswer = { json: { authorizationData: [tokenData] } };
export const keysJson = {
  Code: "Success",
  AccessKeyId: keyId,
  SecretAccessKey: secret,
  Token: session,
  Expiration: "2100-01-01T00:00:00Z",
};
export const keysXml = {
  text: `<AssumeRoleResponse><Credentials><AccessKeyId>${keyId}</AccessKeyId><SecretAccessKey>${secret}</SecretAccessKey>
<SessionToken>${session}</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResponse>`,
};

export const keys = { AWS_ACCESS_KEY_ID: keyId, AWS_SECRET_ACCESS_KEY: secret };
/** Any file does for a token. */
export const web = { AWS_ROLE_ARN: role, AWS_WEB_IDENTITY_TOKEN_FILE: certificates.alone.cert };
export const pod = ({ local }: Clouds) => ({
  AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://${local}/v1/credentials`,
  AWS_CONTAINER_AUTHORIZATION_TOKEN: "t0ken-of-the-pod",
});
export const machine = ({ local }: Clouds) => ({
  AWS_EC2_METADATA_DISABLED: "",
  AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://${local}`,
});
export const roles = "/latest/meta-data/iam/security-credentials";
export const machineAnswers: Answers = {
  "PUT local/latest/api/token": { text: "t0ken-of-imds==" },
  [`GET local${roles}/`]: { text: "node-role\n" },
  [`GET local${roles}/node-role`]: { json: keysJson },
};

/** No machine answers unless one is named. */
export const amazonScene = () =>
  cloudScene({
    registry,
    env: { AWS_EC2_METADATA_DISABLED: "true" },
    secrets: [secret, session, password, "t0ken", Buffer.from(`AWS:${password}`).toString("base64")],
  });
