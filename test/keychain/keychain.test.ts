import { describe, expect, test } from "bun:test";
import { RestorerError } from "../../lib/failures.ts";
import { anonymous, Credential, type KeychainOptions, resolveKeychain } from "../../lib/keychain/keychain.ts";
import type { Log } from "../../lib/log.ts";
import { file, type TempDir, type Tree, tempDir } from "../support/harness.ts";

const hub = "index.docker.io";
const basic = (text: string) => Buffer.from(text).toString("base64");
const auths = (entries: Record<string, unknown>, more: object = {}) => JSON.stringify({ auths: entries, ...more });

/** A log that keeps what is said. */
function record(): Log & { readonly lines: string[] } {
  const lines: string[] = [];
  const at = (level: string) => (message: string) => void lines.push(`${level} ${message}`);
  const [debug, info, warn, error] = ["debug", "info", "warn", "error"].map(at) as [
    () => void,
    () => void,
    () => void,
    () => void,
  ];
  return { level: "debug", lines, debug, info, warn, error, flush() {} };
}

/** Looks up one registry with a home directory that holds a tree; returns the credential in the open. */
async function lookUp(
  tree: Tree,
  env: Record<string, string | undefined> | ((home: TempDir) => Record<string, string | undefined>),
  registry = "reg.io",
  repository = "org/app",
  more: Partial<KeychainOptions> = {},
) {
  using home = tempDir("keychain", tree);
  const log = record();
  const all = { HOME: home.path, PATH: process.env.PATH, ...(typeof env === "function" ? env(home) : env) };
  const keychain = await resolveKeychain({ env: all, registries: [registry], log, ...more });
  const credential = keychain.for(registry, repository);
  const source = credential.source.replaceAll(home.path, "~");
  return {
    ...open(credential),
    kind: credential.kind,
    source,
    log: log.lines.map((line) => line.replaceAll(home.path, "~")),
  };
}

function open(credential: Credential) {
  const secret = credential.reveal("basic");
  return {
    login: secret === undefined ? undefined : Buffer.from(secret, "base64").toString(),
    identity: credential.reveal("identity"),
    bearer: credential.reveal("bearer"),
  };
}

describe("CNB_REGISTRY_AUTH", () => {
  const env = {
    CNB_REGISTRY_AUTH: JSON.stringify({
      "https://basic.io/v1/": `Basic ${basic("u:p")}`,
      "bearer.io": "Bearer tok",
      "identity.io:5000": "X-Identity refresh",
      "docker.io": `basic ${basic("hub:p")}`,
    }),
  };

  test("maps registries to headers; keys may be URLs, docker.io is Docker Hub", async () => {
    expect(await lookUp({}, env, "basic.io")).toMatchObject({
      kind: "basic",
      login: "u:p",
      source: "CNB_REGISTRY_AUTH",
    });
    expect(await lookUp({}, env, "bearer.io")).toMatchObject({ kind: "bearer", bearer: "tok" });
    expect(await lookUp({}, env, "identity.io:5000")).toMatchObject({ kind: "identity", identity: "refresh" });
    expect(await lookUp({}, env, hub)).toMatchObject({ kind: "basic", login: "hub:p" });
  });

  test("is for the registry with that port and no other", async () => {
    expect((await lookUp({}, env, "identity.io")).kind).toBe("anonymous");
    expect((await lookUp({}, env, "sub.basic.io")).kind).toBe("anonymous");
  });

  test("comes before every file", async () => {
    const tree = { ".docker/config.json": auths({ "basic.io": { auth: basic("other:x") } }) };
    expect((await lookUp(tree, env, "basic.io")).login).toBe("u:p");
  });

  test.each(["NOT -- JSON s3cret", '["s3cret"]', '{"a": 5}', "null", '"s3cret"'])(
    "that is malformed is an error with exit code 1 which tells no secret: %j",
    async (value) => {
      const error = await lookUp({}, { CNB_REGISTRY_AUTH: value }).catch((thrown) => thrown);
      expect(error).toBeInstanceOf(RestorerError);
      expect(error.exitCode).toBe(1);
      expect(error.message).toContain("failed to parse CNB_REGISTRY_AUTH");
      expect(Bun.inspect(error)).not.toContain("s3cret");
    },
  );

  test("with a value of no known kind is an error, but only for a registry in use", async () => {
    const bad = { CNB_REGISTRY_AUTH: '{"reg.io":"Digest s3cret","ok.io":"Bearer x"}' };
    const error = await lookUp({}, bad).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(RestorerError);
    expect(Bun.inspect(error)).not.toContain("s3cret");
    expect((await lookUp({}, bad, "ok.io")).kind).toBe("bearer");
  });

  test("cannot smuggle another header in", async () => {
    const bad = { CNB_REGISTRY_AUTH: JSON.stringify({ "reg.io": "Bearer a\r\nX-Evil: 1" }) };
    expect(await lookUp({}, bad).catch((thrown) => thrown)).toBeInstanceOf(RestorerError);
  });
});

