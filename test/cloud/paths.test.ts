/** What should be in a file stands in the variable that names the file: nobody may see it. */
import { expect, describe as group, test } from "bun:test";
import { quotePath } from "../../lib/text.ts";
import * as amazon from "../support/amazon-scene.ts";
import * as azure from "../support/azure-scene.ts";
import { startClouds } from "../support/clouds.ts";
import * as google from "../support/google-scene.ts";
import { runRestorer, tempDir } from "../support/harness.ts";

const token = `eyJhbGciOi.${"t0ken".repeat(20)}.sig`;
const key = JSON.stringify(google.serviceAccount, null, 2);
const docker = JSON.stringify({ auths: { "registry.example.com": { auth: "dXNlcjpzM2NyZXQ=" } } });

group("a path", () => {
  test.each([
    "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
    "/home/me/keyJson files/a b.json",
    "./config.json",
    "../config.json",
    "~/.docker",
    "..",
    "secrets/config.json",
  ])("is shown: %s", (text) => expect(quotePath(text)).toBe(JSON.stringify(text)));

  test.each([
    token,
    "eyJhbGciOi.t0ken",
    `/${token}`,
    google.pem,
    google.pem.replaceAll("\n", " "),
    key,
    docker,
    "/9j/".padEnd(80, "A"),
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "user:p4ssword",
    "s3cret~of.client",
    "",
  ])("is not what looks otherwise: %j", (text) => expect(quotePath(text)).toBe("something else than a path"));
});

group("the program shows nothing of what stands where a path belongs:", () => {
  test.each<[name: string, value: string, registry: string, env: Record<string, string>]>([
    ["GOOGLE_APPLICATION_CREDENTIALS", key, google.registry, {}],
    ["AZURE_FEDERATED_TOKEN_FILE", token, azure.registry, azure.workloadEnv],
    ["AWS_WEB_IDENTITY_TOKEN_FILE", token, amazon.registry, amazon.web],
    [
      "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
      token,
      amazon.registry,
      { AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://127.0.0.1:1/" },
    ],
    ["CNB_REGISTRY_AUTH_FILE", docker, "registry.example.com", {}],
    ["DOCKER_CONFIG", docker, "registry.example.com", {}],
    ["SSL_CERT_FILE", google.pem, "registry.example.com", {}],
    ["SSL_CERT_DIR", token, "registry.example.com", {}],
  ])("%s", async (name, value, registry, env) => {
    await using clouds = await startClouds();
    using dir = tempDir("layers", { "group.toml": "" });
    const args = ["-layers", dir.path, "-cache-image", `${registry}/org/cache`, "-log-level", "debug"];
    const { stdout, stderr } = await runRestorer(args, { env: { ...clouds.env, ...env, [name]: value } });
    const said = `${stdout}${stderr}`;
    expect(said).toMatch(
      new RegExp(`${name}, which holds something else|in something else|${name} names a directory, something else`),
    );
    for (const part of ["t0ken", "dXNlcjpzM2NyZXQ", google.pem.slice(40, 60), "private_key"])
      expect(said).not.toContain(part);
  });
});
