import { expect, describe as group, test } from "bun:test";
import {
  azureScene,
  clientId,
  clientSecret,
  entraToken,
  exchange,
  exchangeAnswer,
  login,
  loginAnswer,
  machineAnswers,
  machineToken,
  refreshToken,
  registry,
  secretEnv,
  tenant,
  workloadEnv,
} from "../support/azure-scene.ts";
import { emptySteps } from "../support/cloud-scene.ts";
import type { Answers, Clouds } from "../support/clouds.ts";
import type { TempDir } from "../support/harness.ts";

const scene = azureScene();
const good: Answers = { [login]: loginAnswer, [exchange]: exchangeAnswer };
const scope = "https://containerregistry.azure.net/.default";
const machine = ({ local }: Clouds) => ({ AZURE_POD_IDENTITY_AUTHORITY_HOST: `http://${local}` });
const appService = ({ local }: Clouds) => ({
  IDENTITY_ENDPOINT: `http://${local}/msi/token/`,
  IDENTITY_HEADER: "t0ken-of-app-service",
});
const identity = refreshToken(10_800);

group("a refresh token of Azure ACR", () => {
  test("is exchanged for a token by a client secret", async () => {
    const found = await scene.signIn(good, secretEnv);
    expect(found).toMatchObject({ kind: "identity", identity, source: "Azure ACR, client secret", warnings: [] });
    expect(scene.clouds.asked()).toEqual([login, exchange]);
    const [asked, exchanged] = scene.clouds.requests;
    expect(asked?.form).toEqual({
      grant_type: "client_credentials",
      client_id: clientId,
      client_secret: clientSecret,
      scope,
    });
    expect(exchanged?.form).toEqual({
      grant_type: "access_token",
      service: registry,
      tenant,
      access_token: entraToken,
    });
  });

  test("is exchanged for a token by a workload identity, whose own token is read from its file", async () => {
    const env = (home: TempDir) => ({ ...workloadEnv, AZURE_FEDERATED_TOKEN_FILE: home.join("token") });
    const found = await scene.signIn(good, env, { token: "kubernetes.t0ken.2\n" });
    expect(found).toMatchObject({ identity, source: "Azure ACR, workload identity", warnings: [] });
    expect(scene.clouds.asked()).toEqual([login, exchange]);
    expect(scene.clouds.requests[0]?.form).toEqual({
      grant_type: "client_credentials",
      client_id: clientId,
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: "kubernetes.t0ken.2",
      scope,
    });
  });

  test.each([undefined, clientId])("is exchanged for a token of the machine (IMDS), client %p", async (id) => {
    const found = await scene.signIn({ ...good, ...machineAnswers }, { ...machine(scene.clouds), AZURE_CLIENT_ID: id });
    expect(found).toMatchObject({ identity, source: "Azure ACR, managed identity", warnings: [] });
    expect(scene.clouds.asked()).toEqual([machineToken, machineToken, exchange]);
    const [first, second, exchanged] = scene.clouds.requests;
    expect(first?.headers["metadata"]).toBeUndefined();
    expect(second?.headers["metadata"]).toBe("true");
    expect(second?.query).toEqual({
      "api-version": "2018-02-01",
      resource: "https://containerregistry.azure.net",
      ...(id === undefined ? {} : { client_id: id }),
    });
    expect(exchanged?.form).toEqual({ grant_type: "access_token", service: registry, access_token: entraToken });
  });

  test("is exchanged for a token of App Service", async () => {
    const answers = {
      ...good,
      "GET local/msi/token": { json: { access_token: entraToken, expires_on: "1586984735" } },
    };
    const found = await scene.signIn(answers, appService(scene.clouds));
    expect(found).toMatchObject({ identity, source: "Azure ACR, managed identity", warnings: [] });
    const [request] = scene.clouds.requests;
    expect(request?.headers["x-identity-header"]).toBe("t0ken-of-app-service");
    expect(request?.query).toEqual({ "api-version": "2019-08-01", resource: "https://containerregistry.azure.net" });
  });

  test("is asked for in the order of the chain, and nothing more once there is one", async () => {
    const names = ["client secret", "workload identity", "managed identity"];
    const steps = [secretEnv, workloadEnv, machine(scene.clouds)];
    for (const [index, name] of names.entries()) {
      const env = Object.assign(
        {},
        ...steps.slice(index),
        index < 2 ? secretEnv : {},
        index === 1 ? { AZURE_CLIENT_SECRET: "" } : {},
      );
      const found = await scene.signIn({ ...good, ...machineAnswers }, { ...env, ...machine(scene.clouds) });
      expect(found).toMatchObject({ source: `Azure ACR, ${name}`, warnings: [] });
      expect(emptySteps(found.log)).toEqual(names.slice(0, index));
      expect(found.log).toContain(`debug Azure ACR: credentials by ${name}`);
    }
  });

  test.each<[registry: string, env: Record<string, string>, host: string]>([
    ["builds.azurecr.cn", {}, "login.chinacloudapi.cn"],
    ["builds.azurecr.us", {}, "login.microsoftonline.us"],
    ["builds.azurecr.io", { AZURE_ENVIRONMENT: "AzureUSGovernment" }, "login.microsoftonline.us"],
    ["builds.azurecr.io", { AZURE_ENVIRONMENT: "AZURECHINACLOUD" }, "login.chinacloudapi.cn"],
    ["builds.azurecr.us", { AZURE_ENVIRONMENT: "AzurePublicCloud" }, "login.microsoftonline.com"],
    ["builds.azurecr.io", { AZURE_AUTHORITY_HOST: "https://login.microsoftonline.us/" }, "login.microsoftonline.us"],
    ["builds.azurecr.io", { AZURE_AUTHORITY_HOST: "login.chinacloudapi.cn" }, "login.chinacloudapi.cn"],
  ])("of %s with %j: signs in at %s", async (name, env, host) => {
    const there = [`POST ${host}/${tenant}/oauth2/v2.0/token`, `POST ${name}/oauth2/exchange`] as const;
    const answers = { [there[0]]: loginAnswer, [there[1]]: exchangeAnswer };
    expect(await scene.signIn(answers, { ...secretEnv, ...env }, {}, name)).toMatchObject({ identity, warnings: [] });
    expect(scene.clouds.asked()).toEqual([...there]);
  });
});