describe("files, in order:", () => {
  const entry = (user: string) => auths({ "reg.io": { auth: basic(`${user}:p`) } });
  const all: Tree = {
    "own.json": entry("own"),
    "dir/config.json": entry("dir"),
    ".docker/config.json": entry("home"),
    "named.json": entry("named"),
    "run/containers/auth.json": entry("runtime"),
    ".config/containers/auth.json": entry("config"),
  };
  const env = (home: TempDir) => ({
    CNB_REGISTRY_AUTH_FILE: home.join("own.json"),
    DOCKER_CONFIG: home.join("dir"),
    REGISTRY_AUTH_FILE: home.join("named.json"),
    XDG_RUNTIME_DIR: home.join("run"),
  });
  const without =
    (...names: (keyof ReturnType<typeof env>)[]) =>
    (home: TempDir) => ({
      ...env(home),
      ...Object.fromEntries(names.map((name) => [name, undefined])),
    });

  test("CNB_REGISTRY_AUTH_FILE", async () => {
    expect(await lookUp(all, env)).toMatchObject({ login: "own:p", source: "~/own.json (auths)" });
  });
  test("DOCKER_CONFIG", async () => {
    expect((await lookUp(all, without("CNB_REGISTRY_AUTH_FILE"))).login).toBe("dir:p");
  });
  test("docker's in the home directory", async () => {
    expect((await lookUp(all, without("CNB_REGISTRY_AUTH_FILE", "DOCKER_CONFIG"))).login).toBe("home:p");
  });
  test("REGISTRY_AUTH_FILE", async () => {
    const { ".docker/config.json": _, ...tree } = all;
    expect((await lookUp(tree, without("CNB_REGISTRY_AUTH_FILE", "DOCKER_CONFIG"))).login).toBe("named:p");
  });
  test("podman's at run time, podman's configuration", async () => {
    const { ".docker/config.json": _, ...tree } = all;
    const names = ["CNB_REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE"] as const;
    expect((await lookUp(tree, without(...names))).login).toBe("runtime:p");
    expect((await lookUp(tree, without(...names, "XDG_RUNTIME_DIR"))).login).toBe("config:p");
  });
  test("none", async () => {
    expect(await lookUp({}, {})).toMatchObject({ kind: "anonymous", source: anonymous.source });
  });

  test("docker's and podman's are not merged: the first that exists counts, though it has nothing for the registry", async () => {
    const tree = { ".docker/config.json": auths({}), "named.json": entry("named") };
    const only = (home: TempDir) => ({ REGISTRY_AUTH_FILE: home.join("named.json") });
    expect((await lookUp(tree, only)).kind).toBe("anonymous");
  });

  test("ours is only for what it names", async () => {
    const tree = { "own.json": auths({ "else.io": { auth: basic("x:y") } }), ".docker/config.json": entry("home") };
    expect((await lookUp(tree, (home) => ({ CNB_REGISTRY_AUTH_FILE: home.join("own.json") }))).login).toBe("home:p");
  });

  test("ours missing or malformed is an error with exit code 1", async () => {
    for (const tree of [{}, { "own.json": "{ s3cret" }]) {
      const error = await lookUp(tree, (home) => ({ CNB_REGISTRY_AUTH_FILE: home.join("own.json") })).catch((e) => e);
      expect(error).toBeInstanceOf(RestorerError);
      expect(Bun.inspect(error)).not.toContain("s3cret");
    }
  });

  test("a malformed docker configuration is a warning without its text, and no credentials", async () => {
    for (const text of ["{ s3cret", "[]", '{"auths":"s3cret"}']) {
      const { kind, log } = await lookUp({ ".docker/config.json": text }, {});
      expect(kind).toBe("anonymous");
      expect(log.join("\n")).toMatch(/warn Not using the credentials in .*config\.json/);
      expect(log.join("\n")).not.toContain("s3cret");
    }
  });

  test("a directory in a file's place is none, a pipe is not waited for", async () => {
    expect((await lookUp({ ".docker/config.json": {} }, {})).kind).toBe("anonymous");
    using home = tempDir("keychain", { ".docker": {} });
    Bun.spawnSync(["mkfifo", home.join(".docker/config.json")]);
    const log = record();
    await resolveKeychain({ env: { HOME: home.path }, registries: ["reg.io"], log });
    expect(log.lines.join("\n")).toContain("not a regular file");
  });

  test("an empty file is one without credentials", async () => {
    const { kind, log } = await lookUp({ ".docker/config.json": "" }, {});
    expect([kind, log.filter((line) => line.startsWith("warn"))]).toEqual(["anonymous", []]);
  });
});

