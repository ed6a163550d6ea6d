import { afterAll, beforeAll, expect, describe as group, test } from "bun:test";
import { chmodSync } from "node:fs";
import { Files, Shared } from "../../lib/cloud/steps.ts";
import { Credential, type Lease } from "../../lib/keychain/credential.ts";
import * as amazon from "../support/amazon-scene.ts";
import * as azure from "../support/azure-scene.ts";
import { layersIn } from "../support/cache-image-fixture.ts";
import { type Answers, type CloudRequest, type Clouds, startClouds } from "../support/clouds.ts";
import * as google from "../support/google-scene.ts";
import { isRoot, runRestorer, skipUnless, tempDir } from "../support/harness.ts";
import { rejection } from "../support/image-fixture.ts";

const expired = 0;
const good = undefined;

group("a credential that expires", () => {
  const lease = (bearer: string, livesMs: number | undefined): Lease => ({ secrets: { bearer }, livesMs });

  test("is fetched anew before it is used, once for all who use it", async () => {
    let asked = 0;
    const renew = async () => lease(`token-${++asked}`, asked < 2 ? expired : good);
    const credential = new Credential("here", { bearer: "token-0" }, renew, expired);
    await Promise.all([credential.keepFresh(), credential.keepFresh()]);
    expect([asked, credential.reveal("bearer")]).toEqual([1, "token-1"]);
    await credential.keepFresh();
    await credential.keepFresh();
    expect([asked, credential.reveal("bearer")]).toEqual([2, "token-2"]);
    expect(credential.redact("token-1 and token-2, but not token-9")).toBe("*** and ***, but not token-9");
  });

  test("stays as it is where it cannot be fetched anew, which is not tried at each use", async () => {
    let asked = 0;
    const renew = async () => {
      asked++;
      return undefined;
    };
    const credential = new Credential("here", { bearer: "token-0" }, renew, expired);
    await credential.keepFresh();
    await credential.keepFresh();
    expect([asked, credential.reveal("bearer")]).toEqual([1, "token-0"]);
  });

  test.each([good, 3_600_000])("is not fetched anew while it is good: %p", async (livesMs) => {
    const credential = new Credential("here", { bearer: "token-0" }, () => rejected(), livesMs);
    await credential.keepFresh();
    expect(credential.reveal("bearer")).toBe("token-0");
  });
});

async function rejected(): Promise<never> {
  throw new Error("it was asked");
}

group("what several ask for", () => {
  test("is got once while it is good, and what failed is not kept", async () => {
    let asked = 0;
    const lives = [expired, good];
    const shared = new Shared(async () => {
      asked++;
      if (asked === 1) throw new Error("not yet");
      return { number: asked, livesMs: lives.shift() };
    });
    expect((await rejection(Promise.all([shared.get(), shared.get()]))).message).toBe("not yet");
    expect(asked).toBe(1);
    for (const number of [2, 3, 3]) expect((await shared.get()).number).toBe(number);
  });

  test("has the same end for all, whenever they come", async () => {
    const shared = new Shared(async () => ({ livesMs: 3_600_000 }));
    const first = (await shared.get()).livesMs;
    // Some time goes by, however little.
    const since = performance.now();
    while (performance.now() === since);
    expect((await shared.get()).livesMs).toBeLessThan(first);
  });
});

