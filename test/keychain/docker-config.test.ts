import { describe, expect, test } from "bun:test";
import { RestorerError } from "../../lib/failures.ts";
import { anonymous } from "../../lib/keychain/credential.ts";
import { resolveKeychain } from "../../lib/keychain/keychain.ts";
import { file, type TempDir, type Tree, tempDir } from "../support/harness.ts";
import { auths, basic, hub, lookUp, record } from "../support/keychain-fixture.ts";

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

  test("a directory in a file's place does not count, a pipe is not waited for", async () => {
    expect((await lookUp({ ".docker/config.json": {} }, {})).kind).toBe("anonymous");
    using home = tempDir("keychain", { ".docker": {} });
    Bun.spawnSync(["mkfifo", home.join(".docker/config.json")]);
    const log = record();
    await resolveKeychain({ env: { HOME: home.path }, images: [{ registry: "reg.io", repository: "org/app" }], log });
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

  test("that is empty or malformed does not count; malformed with a warning", async () => {
    for (const empty of [{}, null, { auth: null }, { auth: "", username: null }, { email: 5 }]) {
      const { kind, log } = await lookUpIn({ "reg.io": empty });
      expect([kind, log.filter((line) => line.startsWith("warn"))]).toEqual(["anonymous", []]);
    }
    for (const bad of [5, "s3cret", { auth: 7 }, { auth: basic("s3cret") }, { registrytoken: "s3\u0000cret" }]) {
      const { kind, log } = await lookUpIn({ "reg.io": bad });
      expect(kind).toBe("anonymous");
      expect(log.join("\n")).toContain("malformed entry");
      expect(log.join("\n")).not.toContain("s3cret");
    }
  });

  test("are read around what they do not need", async () => {
    const odd = {
      auth: basic("u:p"),
      username: null,
      password: 5,
      identitytoken: null,
      registrytoken: ["x"],
      email: {},
    };
    expect((await lookUpIn({ "reg.io": odd, "else.io": 5, other: null })).login).toBe("u:p");
    expect((await lookUpIn({ "reg.io": { auth: 5, username: "u", password: "p" } })).login).toBe("u:p");
    expect((await lookUpIn({ "reg.io": { auth: "none", identitytoken: " refresh\n" } })).identity).toBe("refresh");
  });

  test("may have been written by hand, on any machine", async () => {
    const plain = auths({ "reg.io": { auth: basic("user:password of some length, so that it is wrapped by base64") } });
    const wrapped = plain.replace(/"auth":".{60}/, "$&\n");
    expect(wrapped).not.toBe(plain);
    const utf16 = Buffer.from(`\ufeff${plain}`, "utf16le");
    const files = [
      `\ufeff${plain}`,
      ` \n${plain}\n`,
      wrapped,
      wrapped.replace("\n", "\r\n"),
      utf16,
      Buffer.from(utf16).swap16(),
    ];
    for (const content of files) {
      const { login } = await lookUp({ ".docker/config.json": file(content) }, {});
      expect(login).toBe("user:password of some length, so that it is wrapped by base64");
    }
    expect((await lookUpIn({ " https://reg.io/ ": { auth: `${basic("u:p\n")}\n` } })).login).toBe("u:p");
  });
});

test.each<[what: string, tree: Tree, named: string, meant: string]>([
  ["is a file", { "docker.json": auths({}) }, "docker.json", "docker.json"],
  [
    "has only what Kubernetes mounts",
    { secret: { ".dockerconfigjson": auths({}) } },
    "secret",
    "secret/.dockerconfigjson",
  ],
  ["has only what Kubernetes mounted once", { secret: { ".dockercfg": "{}" } }, "secret", "secret/.dockercfg"],
  [
    "has a directory where the file should be",
    { secret: { "config.json": { "config.json": auths({}) } } },
    "secret",
    "secret/config.json/config.json",
  ],
  [
    "has the mounted secret where the file should be",
    { secret: { "config.json": { ".dockerconfigjson": auths({}) } } },
    "secret",
    "secret/config.json/.dockerconfigjson",
  ],
])("what DOCKER_CONFIG names that %s is told, with what was meant", async (_, tree, named, meant) => {
  const { kind, log } = await lookUp(tree, (home) => ({ DOCKER_CONFIG: home.join(named) }));
  expect(kind).toBe("anonymous");
  const [warning = "", ...others] = log.filter((line) => line.startsWith("warn"));
  expect(warning).toContain(`DOCKER_CONFIG names a ${named === "secret" ? "directory" : "file"}, "~/${named}"`);
  expect(warning).toMatch(new RegExp(`set CNB_REGISTRY_AUTH_FILE to (it|"~/${RegExp.escape(meant)}")`));
  expect(others).toEqual([]);
});

test.each<[what: string, tree: Tree, words: string[]]>([
  [
    "what Kubernetes mounts",
    { ".docker": { ".dockerconfigjson": auths({}) } },
    [
      'The directory "~/.docker" holds .dockerconfigjson',
      'set CNB_REGISTRY_AUTH_FILE to "~/.docker/.dockerconfigjson"',
    ],
  ],
  ["an empty directory", { ".docker": { "config.json": {} } }, ['"~/.docker/config.json" is a directory']],
])("%s in the place of docker's own configuration is told", async (_, tree, words) => {
  const { kind, log } = await lookUp(tree, {});
  expect(kind).toBe("anonymous");
  const warnings = log.filter((line) => line.startsWith("warn"));
  expect(warnings).toHaveLength(1);
  for (const word of words) expect(warnings[0]).toContain(word);
});

test.each<[what: string, tree: Tree, words: string]>([
  ["a directory", { secret: {} }, '"~/secret": it is a directory'],
  ["a directory with docker's", { secret: { "config.json": auths({}) } }, 'did you mean "~/secret/config.json"?'],
  ["an old secret", { secret: { ".dockercfg": "{}" } }, 'did you mean "~/secret/.dockercfg"?'],
  ["a mounted secret", { secret: { ".dockerconfigjson": auths({}) } }, 'did you mean "~/secret/.dockerconfigjson"?'],
])("CNB_REGISTRY_AUTH_FILE that names %s says what was meant", async (_, tree, words) => {
  let home = "";
  const env = (dir: TempDir) => {
    home = dir.path;
    return { CNB_REGISTRY_AUTH_FILE: dir.join("secret") };
  };
  const error = await lookUp(tree, env).catch((thrown) => thrown);
  expect(error.message.replaceAll(home, "~")).toContain(words);
});

test("what DOCKER_CONFIG names that is fine is not worth a word; what is not there is", async () => {
  const both = {
    dir: { "config.json": auths({ "reg.io": { auth: basic("u:p") } }), ".dockerconfigjson": "{}" },
    empty: {},
  };
  const warnings = async (named: string) => {
    const { log } = await lookUp(both, (home) => ({ DOCKER_CONFIG: home.join(named) }));
    return log.filter((line) => line.startsWith("warn"));
  };
  expect([await warnings("dir"), await warnings("empty")]).toEqual([[], []]);
  for (const named of ["absent", "dir/absent/deeper"]) {
    const words = `DOCKER_CONFIG names a directory, "~/${named}", that does not exist: there are no credentials in it.`;
    expect(await warnings(named)).toEqual([`warn ${words}`]);
  }
});

test.each<[what: string, text: object, login: string | undefined]>([
  ["a .dockercfg, which is auths alone", { "https://reg.io/v1/": { auth: basic("u:p"), email: "x" } }, "u:p"],
  ["a .dockercfg with user names", { "else.io": null, "reg.io": { Username: "u", Password: "p" } }, "u:p"],
  ["no .dockercfg, as it has helpers", { "reg.io": { auth: basic("u:p") }, CredHelpers: {} }, undefined],
  ["no .dockercfg, as nothing in it is a secret", { "reg.io": { email: "x" } }, undefined],
  ["names in other cases", { AUTHS: { "reg.io": { Auth: basic("u:p") } } }, "u:p"],
  ["a name twice, once null", { Auths: { "reg.io": { auth: basic("u:p"), AUTH: null } }, auths: null }, "u:p"],
])("CNB_REGISTRY_AUTH_FILE may name %s", async (_, content, login) => {
  const tree = { secret: { ".dockercfg": JSON.stringify(content) } };
  const found = await lookUp(tree, (home) => ({ CNB_REGISTRY_AUTH_FILE: home.join("secret/.dockercfg") }));
  expect([found.login, found.log.filter((line) => line.startsWith("warn"))]).toEqual([login, []]);
});

test("what is wrong with one part of a configuration spoils no other", async () => {
  const stored = { "reg.io": { auth: basic("u:p") } };
  const deep = JSON.parse(`${"[".repeat(1000)}${"]".repeat(1000)}`);
  for (const more of [
    { plugins: deep },
    { credHelpers: null },
    { credHelpers: 5 },
    { credHelpers: { "reg.io": null, "else.io": 7 } },
  ]) {
    const text = JSON.stringify({ auths: stored, credsStore: null, proxies: 5, HttpHeaders: null, ...more });
    expect((await lookUp({ ".docker/config.json": text }, {})).login).toBe("u:p");
  }
  const { log } = await lookUp({ ".docker/config.json": '{"auths":["s3cret"],"credsStore":"absent"}' }, {});
  expect(log.join("\n")).toContain('its "auths" are not an object');
  expect(log.join("\n")).toContain("docker-credential-absent is not on PATH");
  expect(log.join("\n")).not.toContain("s3cret");
});
