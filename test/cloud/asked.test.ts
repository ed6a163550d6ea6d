/** Who is asked, and when: by a registry's name alone, once, side by side, and only where nothing is configured. */
import { afterAll, beforeAll, expect, describe as group, test } from "bun:test";
import { resolveKeychain } from "../../lib/keychain/keychain.ts";
import * as amazon from "../support/amazon-scene.ts";
import * as azure from "../support/azure-scene.ts";
import { type Answers, type Clouds, startClouds } from "../support/clouds.ts";
import * as google from "../support/google-scene.ts";
import { hangMs, runRestorer, startRestorer, tempDir } from "../support/harness.ts";
import { basic, record } from "../support/keychain-fixture.ts";
import { startSilentServer } from "../support/loopback.ts";

let clouds: Clouds;
beforeAll(async () => {
  clouds = await startClouds();
});
afterAll(() => clouds[Symbol.asyncDispose]());

/** Everything that all three clouds would take. */
const env = () => ({ ...clouds.env, ...amazon.keys, ...azure.secretEnv, GCE_METADATA_HOST: clouds.local });
const answers: Answers = {
  [amazon.ecr]: amazon.tokenAnswer,
  [azure.login]: azure.loginAnswer,
  [azure.exchange]: azure.exchangeAnswer,
  ...google.machineAnswers,
};
const ours = [amazon.registry, azure.registry, google.registry];

async function resolve(registries: readonly string[], more: Record<string, string> = {}, from: Answers = answers) {
  clouds.answer(from);
  using home = tempDir("home");
  const log = record();
  const cloudTiming = { absentMs: hangMs, localMs: hangMs, answerMs: hangMs };
  const images = registries.map((registry) => ({ registry, repository: "org/app" }));
  const keychain = await resolveKeychain({ env: { HOME: home.path, ...env(), ...more }, images, log, cloudTiming });
  const sources = registries.map((registry) => keychain.for(registry, "org/app").source);
  return { sources, lines: log.lines, warnings: log.lines.filter((line) => line.startsWith("warn")) };
}

group("a cloud is asked", () => {
  test("for its own registries", async () => {
    const { sources, warnings } = await resolve(ours);
    expect(sources).toEqual(["Amazon ECR, environment", "Azure ACR, client secret", "Google, metadata server"]);
    expect(warnings).toEqual([]);
    expect(clouds.asked().sort()).toEqual(Object.keys(answers).sort());
  });

  test("for no other registry, however alike its name", async () => {
    const others = [
      "index.docker.io",
      "ghcr.io",
      "registry.example.com",
      "127.0.0.1:5000",
      "dkr.ecr.eu-west-1.amazonaws.com",
      "12345678901.dkr.ecr.eu-west-1.amazonaws.com",
      "x123456789012.dkr.ecr.eu-west-1.amazonaws.com",
      "123456789012.dkr.ecr.eu-west-1.amazonaws.com:5000",
      "123456789012.dkr.ecr.eu-west-1.amazonaws.com.example.com",
      "123456789012.dkr.ecr.eu-west-1.amazonaws.community",
      "123456789012.dkr.ecr.a.b.amazonaws.com",
      "public.ecr.aws.example.com",
      "azurecr.io",
      ".azurecr.io",
      "buildsazurecr.io",
      "builds.azurecr.io:443",
      "builds.azurecr.io.example.com",
      "builds.azurecr.de",
      "docker.pkg.dev",
      "europe-docker.pkg.dev.example.com",
      "europedocker.pkg.dev",
      "xgcr.io",
      "a.b.gcr.io",
      "gcr.io:443",
      "gcr.io.example.com",
    ];
    const { sources, lines } = await resolve(others);
    expect(new Set(sources)).toEqual(new Set(["none found, anonymous"]));
    expect(lines.filter((line) => !line.startsWith("debug Credentials for "))).toEqual([]);
    expect(clouds.requests).toEqual([]);
  });

  test("never where credentials are configured", async () => {
    const auth = Object.fromEntries(ours.map((registry) => [registry, `Basic ${basic("u:p")}`]));
    const { sources } = await resolve(ours, { CNB_REGISTRY_AUTH: JSON.stringify(auth) });
    expect(sources).toEqual(ours.map(() => "CNB_REGISTRY_AUTH"));
    using dir = tempDir("docker", {
      "config.json": JSON.stringify({ auths: Object.fromEntries(ours.map((name) => [name, { auth: basic("u:p") }])) }),
    });
    await resolve(ours, { DOCKER_CONFIG: dir.path });
    expect(clouds.requests).toEqual([]);
  });

  test("where what is configured is for other repositories of its registry", async () => {
    const auths = { [`${google.registry}/proj-a`]: { auth: basic("u:p") } };
    using dir = tempDir("docker", { "config.json": JSON.stringify({ auths }) });
    const ask = async (...repositories: string[]) => {
      clouds.answer(answers);
      const log = record();
      const images = repositories.map((repository) => ({ registry: google.registry, repository }));
      const cloudTiming = { absentMs: hangMs, localMs: hangMs, answerMs: hangMs };
      const env = { ...clouds.env, GCE_METADATA_HOST: clouds.local, HOME: dir.path, DOCKER_CONFIG: dir.path };
      const keychain = await resolveKeychain({ env, images, log, cloudTiming });
      const told = log.lines.filter((line) => line.startsWith("debug Credentials for"));
      return { told, sources: repositories.map((repository) => keychain.for(google.registry, repository).source) };
    };
    const file = `${dir.join("config.json")} (auths)`;
    const both = await ask("proj-a/app", "proj-b/app");
    expect(both.sources).toEqual([file, "Google, metadata server"]);
    expect(both.told).toEqual([
      `debug Credentials for ${google.registry}/proj-a/app: ${file}`,
      `debug Credentials for ${google.registry}/proj-b/app: Google, metadata server`,
    ]);
    expect((await ask("proj-a/app")).sources).toEqual([file]);
    expect(clouds.requests).toEqual([]);
  });

  test.each(["AMAZON", "AZURE", "GOOGLE"])("not where %s is to be skipped", async (name) => {
    const index = ["AMAZON", "AZURE", "GOOGLE"].indexOf(name);
    for (const value of ["true", "1", "T"]) {
      const { sources, warnings } = await resolve(ours, { [`CNB_REGISTRY_AUTH_KEYCHAIN_SKIP_${name}`]: value });
      expect(sources.map((source) => source === "none found, anonymous")).toEqual(ours.map((_, at) => at === index));
      expect(warnings).toEqual([]);
    }
    const { sources } = await resolve(ours, { [`CNB_REGISTRY_AUTH_KEYCHAIN_SKIP_${name}`]: "false" });
    expect(sources).not.toContain("none found, anonymous");
  });

  test("side by side with the others: each answers only once all have been asked", async () => {
    const firsts = [amazon.ecr, azure.login, "GET local/"];
    const { promise, resolve: open } = Promise.withResolvers<void>();
    const waiting = new Set<string>();
    const gated = firsts.map((name) => {
      const answer = answers[name];
      const wait = async () => {
        waiting.add(name);
        if (waiting.size === firsts.length) open();
        await promise;
        return typeof answer === "object" ? answer : {};
      };
      return [name, wait] as const;
    });
    const { sources } = await resolve(ours, {}, { ...answers, ...Object.fromEntries(gated) });
    expect(sources).not.toContain("none found, anonymous");
  });

  test("once for several registries, and what it lacks is told once", async () => {
    const two = [azure.registry, "other.azurecr.io"];
    const both = { ...answers, "POST other.azurecr.io/oauth2/exchange": azure.exchangeAnswer };
    const { sources } = await resolve(two, {}, both);
    expect(sources).toEqual(["Azure ACR, client secret", "Azure ACR, client secret"]);
    expect(clouds.asked().filter((line) => line === azure.login)).toHaveLength(1);
    const { warnings, lines } = await resolve(two, {}, {});
    expect(warnings).toHaveLength(1);
    expect(lines.filter((line) => line.includes("No credentials for"))).toHaveLength(2);
  });
});