group("a run whose credentials expire at once", () => {
  let clouds: Clouds;
  beforeAll(async () => {
    clouds = await startClouds();
  });
  afterAll(() => clouds[Symbol.asyncDispose]());
  const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;
  /** A number for each that was handed out. */
  let given = 0;

  /** Has three documents read, each by a request that must show the newest of what was handed out. */
  async function readWith(registry: string, env: Record<string, string>, answers: Answers, user: string[] = []) {
    given = 0;
    clouds.answer(answers);
    using dir = tempDir("layers");
    const caches = ["one", "two", "three"].map((name) => `${registry}/org/${name}`);
    const [first = "", ...others] = caches;
    const args = [
      "-layers",
      layersIn(dir, "fresh"),
      "-cache-image",
      first,
      ...others.flatMap((name) => ["-cache-from", name]),
    ];
    const result = await runRestorer([...args, "-log-level", "debug", ...user], { env: { ...clouds.env, ...env } });
    expect(result.exitCode).toBe(0);
    return { result, asked: clouds.asked(), warnings: result.stderr };
  }
  /** A registry that takes a password as it is. */
  const asksPassword = (registry: string, password: () => string): Answers => ({
    [`${registry}/*`]: ({ headers }) =>
      headers.authorization === basic(password())
        ? { status: 404, json: { errors: [{ code: "MANIFEST_UNKNOWN" }] } }
        : { status: 401, headers: { "www-authenticate": 'Basic realm="x"' } },
  });

  test("shows Amazon's newest password", async () => {
    const answers: Answers = {
      [amazon.ecr]: () => {
        const authorizationToken = Buffer.from(`AWS:password-${++given}`).toString("base64");
        return { json: { authorizationData: [{ authorizationToken, expiresAt: 1 }] } };
      },
      ...asksPassword(amazon.registry, () => `AWS:password-${given}`),
    };
    const { asked, warnings, result } = await readWith(amazon.registry, amazon.keys, answers);
    expect(warnings).toBe("");
    expect(result.stdout.match(/Layer cache not found/gi) ?? []).not.toEqual([]);
    expect(asked.filter((line) => line === amazon.ecr).length).toBeGreaterThanOrEqual(4);
    expect(`${result.stdout}${result.stderr}`).not.toContain("password-");
  });

  const tokenServer = (registry: string, realm: string, isNewest: (request: CloudRequest) => boolean): Answers => ({
    [`${registry}/*`]: (request) => {
      if (request.path === realm) return isNewest(request) ? { json: { access_token: "pull" } } : { status: 401 };
      if (request.headers.authorization === "Bearer pull")
        return { status: 404, json: { errors: [{ code: "MANIFEST_UNKNOWN" }] } };
      return { status: 401, headers: { "www-authenticate": `Bearer realm="https://${registry}${realm}",service="x"` } };
    },
  });

  test("shows Azure's newest refresh token", async () => {
    const answers: Answers = {
      [azure.login]: azure.loginAnswer,
      [azure.exchange]: () => ({ json: { refresh_token: azure.refreshToken(0, `number-${++given}`) } }),
      ...tokenServer(
        azure.registry,
        "/oauth2/token",
        ({ form }) => form["refresh_token"] === azure.refreshToken(0, `number-${given}`),
      ),
    };
    const { asked, warnings } = await readWith(azure.registry, azure.secretEnv, answers);
    expect(warnings).toBe("");
    // What Entra ID gave is good still.
    expect(asked.filter((line) => line === azure.login)).toHaveLength(1);
    expect(asked.filter((line) => line === azure.exchange).length).toBeGreaterThanOrEqual(4);
  });

  test("shows Google's newest access token", async () => {
    const answers: Answers = {
      ...google.machineAnswers,
      [google.machineToken]: () => ({ json: { access_token: `number-${++given}`, expires_in: 1e-9 } }),
      ...tokenServer(
        google.registry,
        "/v2/token",
        ({ headers }) => headers.authorization === basic(`oauth2accesstoken:number-${given}`),
      ),
    };
    const { asked, warnings } = await readWith(google.registry, google.machine(clouds), answers);
    expect(warnings).toBe("");
    expect(asked.filter((line) => line === google.machineToken).length).toBeGreaterThanOrEqual(4);
  });

  skipUnless(isRoot, "root")("takes a token that only root could read as it was, once it is root no more", async () => {
    using secret = tempDir("secret", { token: "t0ken-of-kubernetes" });
    chmodSync(secret.path, 0o700);
    const env = { ...azure.workloadEnv, AZURE_FEDERATED_TOKEN_FILE: secret.join("token") };
    const answers: Answers = {
      [azure.login]: { json: { access_token: azure.entraToken, expires_in: 1e-9 } },
      [azure.exchange]: () => ({ json: { refresh_token: azure.refreshToken(0, `number-${++given}`) } }),
      ...tokenServer(
        azure.registry,
        "/oauth2/token",
        ({ form }) => form["refresh_token"] === azure.refreshToken(0, `number-${given}`),
      ),
    };
    const { warnings } = await readWith(azure.registry, env, answers, ["-uid", "1234", "-gid", "1234"]);
    expect(warnings).toBe("");
    const proofs = clouds.requests
      .filter(({ host }) => host === "login.microsoftonline.com")
      .map(({ form }) => form["client_assertion"]);
    expect(proofs.length).toBeGreaterThanOrEqual(4);
    expect(new Set(proofs)).toEqual(new Set(["t0ken-of-kubernetes"]));
  });

  test("tells once that there are no new ones, and shows the old", async () => {
    const answers: Answers = {
      [amazon.ecr]: () => {
        const authorizationToken = Buffer.from("AWS:password-1").toString("base64");
        return ++given > 1 ? { status: 403 } : { json: { authorizationData: [{ authorizationToken, expiresAt: 1 }] } };
      },
      ...asksPassword(amazon.registry, () => "AWS:password-1"),
    };
    const { warnings } = await readWith(amazon.registry, amazon.keys, answers);
    expect(warnings).toMatch(
      /^Warning: No credentials for \S+ from Amazon ECR\. Tried: environment [^\n]*answered 403[^\n]*\n$/,
    );
  });
});

test("a file of credentials is read anew each time, and is as it was only where it cannot be read any more", () => {
  using dir = tempDir("files", { token: "one", empty: "" });
  const files = new Files();
  expect(files.text(dir.join("token"), "here")).toBe("one");
  Bun.spawnSync(["tee", dir.join("token")], { stdin: Buffer.from("\ufefftwo\n"), stdout: "ignore" });
  expect(files.text(dir.join("token"), "here")).toBe("two");
  expect(() => files.text(dir.join("empty"), "here")).toThrow("is empty");
  expect(() => files.text(dir.join("absent"), "here")).toThrow("no such file");
  expect(() => files.text(dir.path, "here")).toThrow("is not a regular file");
  expect([files.find(dir.path), files.find(dir.join("absent"))]).toEqual([undefined, undefined]);
});
