/** Services of the machine: how long they are waited for, and that they may be starting. */
import { expect, describe as group, test } from "bun:test";
import * as amazon from "../support/amazon-scene.ts";
import * as azure from "../support/azure-scene.ts";
import type { Answers, CloudAnswer, Clouds } from "../support/clouds.ts";
import * as google from "../support/google-scene.ts";
import { hangMs, tempDir } from "../support/harness.ts";

const scenes = { amazon: amazon.amazonScene(), azure: azure.azureScene(), google: google.googleScene() };
type Case = readonly [
  what: string,
  cloud: keyof typeof scenes,
  answers: Answers,
  env: (clouds: Clouds) => Record<string, string>,
];

const podAnswers: Answers = { "GET local/v1/credentials": { json: amazon.keysJson } };
const appAnswers: Answers = { "GET local/msi/token": azure.loginAnswer };
const app = ({ local }: Clouds) => ({ IDENTITY_ENDPOINT: `http://${local}/msi/token`, IDENTITY_HEADER: "s3cret" });
const azureMachine = ({ local }: Clouds) => ({ AZURE_POD_IDENTITY_AUTHORITY_HOST: `http://${local}` });
const rest: Answers = { [amazon.ecr]: amazon.tokenAnswer, [azure.exchange]: azure.exchangeAnswer };

const services: readonly Case[] = [
  ["a pod's agent", "amazon", podAnswers, amazon.pod],
  ["EC2's", "amazon", amazon.machineAnswers, amazon.machine],
  ["App Service's", "azure", appAnswers, app],
  ["Azure's", "azure", azure.machineAnswers, azureMachine],
  ["Google's", "google", google.machineAnswers, google.machine],
];

group("a service of the machine that fails at first", () => {
  test.each(services)("is asked again: %s", async (_, cloud, answers, env) => {
    const scene = scenes[cloud];
    const first = Object.keys(answers)[0] ?? "";
    const failures: CloudAnswer[] = [{ status: 500 }, { status: 503 }];
    const usual = answers[first];
    const starting: Answers = {
      ...rest,
      ...answers,
      [first]: (request) => failures.shift() ?? (typeof usual === "function" ? usual(request) : (usual as CloudAnswer)),
    };
    const timing = { startingMs: hangMs };
    const found = await scene.signIn(starting, env(scene.clouds), {}, undefined, timing);
    expect(found.warnings).toEqual([]);
    expect(found.kind).not.toBe("anonymous");
  });

  test("is asked again where it cuts connections", async () => {
    let asked = 0;
    const hello = google.machineAnswers["GET local/"] as CloudAnswer;
    const answers: Answers = {
      ...google.machineAnswers,
      "GET local/": async () => {
        asked++;
        if (asked === 1) throw new Error("cuts the connection");
        return hello;
      },
    };
    const env = google.machine(scenes.google.clouds);
    const found = await scenes.google.signIn(answers, env, {}, undefined, { startingMs: hangMs });
    expect(found).toMatchObject({ login: google.login, warnings: [] });
  });

  test("and goes on to fail is told with its status", async () => {
    const answers: Answers = { "GET local/": { status: 500 } };
    const found = await scenes.google.signIn(answers, google.machine(scenes.google.clouds));
    expect(found.warnings[0]).toMatch(/metadata server \(127\.0\.0\.1:\d+ answered 500\)/);
  });
});

group("a service of the machine that hangs", () => {
  const silentLater: Answers = { ...amazon.machineAnswers, [`GET local${amazon.roles}/`]: "silence" };
  test.each<Case>([
    ["at its first answer: a pod's agent", "amazon", { "GET local/v1/credentials": "silence" }, amazon.pod],
    ["at its first answer: App Service's", "azure", { "GET local/msi/token": "silence" }, app],
    ["later: EC2's", "amazon", silentLater, amazon.machine],
    ["later: Google's", "google", { ...google.machineAnswers, [google.machineToken]: "silence" }, google.machine],
    [
      "later: Azure's",
      "azure",
      { [azure.machineToken]: ({ headers }) => (headers["metadata"] === "true" ? "silence" : { status: 400 }) },
      azureMachine,
    ],
  ])("is given up soon, %s", async (what, cloud, answers, env) => {
    const scene = scenes[cloud];
    const timing = what.startsWith("later") ? { absentMs: hangMs, localMs: 50 } : {};
    const found = await scene.signIn(answers, env(scene.clouds), {}, undefined, timing);
    expect(found.kind).toBe("anonymous");
    expect(found.warnings).toHaveLength(1);
    expect(found.warnings[0]).toContain("did not answer within 0.05 s");
  });

  test("is given up soon where a file of Google's names it", async () => {
    const { clouds } = scenes.google;
    const config = { ...google.federation, credential_source: { url: `http://${clouds.local}/oidc` } };
    using dir = tempDir("federation", { "key.json": JSON.stringify(config) });
    const env = { GOOGLE_APPLICATION_CREDENTIALS: dir.join("key.json") };
    const found = await scenes.google.signIn({ "GET local/oidc": "silence" }, env);
    expect(found.warnings[0]).toContain("did not answer within 0.05 s");
  });
});
