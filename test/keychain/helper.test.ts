import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { type KeychainOptions, resolveKeychain } from "../../lib/keychain/keychain.ts";
import { eventually } from "../support/eventually.ts";
import { file, hangMs, type TempDir, tempDir } from "../support/harness.ts";
import { basic, hub, lookUp, record } from "../support/keychain-fixture.ts";

describe("a credential helper", () => {
  /** A helper that records its input and environment beside itself, then runs a script. */
  const helper = (script: string) => file(`#!/bin/sh\ncat > "$HOME/asked"\nenv > "$HOME/env"\n${script}\n`, 0o755);
  const answer = (user: string, secret: string) => `printf '{"Username":"${user}","Secret":"${secret}"}'`;
  const path = (home: TempDir) => ({ PATH: `${home.join("bin")}:${process.env.PATH}` });
  const run = (script: string, config: object, registry?: string, more?: Partial<KeychainOptions>) => {
    const tree = { bin: { "docker-credential-test": helper(script) }, ".docker/config.json": JSON.stringify(config) };
    return lookUp(tree, path, registry, undefined, more);
  };

  test("is asked for every registry with credsStore, before auths", async () => {
    const config = { credsStore: "test", auths: { "reg.io": { auth: basic("file:p") } } };
    expect(await run(answer("u", "p"), config)).toMatchObject({ login: "u:p", source: "docker-credential-test" });
  });

  test("is asked for its own registries with credHelpers", async () => {
    const config = { credHelpers: { "reg.io": "test" }, credsStore: "absent" };
    expect((await run(answer("u", "p"), config)).login).toBe("u:p");
  });

  test.each<[what: string, output: string, login: string | undefined]>([
    ["null for a user", '{"Username":null,"Secret":"p"}', ":p"],
    ["more than was asked for", '{"ServerURL":null,"Username":"u","Secret":"p","Expires":5}', "u:p"],
    ["a line break too many", '\\n{"Username":"u\\\\n","Secret":"p\\\\n"}\\n', "u:p"],
    ["names in lower case", '{"serverurl":"x","username":"u","secret":"p"}', "u:p"],
    ["names in upper case", '{"USERNAME":"u","SECRET":"p"}', "u:p"],
    ["a name twice", '{"Secret":"p","secret":null,"Username":"x","username":"u"}', "u:p"],
  ])("may answer with %s", async (_, output, login) => {
    const { login: found, log } = await run(`printf '${output}'`, { credsStore: "test" });
    expect([found, log.filter((line) => line.startsWith("warn"))]).toEqual([login, []]);
  });

  test.each([
    ["nothing", "", "printed nothing, though it ended with exit 0"],
    ["a line break", "\\n", "printed nothing"],
    ["null", "null", '"Secret" is missing or empty'],
    ["null for a secret", '{"Username":"u","Secret":null}', '"Secret" is missing or empty'],
    ["other names", '{"user":"u","password":"s3cret"}', '"Secret" is missing or empty'],
    ["an empty secret", '{"ServerURL":"reg.io","Username":"","Secret":""}', '"Secret" is missing or empty'],
  ])("that answers with %s is a warning, and leaves it to auths", async (_, output, words) => {
    const config = { credsStore: "test", auths: { "reg.io": { auth: basic("file:p") } } };
    const { login, log } = await run(`printf '${output}'`, config);
    expect(login).toBe("file:p");
    const warnings = log.filter((line) => line.startsWith("warn"));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(`docker-credential-test ${words.startsWith("printed") ? words : ""}`);
    expect(warnings[0]).toContain(words);
    expect(warnings[0]).not.toContain("s3cret");
  });

  test.each([
    { CredHelpers: { "reg.io": "test" } },
    { credhelpers: { "https://REG.io": "test" }, CREDSSTORE: "absent" },
    { credsstore: "test" },
  ])("is found under names in any case: %j", async (config) => {
    expect((await run(answer("u", "p"), config)).login).toBe("u:p");
  });

  test("may answer with an identity token", async () => {
    expect(await run(answer("<token>", "refresh"), { credsStore: "test" })).toMatchObject({ identity: "refresh" });
  });

  test.each([
    ["reg.io", "reg.io"],
    [hub, "https://index.docker.io/v1/"],
  ])("is asked on stdin, for %s as %s", async (registry, asked) => {
    const script = `[ "$1" = get ] && [ "$(cat "$HOME/asked")" = "${asked}" ] && ${answer("u", "p")}`;
    expect((await run(script, { credsStore: "test" }, registry)).login).toBe("u:p");
  });

  test("sees what it needs of the environment and nothing secret", async () => {
    using home = tempDir("keychain", {
      bin: { "docker-credential-test": helper(answer("u", "p")) },
      ".docker/config.json": '{"credsStore":"test"}',
    });
    const env = {
      HOME: home.path,
      ...path(home),
      AWS_PROFILE: "ours",
      CNB_REGISTRY_AUTH: '{"a.io":"Bearer s3cret"}',
      SOME_PASSWORD: "s3cret",
      LD_PRELOAD: "x",
    };
    await resolveKeychain({ env, images: [{ registry: "reg.io", repository: "org/app" }], log: record() });
    const seen = await Bun.file(home.join("env")).text();
    expect(seen).toContain("AWS_PROFILE=ours");
    expect(seen).not.toMatch(/s3cret|LD_PRELOAD/);
  });

  test("without credentials leaves it to auths, silently", async () => {
    const script = 'echo "credentials not found in native keychain"; exit 1';
    const { login, log } = await run(script, { credsStore: "test", auths: { "reg.io": { auth: basic("file:p") } } });
    expect(login).toBe("file:p");
    expect(log.filter((line) => line.startsWith("warn"))).toEqual([]);
  });

  test.each([
    ["prints nonsense", "echo s3cret", "other than credentials"],
    ["prints without end", "yes s3cret", "more than"],
    ["never answers, nor lets its children end", "sleep 1000 & sleep 1000", "did not answer within 0.3 s"],
  ])("that %s is a warning without what it printed", async (_, script, words) => {
    const helperMs = script.includes("sleep") ? 300 : hangMs;
    const { kind, log } = await run(script, { credsStore: "test" }, "reg.io", { helperMs });
    expect(kind).toBe("anonymous");
    expect(log.join("\n")).toContain(words);
    expect(log.join("\n")).not.toContain("s3cret");
  });

  test("that fails is a warning; what it says is told at debug", async () => {
    const { kind, log } = await run("echo locked; echo 'no\u001b[31m key' >&2; exit 3", { credsStore: "test" });
    expect(kind).toBe("anonymous");
    expect(log.filter((line) => line.startsWith("warn"))).toEqual([
      'warn No credentials for reg.io from the helper "test" (~/.docker/config.json): docker-credential-test failed (exit 3)',
    ]);
    expect(log).toContain('debug docker-credential-test says: "no\\x1b[31m key", "locked"');
  });

  test("that answers is not quoted, whatever it says besides", async () => {
    const { log, login } = await run(`echo s3cret >&2; ${answer("u", "s3cret")}`, { credsStore: "test" });
    expect(login).toBe("u:s3cret");
    expect(log.join("\n")).not.toContain("s3cret");
  });

  /** A script that leaves a daemon behind, which holds its stdout open and is out of reach. */
  const daemon = (pidFile: string) =>
    `setsid sh -c 'echo $$ > ${pidFile}; exec sleep 100000' & while [ ! -s ${pidFile} ]; do :; done`;
  const started = (pidFile: string) =>
    eventually(pidFile, () => (existsSync(pidFile) && readFileSync(pidFile, "utf8") !== "" ? true : undefined));
  const end = (pidFile: string) => process.kill(Number(readFileSync(pidFile, "utf8")));

  test("that leaves a daemon behind, which holds its stdout, has answered", async () => {
    using dir = tempDir("daemon");
    const script = `${daemon(dir.join("pid"))}; ${answer("u", "p")}`;
    const { login, log } = await run(script, { credsStore: "test" });
    end(dir.join("pid"));
    expect(login).toBe("u:p");
    expect(log.filter((line) => line.startsWith("warn"))).toEqual([]);
  });

  test("that leaves one behind and never answers is not waited for", async () => {
    using dir = tempDir("daemon");
    const script = `${daemon(dir.join("pid"))}; sleep 1000`;
    const stop = new AbortController();
    const asked = run(script, { credsStore: "test" }, "reg.io", { signal: stop.signal }).catch(String);
    await started(dir.join("pid"));
    stop.abort(new Error("ended"));
    expect(await asked).toBe("Error: ended");
    end(dir.join("pid"));
  });

  test("may answer at length", async () => {
    const long = "x".repeat(60_000);
    const written = `head -c 60000 /dev/zero | tr '\\0' x`;
    const script = `printf '{"Username":"u","Secret":"'; ${written}; printf '"}'`;
    expect((await run(script, { credsStore: "test" })).login).toBe(`u:${long}`);
  });

  test("that is not there, or whose name is a path, is a warning", async () => {
    expect((await lookUp({ ".docker/config.json": '{"credsStore":"absent"}' }, {})).log.join()).toContain(
      "is not on PATH",
    );
    expect((await lookUp({ ".docker/config.json": '{"credsStore":"../evil"}' }, {})).log.join()).toContain("path");
  });

  test("is not waited for when the run is ended", async () => {
    using dir = tempDir("helper");
    const script = `echo $$ > ${dir.join("pid")}; exec sleep 1000`;
    const stop = new AbortController();
    const asked = run(script, { credsStore: "test" }, "reg.io", { signal: stop.signal }).catch(String);
    await started(dir.join("pid"));
    stop.abort(new Error("ended"));
    expect(await asked).toBe("Error: ended");
  });
});
