/** Cache images in Debian's `docker-registry`, restored by the executable: formats, credentials, certificates, requests. */
import { afterAll, beforeAll, expect, describe as group } from "bun:test";
import { createPrivateKey, randomBytes, sign, X509Certificate } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { analyzedToml, type CachedBuildpack, groupToml, makeCache, metadataName } from "../support/cache-fixture.ts";
import { type TestImage, type TestImageOptions, testImage, testIndex } from "../support/fault-registry.ts";
import {
  differences,
  directory,
  file,
  have,
  isRoot,
  link,
  type RunResult,
  runRestorer,
  type Snapshot,
  skipUnless,
  snapshot,
  type TempDir,
  tempDir,
} from "../support/harness.ts";

const program = Bun.which("docker-registry") ?? Bun.which("registry");
const withRegistry = skipUnless(program !== null, "docker-registry");
const withHtpasswd = skipUnless(program !== null && have("htpasswd"), "docker-registry and htpasswd");
const withOpenssl = skipUnless(program !== null && have("openssl"), "docker-registry and openssl");
const withSkopeo = skipUnless(program !== null && have("skopeo"), "docker-registry and skopeo");
const withUmoci = skipUnless(program !== null && have("skopeo") && have("umoci"), "docker-registry, skopeo and umoci");

/** Runs a tool to its end; what it printed. */
function run(...argv: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(argv, { stdin: "ignore" });
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
  return stdout.toString();
}

/** Polls until there is something; for what another process writes when it likes. */
async function eventually<T>(what: string, look: () => T | undefined): Promise<T> {
  for (let tries = 0; tries < 1000; tries++) {
    const found = look();
    if (found !== undefined) return found;
    await Bun.sleep(20);
  }
  throw new Error(`waited in vain for ${what}`);
}

interface RealRegistry extends AsyncDisposable {
  /** `127.0.0.1:<port>` */
  readonly host: string;
  /** What the restorer was answered about a repository: `200 manifests/v1`, in alphabetical order. */
  answers(repository: string, atLeast: number): Promise<string[]>;
}

/** Parts of a docker-registry's configuration. */
interface Settings {
  readonly auth?: object;
  readonly tls?: object;
}

/** Starts a docker-registry on a port of its own choice. It ends with this process, however that ends. */
async function startRegistry(dir: TempDir, name: string, { auth, tls }: Settings = {}): Promise<RealRegistry> {
  if (program === null) throw new Error("no docker-registry");
  const [config, log, access] = [dir.join(`${name}.yml`), dir.join(`${name}.log`), dir.join(`${name}.access`)];
  const http = { addr: "127.0.0.1:0", tls };
  const storage = { filesystem: { rootdirectory: dir.join("storage") } };
  // JSON is YAML, too.
  writeFileSync(config, JSON.stringify({ version: "0.1", log: { level: "info" }, storage, auth, http }));
  const script = '"$@" & trap "kill $!" EXIT; read _';
  const child = Bun.spawn(["sh", "-c", script, "sh", program, "serve", config], {
    stdin: "pipe",
    stdout: Bun.file(access),
    stderr: Bun.file(log),
  });
  const listening = () => /listening on (127\.0\.0\.1:\d+)/.exec(readFileSync(log, "utf8"))?.[1];
  const host = await eventually("docker-registry", listening).catch((error: unknown) => {
    child.kill();
    throw new Error(`${error}: ${readFileSync(log, "utf8")}`);
  });
  const line = /"GET \/v2\/(\S+) HTTP\/1\.1" (\d+) .*"restorer"$/gm;
  return {
    host,
    answers: (repository, atLeast) =>
      eventually(`${atLeast} answers about ${repository}`, () => {
        const all = [...readFileSync(access, "utf8").matchAll(line)].map(([, path = "", status = ""]) => ({
          path,
          status,
        }));
        const about = all.filter(({ path }) => path.startsWith(`${repository}/`));
        if (about.length < atLeast) return undefined;
        return about.map(({ path, status }) => `${status} ${path.slice(repository.length + 1)}`).sort();
      }),
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await child.exited;
    },
  };
}