group("what fails at Azure's ends the chain, and is told once", () => {
  const refusal = {
    status: 401,
    json: { error: "invalid_client", error_description: `Wrong: ${clientSecret}`, error_codes: [7000215] },
  };
  const denied = { status: 401, json: { errors: [{ code: "UNAUTHORIZED", message: entraToken }] } };

  test.each<[what: string, answers: Answers, env: (clouds: Clouds) => Record<string, string>, said: string]>([
    [
      "Entra ID that refuses",
      { [login]: refusal },
      () => secretEnv,
      "client secret (login.microsoftonline.com answered 401 (AADSTS7000215))",
    ],
    [
      "Entra ID that answers nonsense",
      { [login]: { text: "<html>" } },
      () => secretEnv,
      "answered without an access token",
    ],
    [
      "a tenant that is none",
      {},
      () => ({ ...secretEnv, AZURE_TENANT_ID: "a/b" }),
      "AZURE_TENANT_ID is not the id of a tenant",
    ],
    [
      "an environment that is none",
      {},
      () => ({ ...secretEnv, AZURE_ENVIRONMENT: "moon" }),
      "AZURE_ENVIRONMENT is not AzureCloud, ",
    ],
    [
      "an authority in the clear",
      {},
      () => ({ ...secretEnv, AZURE_AUTHORITY_HOST: "http://login.example" }),
      'AZURE_AUTHORITY_HOST is "http://login.example": it must be https',
    ],
    [
      "a workload's token that is not there",
      {},
      () => ({ ...workloadEnv, AZURE_FEDERATED_TOKEN_FILE: "/absent" }),
      'workload identity (cannot read AZURE_FEDERATED_TOKEN_FILE "/absent": no such file or directory)',
    ],
    ["App Service that refuses", { "GET local/msi/token": { status: 400 } }, appService, "managed identity (127.0.0.1"],
    [
      "a machine without an identity",
      { [machineToken]: { status: 400, json: { error: "invalid_request" } } },
      machine,
      "answered 400 (invalid_request)",
    ],
    [
      "a machine that answers nonsense",
      { [machineToken]: { text: "hello" } },
      machine,
      "answered without an access token",
    ],
    ["a machine that never answers", { [machineToken]: "silence" }, machine, "did not answer within 0.05 s"],
    ["a machine that cuts connections", { [machineToken]: "broken" }, machine, "managed identity (127.0.0.1"],
    ["nobody there", {}, () => ({}), "managed identity (127.0.0.1:1: connection refused"],
    [
      "a registry that refuses",
      { [login]: loginAnswer, [exchange]: denied },
      () => secretEnv,
      "client secret (credentials were there, but builds.azurecr.io answered 401 (UNAUTHORIZED))",
    ],
    [
      "a registry that answers nonsense",
      { [login]: loginAnswer, [exchange]: { json: { refresh_token: 5 } } },
      () => secretEnv,
      "builds.azurecr.io answered without a refresh token",
    ],
    [
      "a registry that leads elsewhere",
      { [login]: loginAnswer, [exchange]: { status: 307, headers: { location: "https://other.azurecr.io/" } } },
      () => secretEnv,
      "redirects to another address",
    ],
  ])("%s", async (_, answers, env, said) => {
    const found = await scene.signIn(answers, env(scene.clouds));
    expect(found.kind).toBe("anonymous");
    expect(found.warnings).toHaveLength(1);
    expect(found.warnings[0]).toStartWith(`warn No credentials for ${registry} from Azure ACR. Tried: `);
    expect(found.warnings[0]).toContain(said);
    expect(found.warnings[0]).toContain("CNB_REGISTRY_AUTH_KEYCHAIN_SKIP_AZURE=true");
  });

  test("but what is not set up leads on, and all of it is listed", async () => {
    const found = await scene.signIn({}, { AZURE_CLIENT_SECRET: clientSecret, AZURE_FEDERATED_TOKEN_FILE: "/x" });
    expect(found.warnings[0]).toContain(
      "Tried: client secret (AZURE_TENANT_ID is not set), workload identity (AZURE_TENANT_ID is not set), managed identity (127.0.0.1:1: ",
    );
    expect(scene.clouds.asked()).toEqual([]);
  });
});