test("Amazon is asked once for registries of several regions, and what it lacks is told once", async () => {
  const regions = ["eu-west-1", "us-east-1"].map((region) => `123456789012.dkr.ecr.${region}.amazonaws.com`);
  const env = {
    AWS_ACCESS_KEY_ID: "",
    AWS_EC2_METADATA_DISABLED: "",
    AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://${clouds.local}`,
  };
  const { warnings } = await resolve([...regions, "public.ecr.aws"], env, {
    "PUT local/latest/api/token": { status: 403 },
  });
  expect(warnings).toHaveLength(1);
  expect(clouds.asked()).toEqual(["PUT local/latest/api/token"]);
});

group("the program", () => {
  const cached = (...images: string[]) => {
    const [first = "", ...others] = images.map((name) => `${name}/org/cache`);
    return ["-cache-image", first, ...others.flatMap((name) => ["-cache-from", name])];
  };
  const layers = () => tempDir("layers", { "group.toml": "" });

  test("asks no cloud where it uses no registry, or another one", async () => {
    clouds.answer(answers);
    using dir = layers();
    for (const args of [[], ["-cache-dir", dir.path], cached("127.0.0.1:1")]) {
      const { exitCode } = await runRestorer(["-layers", dir.path, ...args], { env: env() });
      expect(exitCode).toBe(0);
    }
    expect(clouds.requests).toEqual([]);
  });

  test("goes on anonymously after a while, where metadata services never answer", async () => {
    clouds.answer({});
    using dir = layers();
    await using silent = await startSilentServer();
    const nowhere = {
      ...clouds.env,
      AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://${silent.host}`,
      AZURE_POD_IDENTITY_AUTHORITY_HOST: `http://${silent.host}`,
      GCE_METADATA_HOST: silent.host,
    };
    const { exitCode, stderr } = await runRestorer(["-layers", dir.path, ...cached(...ours)], { env: nowhere });
    expect(exitCode).toBe(0);
    for (const [index, name] of ["Amazon ECR", "Azure ACR", "Google"].entries()) {
      const told = stderr.split("\n").filter((line) => line.includes(`from ${name}. Tried: `));
      expect(told).toHaveLength(1);
      expect(told[0]).toContain(`No credentials for ${ours[index]}`);
      expect(told[0]).toContain(`${silent.host} did not answer within 3 s`);
    }
    // The registry itself is asked all the same.
    expect(clouds.asked()).toContain(`GET ${amazon.registry}/v2/org/cache/manifests/latest`);
  });

  test("ends at once when it is told to while a metadata service keeps silent", async () => {
    using dir = layers();
    await using silent = await startSilentServer();
    const nowhere = { ...clouds.env, AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://${silent.host}/` };
    const running = startRestorer(["-layers", dir.path, ...cached(amazon.registry)], { env: nowhere });
    await silent.connected;
    running.kill("SIGTERM");
    expect((await running.result).exitCode).toBe(128 + 15);
  });
});
