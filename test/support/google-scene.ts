/** What Google's servers say to those who may pull from its registries. */
import { generateKeyPairSync } from "node:crypto";
import { cloudScene } from "./cloud-scene.ts";
import type { Answers, Clouds } from "./clouds.ts";

export const registry = "europe-docker.pkg.dev";
export const accessToken = "ya29.t0ken-of-google";
export const tokenUrl = "POST oauth2.googleapis.com/token";
export const tokenAnswer = { json: { access_token: accessToken, expires_in: 3599, token_type: "Bearer" } };
export const login = `oauth2accesstoken:${accessToken}`;
export const scope = "https://www.googleapis.com/auth/cloud-platform";

/** A service account's key, made anew in each run. */
export const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
export const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
export const serviceAccount = {
  type: "service_account",
  client_email: "builds@project.iam.gserviceaccount.com",
  private_key_id: "key-1",
  private_key: pem,
  token_uri: "https://oauth2.googleapis.com/token",
};
export const user = {
  type: "authorized_user",
  client_id: "id",
  client_secret: "s3cret-of-gcloud",
  refresh_token: "r3fresh",
};
export const audience = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q";
export const federation = {
  type: "external_account",
  audience,
  subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
  token_url: "https://sts.googleapis.com/v1/token",
};

const machineHeaders = { "metadata-flavor": "Google" };
export const machineToken = "GET local/computeMetadata/v1/instance/service-accounts/default/token";
export const machineAnswers: Answers = {
  "GET local/": { text: "computeMetadata/\n", headers: machineHeaders },
  [machineToken]: { ...tokenAnswer, headers: machineHeaders },
};
export const machine = ({ local }: Clouds) => ({ GCE_METADATA_HOST: local });

/** Where no machine answers, unless it is named. */
export const googleScene = () =>
  cloudScene({
    registry,
    env: { GCE_METADATA_HOST: "127.0.0.1:1" },
    secrets: [accessToken, pem.slice(40, 90), "t0ken", "r3fresh", "s3cret", Buffer.from(login).toString("base64")],
  });
