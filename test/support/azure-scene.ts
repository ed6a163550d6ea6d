/** What Azure's servers say to those who may pull from a registry of ACR. */
import { certificates } from "./certificates.ts";
import { cloudScene } from "./cloud-scene.ts";
import type { Answers } from "./clouds.ts";

export const registry = "builds.azurecr.io";
export const [tenant, clientId, clientSecret] = ["tenant-1", "client-1", "s3cret~of.client"] as const;
export const [entraToken, assertion] = ["entra.t0ken.1", "kubernetes.t0ken.2"] as const;

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
/** A refresh token, which is a JWT: it lives for so many seconds. */
export const refreshToken = (lives: number, name = "r3fresh") =>
  `${part({ alg: "RS256" })}.${part({ iat: 1_000, exp: 1_000 + lives })}.${name}`;

export const login = `POST login.microsoftonline.com/${tenant}/oauth2/v2.0/token`;
export const exchange = `POST ${registry}/oauth2/exchange`;
export const loginAnswer = { json: { token_type: "Bearer", expires_in: 3599, access_token: entraToken } };
export const exchangeAnswer = { json: { refresh_token: refreshToken(10_800) } };
export const machineToken = "GET local/metadata/identity/oauth2/token";

export const secretEnv = { AZURE_TENANT_ID: tenant, AZURE_CLIENT_ID: clientId, AZURE_CLIENT_SECRET: clientSecret };
export const workloadEnv = {
  AZURE_TENANT_ID: tenant,
  AZURE_CLIENT_ID: clientId,
  AZURE_FEDERATED_TOKEN_FILE: certificates.alone.cert,
};
export const machineAnswers: Answers = {
  // As the machine's own service does: only who sends the header gets a token.
  [machineToken]: ({ headers }) =>
    headers["metadata"] === "true"
      ? { json: { access_token: entraToken, expires_in: "86399" } }
      : {
          status: 400,
          json: { error: "invalid_request", error_description: "Required metadata header not specified" },
        },
};

/** Where no machine answers, unless it is named. */
export const azureScene = () =>
  cloudScene({
    registry,
    env: { AZURE_POD_IDENTITY_AUTHORITY_HOST: "http://127.0.0.1:1" },
    secrets: [clientSecret, entraToken, assertion, "r3fresh", "t0ken"],
  });