describe("an entry of auths", () => {
  const lookUpIn = (entries: Record<string, unknown>, registry?: string, repository?: string) =>
    lookUp({ ".docker/config.json": auths(entries) }, {}, registry, repository);

  test("may have a URL for a key", async () => {
    expect((await lookUpIn({ "https://reg.io/v2/": { auth: basic("u:p") } })).login).toBe("u:p");
    expect((await lookUpIn({ "http://reg.io:5000": { auth: basic("u:p") } }, "reg.io:5000")).login).toBe("u:p");
    expect((await lookUpIn({ "reg.io/v1/": { auth: basic("u:p") } })).login).toBe("u:p");
  });

  test("of Docker Hub goes by any of its names, the oldest first", async () => {
    for (const key of ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "https://registry-1.docker.io"]) {
      expect((await lookUpIn({ [key]: { auth: basic("u:p") } }, hub)).login).toBe("u:p");
    }
    const both = { "docker.io": { auth: basic("new:p") }, "https://index.docker.io/v1/": { auth: basic("old:p") } };
    expect((await lookUpIn(both, hub)).login).toBe("old:p");
  });

  test("for a part of a registry is taken there, the most specific one first", async () => {
    const entries = {
      "reg.io": { auth: basic("all:p") },
      "reg.io/org": { auth: basic("org:p") },
      "reg.io/org/app": { auth: basic("app:p") },
    };
    expect((await lookUpIn(entries, "reg.io", "org/app")).login).toBe("app:p");
    expect((await lookUpIn(entries, "reg.io", "org/application")).login).toBe("org:p");
    expect((await lookUpIn(entries, "reg.io", "other/app")).login).toBe("all:p");
  });

  test("may have user name and password, an identity token, a registry token", async () => {
    expect((await lookUpIn({ "reg.io": { username: "u", password: "p:q" } })).login).toBe("u:p:q");
    const identity = { auth: basic("00000000-0000-0000-0000-000000000000:"), identitytoken: "refresh" };
    expect(await lookUpIn({ "reg.io": identity })).toMatchObject({
      kind: "identity",
      identity: "refresh",
      login: undefined,
    });
    expect(await lookUpIn({ "reg.io": { auth: basic("<token>:refresh") } })).toMatchObject({ identity: "refresh" });
    expect(await lookUpIn({ "reg.io": { registrytoken: "tok" } })).toMatchObject({ kind: "bearer", bearer: "tok" });
  });

  test("keeps passwords of any characters", async () => {
    const password = "pä$$:wörd €";
    expect((await lookUpIn({ "reg.io": { auth: basic(`u:${password}`) } })).login).toBe(`u:${password}`);
  });

  test("that is empty or malformed is none; malformed with a warning", async () => {
    expect((await lookUpIn({ "reg.io": {} })).kind).toBe("anonymous");
    for (const bad of [5, { auth: 7 }, { auth: basic("s3cret") }, null]) {
      const { kind, log } = await lookUpIn({ "reg.io": bad });
      expect(kind).toBe("anonymous");
      expect(log.join("\n")).toContain("malformed entry");
      expect(log.join("\n")).not.toContain("s3cret");
    }
  });
});

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
    await resolveKeychain({ env, registries: ["reg.io"], log: record() });
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
    ["fails", "echo s3cret; echo s3cret >&2; exit 3", "exit 3"],
    ["prints nonsense", "echo s3cret", "other than credentials"],
    ["prints without end", "yes s3cret", "more than"],
    ["never answers, nor lets its children end", "sleep 1000 & sleep 1000", "did not answer within 0.3 s"],
    ["never answers, and leaves a daemon", "setsid sleep 20 & sleep 1000", "did not answer within 0.3 s"],
  ])("that %s is a warning without what it printed", async (_, script, words) => {
    const since = performance.now();
    const { kind, log } = await run(script, { credsStore: "test" }, "reg.io", {
      helperMs: script.includes("sleep") ? 300 : 20_000,
    });
    expect(kind).toBe("anonymous");
    expect(log.join("\n")).toContain(words);
    expect(log.join("\n")).not.toContain("s3cret");
    expect(performance.now() - since).toBeLessThan(15_000);
  });

  test("that leaves a daemon behind, which holds its stdout, has answered", async () => {
    const since = performance.now();
    const { login, log } = await run(`setsid sleep 20 & ${answer("u", "p")}`, { credsStore: "test" });
    expect(login).toBe("u:p");
    expect(log.filter((line) => line.startsWith("warn"))).toEqual([]);
    expect(performance.now() - since).toBeLessThan(9000);
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
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error("ended")), 100);
    const asked = run("sleep 1000", { credsStore: "test" }, "reg.io", { signal: stop.signal });
    expect(asked).rejects.toThrow("ended");
    await asked.catch(() => {});
  });
});

test("a registry that is not in use has no credentials, and its helper is not asked", async () => {
  const config = { credHelpers: { "other.io": "absent" }, auths: { "other.io": { auth: basic("u:p") } } };
  using home = tempDir("keychain", { ".docker/config.json": JSON.stringify(config) });
  const log = record();
  const keychain = await resolveKeychain({ env: { HOME: home.path, PATH: "" }, registries: ["reg.io"], log });
  expect(keychain.for("other.io", "x/y")).toBe(anonymous);
  expect(log.lines.filter((line) => line.startsWith("warn"))).toEqual([]);
});

test("a credential shows its source but no secret, however it is printed", () => {
  const credential = new Credential("here", { basic: basic("u:s3cret"), identity: "s3cret-2", bearer: "s3cret-3" });
  const nested = { list: [credential] };
  for (const shown of [
    JSON.stringify(nested),
    Bun.inspect(nested),
    String(credential),
    require("node:util").inspect(nested, { showHidden: true, depth: 9 }),
    JSON.stringify(structuredClone({ ...credential })),
  ]) {
    expect(shown).not.toMatch(/s3cret/);
    expect(shown).not.toContain(basic("u:s3cret"));
  }
  expect(Bun.inspect(credential)).toContain("here");
});