/** Pushes an image, or an index and its members, byte for byte. */
async function push(registry: RealRegistry, repository: string, tag: string, image: TestImage): Promise<void> {
  for (const member of image.members) await push(registry, repository, member.digest, member);
  const api = `http://${registry.host}/v2/${repository}`;
  for (const [digest, bytes] of image.blobs) {
    const { headers } = await fetched(`${api}/blobs/uploads/`, { method: "POST" });
    const location = new URL(headers.get("location") ?? "", api);
    location.searchParams.set("digest", digest);
    await fetched(location.href, { method: "PUT", body: Buffer.from(bytes) });
  }
  const headers = { "content-type": image.mediaType };
  await fetched(`${api}/manifests/${tag}`, { method: "PUT", headers, body: Buffer.from(image.bytes) });
}

async function fetched(url: string, init: RequestInit): Promise<Response> {
  const response = await fetch(url, init);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return response;
}

/** What all tests of this file share: a cache, what it restores to, and a registry where everybody may push and pull. */
interface Shared extends AsyncDisposable {
  readonly dir: TempDir;
  readonly open: RealRegistry;
  /** The layers directory after a restore from the cache as a directory. */
  readonly expected: Snapshot;
  /** Blobs of the cache: those that a restore needs come first. */
  readonly layers: readonly Buffer[];
  readonly needed: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

const buildpacks = (dir: TempDir): CachedBuildpack[] => [
  {
    id: "example/node",
    layers: [
      { name: "deps", tree: dir.join("deps"), build: true, data: { lockfile: "abc", builds: 3 } },
      { name: "tools", tree: dir.join("tools") },
      { name: "unused", tree: dir.join("unused"), cache: false },
    ],
  },
  { id: "not/ours", layers: [{ name: "other", tree: dir.join("other") }] },
];

async function share(): Promise<Shared> {
  const dir = tempDir("cache-image", {
    deps: { bin: { run: file("#!/bin/sh\n", 0o755) }, data: randomBytes(3_000_000), text: "a\n".repeat(400_000) },
    tools: { module: directory({ "go.mod": file("module x\n", 0o444) }, 0o555), latest: link("module") },
    unused: { file: "unused" },
    other: { file: "other" },
    sbom: { example_node: { deps: { "sbom.cdx.json": '{"bomFormat":"CycloneDX"}' } } },
    cache: {},
    storage: {},
  });
  const cache = makeCache(dir.join("cache"), buildpacks(dir), { sbom: { tree: dir.join("sbom") } });
  const needed = [cache.sha("example/node", "deps"), cache.sha("example/node", "tools"), cache.sbomSha ?? ""];
  const names = readdirSync(cache.committed).filter((name) => name.endsWith(".tar"));
  const order = [...needed, ...names.map((name) => name.replace(".tar", "")).filter((sha) => !needed.includes(sha))];
  const layers = order.map((sha) => readFileSync(`${cache.committed}/${sha}.tar`));
  const labels = { [metadataName]: readFileSync(cache.metadataPath, "utf8") };
  const open = await startRegistry(dir, "open");

  const target = layersIn(dir, "expected");
  const result = await runRestorer(["-layers", target, "-cache-dir", cache.path]);
  expect(result).toMatchObject({ exitCode: 0, stderr: "" });
  const end = async () => {
    await open[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  };
  return { dir, open, expected: snapshot(target), layers, needed, labels, [Symbol.asyncDispose]: end };
}

/** A fresh layers directory with its inputs. */
function layersIn(dir: TempDir, name: string): string {
  const path = dir.join(`${name}-layers`);
  mkdirSync(path);
  writeFileSync(`${path}/group.toml`, groupToml([{ id: "example/node" }]));
  writeFileSync(`${path}/analyzed.toml`, analyzedToml());
  return path;
}

let shared: Shared | undefined;
beforeAll(async () => {
  if (program !== null) shared = await share();
});
afterAll(async () => {
  await shared?.[Symbol.asyncDispose]();
});

function all(): Shared {
  if (shared === undefined) throw new Error("there is no registry");
  return shared;
}

const cacheImage = (options: TestImageOptions = {}): TestImage => testImage({ ...all(), ...options });

/** The blob of each layer that a restore needs, as the image has it. */
function neededBlobs(image: TestImage): string[] {
  const manifest = JSON.parse(Buffer.from(image.bytes).toString()) as { layers: { digest: string }[] };
  return manifest.layers.slice(0, all().needed.length).map(({ digest }) => digest);
}

interface Restore extends RunResult {
  readonly after: Snapshot;
}

/** Restores from a cache image into a fresh layers directory. */
async function restore(image: string, env: Record<string, string> = {}, ...args: string[]): Promise<Restore> {
  using dir = tempDir("layers");
  const layers = layersIn(dir, "fresh");
  const result = await runRestorer(["-layers", layers, "-cache-image", image, "-log-level", "debug", ...args], { env });
  return { ...result, after: snapshot(layers) };
}

/** Everything came back, as from a cache directory, and without a word of warning. */
function expectWarm({ exitCode, stderr, after }: Restore): void {
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(differences(after, all().expected)).toEqual([]);
}

/** Nothing came back, and one warning says why. */
function expectCold({ exitCode, stderr, after }: Restore, ...why: (string | RegExp)[]): void {
  expect(exitCode).toBe(0);
  expect(stderr).toMatch(/^Warning: Not using the cache: [^\n]*\n$/);
  for (const words of why) expect(stderr).toMatch(words);
  expect([...after.keys()]).toEqual(["analyzed.toml", "group.toml"]);
}

function expectNoSecret({ stdout, stderr }: RunResult, ...secrets: string[]): void {
  for (const secret of secrets) {
    for (const form of [secret, Buffer.from(secret).toString("base64")])
      expect(`${stdout}${stderr}`).not.toContain(form);
  }
}

group("a cache image", () => {
  const formats: [format: "oci" | "docker", compression: "gzip" | "zstd" | "none"][] = [
    ["oci", "gzip"],
    ["oci", "zstd"],
    ["oci", "none"],
    ["docker", "gzip"],
    ["docker", "none"],
  ];
  for (const [format, compression] of formats) {
    const what = compression === "none" ? "uncompressed" : compression;
    withRegistry(`with ${format} media types and ${what} layers costs one request for each thing needed`, async () => {
      const { open } = all();
      const image = cacheImage({ format, compression });
      const repository = `${format}-${compression}`;
      await push(open, repository, "v1", image);
      expectWarm(await restore(`${open.host}/${repository}:v1`));
      const config = (JSON.parse(Buffer.from(image.bytes).toString()) as { config: { digest: string } }).config.digest;
      const wanted = ["200 manifests/v1", ...[config, ...neededBlobs(image)].map((digest) => `200 blobs/${digest}`)];
      expect(await open.answers(repository, wanted.length)).toEqual(wanted.sort());
    });
  }

  withRegistry("is found by tag, by digest and by both, the digest being what counts", async () => {
    const { open } = all();
    const image = cacheImage();
    await push(open, "named", "latest", image);
    await push(open, "named", "other", testImage());
    for (const name of ["named", "named:latest", `named@${image.digest}`, `named:other@${image.digest}`]) {
      expectWarm(await restore(`${open.host}/${name}`));
    }
  });

  withRegistry("in an index costs one request more", async () => {
    const { open } = all();
    const image = cacheImage();
    const index = testIndex([
      { image: testImage({ architecture: "none" }), platform: { os: "windows", architecture: "amd64" } },
      { image, platform: { os: "linux", architecture: "amd64" } },
    ]);
    await push(open, "indexed", "latest", index);
    expectWarm(await restore(`${open.host}/indexed`));
    const answers = await open.answers("indexed", 3 + neededBlobs(image).length);
    expect(answers.filter((line) => line.includes("manifests"))).toEqual(
      [`200 manifests/${image.digest}`, "200 manifests/latest"].sort(),
    );
    expect(answers).toHaveLength(3 + neededBlobs(image).length);
  });

  withRegistry("that holds nothing new costs no request for a layer", async () => {
    const { open } = all();
    await push(open, "empty", "latest", testImage());
    const { after, ...result } = await restore(`${open.host}/empty`);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expect([...after.keys()]).toEqual(["analyzed.toml", "group.toml"]);
    expect(await open.answers("empty", 2)).toHaveLength(2);
  });

  withRegistry("that is not there yet is a first build", async () => {
    const { open } = all();
    await push(open, "begun", "other", testImage());
    for (const name of ["begun:v1", "never/begun"]) {
      const first = await restore(`${open.host}/${name}`);
      expect(first).toMatchObject({ exitCode: 0, stderr: "" });
      expect(first.stdout).toContain("Layer cache not found: cache image");
      expect([...first.after.keys()]).toEqual(["analyzed.toml", "group.toml"]);
    }
  });

  /** The cache image as an OCI layout, uncompressed; its path for skopeo. */
  function layoutIn(dir: TempDir): string {
    const { bytes, mediaType, digest, blobs } = cacheImage({ compression: "none" });
    mkdirSync(dir.join("layout", "blobs", "sha256"), { recursive: true });
    for (const [name, content] of [...blobs, [digest, bytes] as const]) {
      writeFileSync(dir.join("layout", "blobs", name.replace(":", "/")), content);
    }
    writeFileSync(dir.join("layout", "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
    const annotations = { "org.opencontainers.image.ref.name": "v1" };
    const manifests = [{ mediaType, digest, size: bytes.length, annotations }];
    writeFileSync(dir.join("layout", "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
    return dir.join("layout");
  }
  const skopeo = (...args: string[]) => run("skopeo", "copy", "--quiet", "--dest-tls-verify=false", ...args);

  const conversions: [what: string, ...options: string[]][] = [
    ["gzip", "--dest-compress-format=gzip"],
    ["zstd", "--dest-compress-format=zstd"],
    ["as-it-is", "--preserve-digests"],
    ["docker", "--format=v2s2"],
  ];
  for (const [what, ...options] of conversions) {
    withSkopeo(`pushed by skopeo (${what}) comes back whole`, async () => {
      using dir = tempDir("skopeo");
      const { open, needed } = all();
      skopeo(...options, `oci:${layoutIn(dir)}:v1`, `docker://${open.host}/skopeo-${what}`);
      expectWarm(await restore(`${open.host}/skopeo-${what}`));
      expect(await open.answers(`skopeo-${what}`, 2 + needed.length)).toHaveLength(2 + needed.length);
    });
  }

  withUmoci("made by umoci comes back whole", async () => {
    using dir = tempDir("umoci");
    const { open, layers, labels } = all();
    const image = `${dir.join("layout")}:v1`;
    run("umoci", "init", "--layout", dir.join("layout"));
    run("umoci", "new", "--image", image);
    for (const [i, layer] of layers.entries()) {
      writeFileSync(dir.join(`${i}.tar`), layer);
      run("umoci", "raw", "add-layer", "--image", image, dir.join(`${i}.tar`));
    }
    for (const [name, value] of Object.entries(labels)) {
      run("umoci", "config", "--image", image, "--config.label", `${name}=${value}`);
    }
    skopeo(`oci:${image}`, `docker://${open.host}/umoci`);
    expectWarm(await restore(`${open.host}/umoci`));
  });
});

const [user, password] = ["builder", "s3cret-passw0rd!"];
const basic = (secret: string) => Buffer.from(`${user}:${secret}`).toString("base64");
const asVariable = (host: string, header: string) => ({ CNB_REGISTRY_AUTH: JSON.stringify({ [host]: header }) });

group("a registry with a list of passwords", () => {
  let registry: RealRegistry | undefined;
  beforeAll(async () => {
    if (program === null || !have("htpasswd")) return;
    const { dir, open } = all();
    writeFileSync(dir.join("htpasswd"), run("htpasswd", "-nbB", "-C", "4", user, password));
    const htpasswd = { realm: "test", path: dir.join("htpasswd") };
    registry = await startRegistry(dir, "basic", { auth: { htpasswd } });
    await push(open, "private/cache", "latest", cacheImage());
  });
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
    withHtpasswd(`opens to the password in ${where}, which is never shown`, async () => {
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

  withHtpasswd("is challenged once, whatever the number of layers", async () => {
    const before = (await registry?.answers("private/cache", 0)) ?? [];
    expectWarm(await restore(`${host()}/private/cache`, asVariable(host(), `Basic ${basic(password)}`)));
    const requests = 1 + 2 + all().needed.length;
    const after = (await registry?.answers("private/cache", before.length + requests)) ?? [];
    expect(after).toHaveLength(before.length + requests);
    const refused = (lines: readonly string[]) => lines.filter((line) => line.startsWith("401")).length;
    expect(refused(after) - refused(before)).toBe(1);
  });

  withHtpasswd("stays closed to a wrong password, to that of another registry, and to nobody", async () => {
    const wrong = await restore(`${host()}/private/cache`, asVariable(host(), `Basic ${basic("guess-guess")}`));
    expectCold(wrong, host(), "401", "credentials: CNB_REGISTRY_AUTH", "Check that the credentials");
    expectNoSecret(wrong, "guess-guess", `${user}:guess-guess`);
    const other = await restore(`${host()}/private/cache`, asVariable("127.0.0.1:1", `Basic ${basic(password)}`));
    expectCold(other, host(), "401", "credentials: none found, anonymous", "CNB_REGISTRY_AUTH");
    expectNoSecret(other, password, `${user}:${password}`);
    expectCold(await restore(`${host()}/private/cache`), "401", "No credentials");
  });

  const asRoot = skipUnless(isRoot && program !== null && have("htpasswd"), "root, docker-registry and htpasswd");
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

  withHtpasswd("that stays closed fails a strict run", async () => {
    const { exitCode, stderr, after } = await restore(`${host()}/private/cache`, {}, "-strict");
    expect(exitCode).toBe(42);
    expect(stderr).toMatch(/^ERROR: .*401/);
    expect([...after.keys()]).toEqual(["analyzed.toml", "group.toml"]);
  });
});

/** A certificate and its key; of an authority, or else signed by itself. */
function certificate(dir: TempDir, name: string, authority?: { readonly cert: string; readonly key: string }) {
  const [cert, key] = [dir.join(`${name}.pem`), dir.join(`${name}.key`)];
  const signer = authority === undefined ? [] : ["-CA", authority.cert, "-CAkey", authority.key];
  const server = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key];
  const extensions = name === "authority" ? [] : server;
  run(
    "openssl",
    "req",
    "-x509",
    ...curve,
    "-out",
    cert,
    "-days",
    "30",
    "-subj",
    `/CN=${name}`,
    ...signer,
    ...extensions,
  );
  return { cert, key };
}

interface TokenServer extends Disposable {
  readonly realm: string;
  readonly requests: {
    readonly method: string;
    readonly authorization: string | null;
    readonly scope: string | null;
  }[];
  /** A token that lets its bearer pull a repository. */
  token(repository: string): string;
}

const service = "test-registry";
const issuer = "test-issuer";
const refreshToken = "refresh-me-0123456789";

/** Hands out what docker-registry's `auth: token` takes: JWTs signed by a key whose certificate it knows. */
function startTokenServer({ cert, key }: { readonly cert: string; readonly key: string }): TokenServer {
  const requests: TokenServer["requests"] = [];
  const privateKey = createPrivateKey(readFileSync(key));
  const x5c = [new X509Certificate(readFileSync(cert)).raw.toString("base64")];
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  function token(repository: string): string {
    const now = Math.floor(Date.now() / 1000);
    const access = [{ type: "repository", name: repository, actions: ["pull"] }];
    const life = { iat: now, nbf: now - 600, exp: now + 3600 };
    const claims = { iss: issuer, sub: user, aud: service, jti: crypto.randomUUID(), access, ...life };
    const signed = `${part({ typ: "JWT", alg: "ES256", x5c })}.${part(claims)}`;
    const signature = sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" });
    return `${signed}.${signature.toString("base64url")}`;
  }
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { method, headers } = request;
      const asked = method === "POST" ? new URLSearchParams(await request.text()) : new URL(request.url).searchParams;
      const [authorization, scope] = [headers.get("authorization"), asked.get("scope")];
      requests.push({ method, authorization, scope });
      const known = authorization === `Basic ${basic(password)}` || asked.get("refresh_token") === refreshToken;
      const repository = /^repository:([^:]+):pull$/.exec(scope ?? "")?.[1];
      if (!known) return Response.json({ details: "incorrect username or password" }, { status: 401 });
      if (repository === undefined || asked.get("service") !== service) return new Response("bad", { status: 400 });
      return Response.json({ [method === "POST" ? "access_token" : "token"]: token(repository), expires_in: 3600 });
    },
  });
  return {
    realm: `http://127.0.0.1:${server.port}/token`,
    requests,
    token,
    [Symbol.dispose]: () => void server.stop(true),
  };
}

group("a registry with a token server", () => {
  let registry: RealRegistry | undefined;
  let tokens: TokenServer | undefined;
  beforeAll(async () => {
    if (program === null || !have("openssl")) return;
    const { dir, open } = all();
    const signer = certificate(dir, "signer");
    tokens = startTokenServer(signer);
    const { realm } = tokens;
    registry = await startRegistry(dir, "token", {
      auth: { token: { realm, service, issuer, rootcertbundle: signer.cert } },
    });
    await push(open, "guarded/cache", "latest", cacheImage());
  });
  afterAll(async () => {
    tokens?.[Symbol.dispose]();
    await registry?.[Symbol.asyncDispose]();
  });
  const host = () => registry?.host ?? "";
  /** Restores, and tells what the token server was asked for it. */
  async function guarded(env: Record<string, string>) {
    const before = tokens?.requests.length ?? 0;
    const result = await restore(`${host()}/guarded/cache`, env);
    return { result, asked: tokens?.requests.slice(before) ?? [] };
  }
  const scope = "repository:guarded/cache:pull";

  withOpenssl("opens to a token got with a password: one challenge and one token for the whole run", async () => {
    const authorization = `Basic ${basic(password)}`;
    const { result, asked } = await guarded(asVariable(host(), authorization));
    expectWarm(result);
    expect(asked).toEqual([{ method: "GET", authorization, scope }]);
    expectNoSecret(result, password, `${user}:${password}`);
    expect(`${result.stdout}${result.stderr}`).not.toContain("eyJ");
    const answers = (await registry?.answers("guarded/cache", 1 + 2 + all().needed.length)) ?? [];
    expect(answers.filter((line) => line.startsWith("401"))).toHaveLength(1);
    expect(answers).toHaveLength(1 + 2 + all().needed.length);
  });

  withOpenssl("opens to a token got with a refresh token", async () => {
    const auths = { [host()]: { identitytoken: refreshToken } };
    using dir = tempDir("auth", { "config.json": JSON.stringify({ auths }) });
    const { result, asked } = await guarded({ DOCKER_CONFIG: dir.path });
    expectWarm(result);
    expect(asked).toEqual([{ method: "POST", authorization: null, scope }]);
    expectNoSecret(result, refreshToken);
  });

  withOpenssl("opens to a token that is there already", async () => {
    const token = tokens?.token("guarded/cache") ?? "";
    const { result, asked } = await guarded(asVariable(host(), `Bearer ${token}`));
    expectWarm(result);
    expect(asked).toEqual([]);
    expectNoSecret(result, token);
  });

  withOpenssl("stays closed where the token server refuses, and to a token for another repository", async () => {
    const { result, asked } = await guarded(asVariable(host(), `Basic ${basic("guess-guess")}`));
    expectCold(result, "401", "incorrect username or password", "CNB_REGISTRY_AUTH");
    expect(asked).toHaveLength(1);
    expectNoSecret(result, "guess-guess");
    const nobody = await guarded({});
    expectCold(nobody.result, "401", "credentials: none found, anonymous", "CNB_REGISTRY_AUTH");
    const elsewhere = await guarded(asVariable(host(), `Bearer ${tokens?.token("other/cache")}`));
    expectCold(elsewhere.result, "401", "CNB_REGISTRY_AUTH");
  });
});

group("a registry with a certificate", () => {
  let registry: RealRegistry | undefined;
  let selfSigned: RealRegistry | undefined;
  beforeAll(async () => {
    if (program === null || !have("openssl")) return;
    const { dir, open } = all();
    const tls = ({ cert, key }: ReturnType<typeof certificate>) => ({ tls: { certificate: cert, key } });
    const authority = certificate(dir, "authority");
    registry = await startRegistry(dir, "tls", tls(certificate(dir, "server", authority)));
    selfSigned = await startRegistry(dir, "self-signed", tls(certificate(dir, "alone")));
    await push(open, "tls/cache", "latest", cacheImage());
  });
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    await selfSigned?.[Symbol.asyncDispose]();
  });
  const image = (from: RealRegistry | undefined) => `${from?.host}/tls/cache`;
  const pem = (name: string) => readFileSync(all().dir.join(`${name}.pem`), "utf8");

  withOpenssl("of a private authority is trusted by SSL_CERT_FILE", async () => {
    expectWarm(await restore(image(registry), { SSL_CERT_FILE: all().dir.join("authority.pem") }));
  });

  withOpenssl("of a private authority is trusted by any file in any directory of SSL_CERT_DIR", async () => {
    using dir = tempDir("certificates", {
      first: { "not-a-certificate.txt": "hello\n", subdirectory: {}, "bad.pem": pem("authority").slice(0, 300) },
      second: { "our company's authorities": `# ours\n${pem("alone")}\n${pem("authority")}` },
    });
    expectWarm(await restore(image(registry), { SSL_CERT_DIR: `${dir.join("first")}:${dir.join("second")}` }));
  });

  withOpenssl("of a private authority is not trusted otherwise, nor asked for anything", async () => {
    const before = (await registry?.answers("tls/cache", 0)) ?? [];
    const env = asVariable(registry?.host ?? "", `Basic ${basic(password)}`);
    const result = await restore(image(registry), env);
    expectCold(result, registry?.host ?? "", "certificate", "SSL_CERT_FILE");
    expectNoSecret(result, password);
    using dir = tempDir("certificates", { "other.pem": pem("alone") });
    expectCold(await restore(image(registry), { SSL_CERT_FILE: dir.join("other.pem") }), "SSL_CERT_FILE");
    expect(await registry?.answers("tls/cache", 0)).toEqual(before);
  });

  withOpenssl("signed by itself is taken where the registry is named insecure, port and all", async () => {
    const host = selfSigned?.host ?? "";
    expectWarm(await restore(image(selfSigned), {}, "-insecure-registry", host));
    expectWarm(await restore(image(selfSigned), { CNB_INSECURE_REGISTRIES: `example.com,${host}` }));
    expectWarm(await restore(image(selfSigned), { SSL_CERT_FILE: all().dir.join("alone.pem") }));
    expectCold(await restore(image(selfSigned)), host, "certificate");
    for (const other of ["127.0.0.1", "127.0.0.1:1", host.replace("127.0.0.1", "localhost")]) {
      expectCold(await restore(image(selfSigned), {}, "-insecure-registry", other), host, "certificate");
    }
  });
});
