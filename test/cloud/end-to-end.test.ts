/** From what a machine or a service account has to a restored cache and a saved run image, with a docker-registry at the end. */
import { afterAll, beforeAll, expect, describe as group } from "bun:test";
import { existsSync } from "node:fs";
import * as amazon from "../support/amazon-scene.ts";
import * as azure from "../support/azure-scene.ts";
import { all, cacheImage, expectNoSecret, expectWarm, restore, shareRegistry } from "../support/cache-image-fixture.ts";
import { type Answers, type CloudAnswer, type CloudRequest, type Clouds, startClouds } from "../support/clouds.ts";
import { program, push, type RealRegistry, startRegistry, withRegistry } from "../support/docker-registry.ts";
import { testImage } from "../support/fault-registry.ts";
import * as google from "../support/google-scene.ts";
import { hangMs, tempDir } from "../support/harness.ts";
import { registryToken, repositoryOf, tokenAuth } from "../support/registry-token.ts";

shareRegistry();
const runImage = testImage({
  layers: [Buffer.from("one layer")],
  labels: { "io.buildpacks.base.distro.name": "test" },
});

interface Case {
  readonly registry: string;
  /** Path of its token server. */
  readonly realm: string;
  /** Which step of its chain gives credentials. */
  readonly by: string;
  readonly env: (clouds: Clouds, file: (content: string) => string) => Record<string, string>;
  readonly answers: Answers;
  /** Whether a token server is shown what its cloud has given. */
  readonly isKnown: (request: CloudRequest) => boolean;
  readonly secrets: readonly string[];
}

const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;
const cases: readonly Case[] = [
  {
    registry: amazon.registry,
    realm: "/token",
    by: "Amazon ECR: credentials by web identity",
    env: (_, file) => ({
      AWS_ROLE_ARN: amazon.role,
      AWS_WEB_IDENTITY_TOKEN_FILE: file("t0ken-of-eks"),
      AWS_REGION: "eu-west-1",
    }),
    answers: { [amazon.sts]: amazon.keysXml, [amazon.ecr]: amazon.tokenAnswer },
    isKnown: ({ headers }) => headers.authorization === basic(`AWS:${amazon.password}`),
    secrets: [amazon.secret, amazon.session, `AWS:${amazon.password}`, amazon.password, "t0ken"],
  },
  {
    registry: azure.registry,
    realm: "/oauth2/token",
    by: "Azure ACR: credentials by workload identity",
    env: (_, file) => ({ ...azure.workloadEnv, AZURE_FEDERATED_TOKEN_FILE: file("t0ken-of-aks") }),
    answers: { [azure.login]: azure.loginAnswer, [azure.exchange]: azure.exchangeAnswer },
    isKnown: ({ form }) => form["refresh_token"] === azure.refreshToken(10_800),
    secrets: [azure.entraToken, azure.refreshToken(10_800), "r3fresh", "t0ken"],
  },
  {
    registry: google.registry,
    realm: "/v2/token",
    by: "Google: credentials by metadata server",
    env: ({ local }) => ({ GCE_METADATA_HOST: local }),
    answers: google.machineAnswers,
    isKnown: ({ headers }) => headers.authorization === basic(google.login),
    secrets: [google.accessToken, google.login, "t0ken"],
  },
];

/** What a registry answers: its token server, and a docker-registry for all else. */
async function answerFor(request: CloudRequest, { realm, isKnown }: Case, behind: RealRegistry): Promise<CloudAnswer> {
  const { method, path, query, headers, form } = request;
  if (path === realm) {
    const repository = repositoryOf(form["scope"] ?? query["scope"]);
    if (repository === undefined || !isKnown(request)) return { status: 401 };
    return { json: { access_token: registryToken(repository, "builds") } };
  }
  const passed = ["accept", "authorization", "range", "user-agent"].flatMap((name) =>
    typeof headers[name] === "string" ? [[name, headers[name]] as const] : [],
  );
  const response = await fetch(`http://${behind.host}${path}`, { method, headers: Object.fromEntries(passed) });
  const bytes = new Uint8Array(await response.arrayBuffer());
  const told = ["content-type", "www-authenticate", "docker-content-digest", "content-range"];
  const known = told
    .flatMap((name) => [[name, response.headers.get(name) ?? ""] as const])
    .filter(([, value]) => value !== "");
  return { status: response.status, headers: Object.fromEntries(known), bytes };
}

group("with what a cloud gives", () => {
  let clouds: Clouds | undefined;
  const behind = new Map<string, RealRegistry>();
  beforeAll(async () => {
    if (program === null) return;
    const { dir, open } = all();
    clouds = await startClouds();
    for (const { registry, realm } of cases) {
      behind.set(registry, await startRegistry(dir, registry, { auth: tokenAuth(`https://${registry}${realm}`) }));
    }
    await push(open, "team/cache", "latest", cacheImage());
    await push(open, "team/run", "latest", runImage);
  }, hangMs);
  afterAll(async () => {
    await clouds?.[Symbol.asyncDispose]();
    for (const registry of behind.values()) await registry[Symbol.asyncDispose]();
  });

  for (const one of cases) {
    const { registry, by, secrets } = one;
    withRegistry(`a cache image of ${registry} is restored, and a run image saved`, async () => {
      const server = behind.get(registry);
      if (clouds === undefined || server === undefined) throw new Error("not started");
      clouds.answer({ ...one.answers, [`${registry}/*`]: (request) => answerFor(request, one, server) });
      const run = `[run-image]\nreference = "${registry}/team/run"\nimage = "${registry}/team/run"\nextend = true\n`;
      using dir = tempDir("cloud", { "analyzed.toml": run, "run.toml": "", kaniko: {}, token: "" });
      const file = (content: string) => {
        Bun.spawnSync(["tee", dir.join("token")], { stdin: Buffer.from(content), stdout: "ignore" });
        return dir.join("token");
      };
      const env = { ...clouds.env, ...one.env(clouds, file) };
      const paths = [
        "-analyzed",
        dir.join("analyzed.toml"),
        "-kaniko-dir",
        dir.join("kaniko"),
        "-run",
        dir.join("run.toml"),
      ];
      const result = await restore(`${registry}/team/cache`, env, ...paths);
      expectWarm(result);
      expect(existsSync(dir.join("kaniko/cache/base", runImage.digest, "index.json"))).toBe(true);
      expect(result.stdout).toContain(by);
      expectNoSecret(result, ...secrets);
      // The cloud is asked once for the whole run.
      const cloud = clouds.asked().filter((line) => !line.includes(` ${registry}/v2/`) && !line.endsWith(one.realm));
      expect(cloud).toEqual(Object.keys(one.answers));
      const answers = await server.answers("team/cache", 1);
      expect(answers.some((line) => line.startsWith("200"))).toBe(true);
    });
  }
});
