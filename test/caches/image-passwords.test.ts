import { afterAll, beforeAll, expect, describe as group } from "bun:test";
import { writeFileSync } from "node:fs";
import {
  all,
  asVariable,
  basic,
  cacheImage,
  expectCold,
  expectNoSecret,
  expectWarm,
  password,
  restore,
  shareRegistry,
  user,
} from "../support/cache-image-fixture.ts";
import { program, push, type RealRegistry, startRegistry, withRegistry } from "../support/docker-registry.ts";
import { differences, directory, file, hangMs, isRoot, skipUnless, type TempDir, tempDir } from "../support/harness.ts";

shareRegistry();

group("a registry with a list of passwords", () => {
  let registry: RealRegistry | undefined;
  beforeAll(async () => {
    if (program === null) return;
    const { dir, open } = all();
    const hash = await Bun.password.hash(password, { algorithm: "bcrypt", cost: 4 });
    writeFileSync(dir.join("htpasswd"), `${user}:${hash}\n`);
    const htpasswd = { realm: "test", path: dir.join("htpasswd") };
    registry = await startRegistry(dir, "basic", { auth: { htpasswd } });
    await push(open, "private/cache", "latest", cacheImage());
  }, hangMs);
  afterAll(async () => registry?.[Symbol.asyncDispose]());
  const host = () => registry?.host ?? "";

  const auths = () => ({ auths: { [`https://${host()}/v1/`]: { auth: basic(password) } } });
  const places: [where: string, env: (dir: TempDir) => Record<string, string>][] = [
    ["CNB_REGISTRY_AUTH", () => asVariable(host(), `Basic ${basic(password)}`)],
    ["CNB_REGISTRY_AUTH_FILE", (dir) => ({ CNB_REGISTRY_AUTH_FILE: dir.join("config.json") })],
    ["docker's config.json", (dir) => ({ DOCKER_CONFIG: dir.path })],
    ["podman's auth.json", (dir) => ({ REGISTRY_AUTH_FILE: dir.join("config.json") })],
    [
      "a credential helper",
      (dir) => ({ DOCKER_CONFIG: dir.join("helper"), PATH: `${dir.join("bin")}:${process.env.PATH}` }),
    ],
  ];
  for (const [where, env] of places) {
    withRegistry(`opens to the password in ${where}, which is never shown`, async () => {
      const answer = JSON.stringify({ Username: user, Secret: password });
      using dir = tempDir("auth", {
        "config.json": JSON.stringify(auths()),
        helper: { "config.json": JSON.stringify({ credHelpers: { [host()]: "test" } }) },
        bin: { "docker-credential-test": file(`#!/bin/sh\ncat >/dev/null\necho '${answer}'\n`, 0o755) },
      });
      const result = await restore(`${host()}/private/cache`, env(dir));
      expectWarm(result);
      expectNoSecret(result, password, `${user}:${password}`);
    });
  }

  withRegistry("is challenged once, whatever the number of layers", async () => {
    const before = (await registry?.answers("private/cache", 0)) ?? [];
    expectWarm(await restore(`${host()}/private/cache`, asVariable(host(), `Basic ${basic(password)}`)));
    const requests = 1 + 2 + all().needed.length;
    const after = (await registry?.answers("private/cache", before.length + requests)) ?? [];
    expect(after).toHaveLength(before.length + requests);
    const refused = (lines: readonly string[]) => lines.filter((line) => line.startsWith("401")).length;
    expect(refused(after) - refused(before)).toBe(1);
  });

  withRegistry("stays closed to a wrong password, to that of another registry, and to nobody", async () => {
    const wrong = await restore(`${host()}/private/cache`, asVariable(host(), `Basic ${basic("guess-guess")}`));
    expectCold(wrong, host(), "401", "credentials: CNB_REGISTRY_AUTH", "Check that the credentials");
    expectNoSecret(wrong, "guess-guess", `${user}:guess-guess`);
    const other = await restore(`${host()}/private/cache`, asVariable("127.0.0.1:1", `Basic ${basic(password)}`));
    expectCold(other, host(), "401", "credentials: none found, anonymous", "CNB_REGISTRY_AUTH");
    expectNoSecret(other, password, `${user}:${password}`);
    expectCold(await restore(`${host()}/private/cache`), "401", "No credentials");
  });

  const asRoot = skipUnless(isRoot && program !== null, "root and docker-registry");
  asRoot("opens to a password that only root may read, to a run that becomes another user", async () => {
    using dir = tempDir("auth", {
      closed: directory({ "config.json": file(JSON.stringify(auths()), 0o600) }, 0o700),
    });
    const env = { DOCKER_CONFIG: dir.join("closed") };
    const { after, ...result } = await restore(`${host()}/private/cache`, env, "-uid", "65534", "-gid", "65534");
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expect(differences(after, all().expected, { ignore: ["uid", "gid"] })).toEqual([]);
    expect([...after.values()].every(({ uid, gid }) => uid === 65534 && gid === 65534)).toBe(true);
  });

  withRegistry("that stays closed fails a strict run", async () => {
    const { exitCode, stderr, after } = await restore(`${host()}/private/cache`, {}, "-strict");
    expect(exitCode).toBe(42);
    expect(stderr).toMatch(/^ERROR: .*401/);
    expect([...after.keys()]).toEqual(["analyzed.toml", "group.toml"]);
  });
});
