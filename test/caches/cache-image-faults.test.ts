// Runs alone: what it says about time should be about the restorer, not about other tests.
/**
 * The executable and a cache image in a registry that fails: a run costs what the fault is about and nothing more, says so
 * once, leaves nothing half, tells no secret, and ends by itself.
 */
import { expect, describe as group, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { analyzedToml, cacheMetadata, groupToml, metadataName } from "../support/cache-fixture.ts";
import {
  digestOf,
  type Fault,
  type FaultRegistryOptions,
  type FaultRule,
  type RecordedRequest,
  startFaultRegistry,
  startSilentServer,
  type TestImage,
  type TestImageOptions,
  testImage,
} from "../support/fault-registry.ts";
import {
  have,
  type RunOptions,
  type RunResult,
  runRestorer,
  type Snapshot,
  snapshot,
  startRestorer,
  tempDir,
} from "../support/harness.ts";
import { headerOf, tarOf, tarTrailer } from "../support/tar-writer.ts";

const data: Readonly<Record<string, Buffer>> = { one: randomBytes(2_000_000), two: randomBytes(50_000) };
const names = Object.keys(data);
const parents = ["/layers", "/layers/bp"].map((name) => ({ name, type: "directory" }) as const);
const tars = names.map((name) =>
  tarOf([
    ...parents,
    { name: `/layers/bp/${name}`, type: "directory" },
    { name: `/layers/bp/${name}/data`, data: data[name] ?? "" },
  ]),
);
const sbomTar = tarOf([
  ...["/layers", "/layers/sbom", "/layers/sbom/cache"].map((name) => ({ name, type: "directory" }) as const),
  { name: "/layers/sbom/cache/bp/one/sbom.cdx.json", data: "{}" },
]);

/** The cache's label; each layer's sha is its diffID unless another one is given. */
function labelOf(shas: Readonly<Record<string, string>> = {}, sbomSha = ""): Record<string, string> {
  const layers = names.map((name) => ({ name, data: { name } }));
  const shaOf = (_: string, name: string) => shas[name] ?? digestOf(tars[names.indexOf(name)] ?? Buffer.alloc(0));
  return { [metadataName]: cacheMetadata([{ id: "bp", layers }], shaOf, sbomSha) };
}

function cacheImage(options: TestImageOptions = {}): TestImage {
  return testImage({ layers: tars, labels: labelOf(), ...options });
}

/** The cache image, but with other bytes as the blob of its first layer; size and digest are theirs. */
function imageWith(blob: Uint8Array, options: TestImageOptions = {}, digest = digestOf(blob)): TestImage {
  const descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size: blob.length };
  const image = cacheImage({
    ...options,
    editManifest: (manifest) => ({ ...manifest, layers: [descriptor, ...layersOf(manifest).slice(1)] }),
  });
  return { ...image, blobs: new Map([...image.blobs, [descriptor.digest, blob]]) };
}

interface Descriptor {
  readonly digest: string;
}

function layersOf(manifest: Record<string, unknown>): Descriptor[] {
  return manifest.layers as Descriptor[];
}

const manifestOf = ({ bytes }: TestImage) =>
  JSON.parse(Buffer.from(bytes).toString()) as { config: Descriptor; layers: Descriptor[] };

const healthy = cacheImage();
const plain = cacheImage({ compression: "none" });
const [gzipped = Buffer.alloc(0), plainTar = Buffer.alloc(0)] = [gzipSync(tars[0] ?? ""), tars[0]];
const anyManifest = /\/manifests\//;
const configOf = (image: TestImage) => new RegExp(manifestOf(image).config.digest);
const blobOf = (image: TestImage, layer = 0) => new RegExp(manifestOf(image).layers[layer]?.digest ?? "none");

/** Lets a few through at a time; the rest wait. */
class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(free: number) {
    this.#free = free;
  }

  async pass<T>(run: () => Promise<T>): Promise<T> {
    while (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#free--;
    try {
      return await run();
    } finally {
      this.#free++;
      this.#waiting.shift()?.();
    }
  }
}

/** For the runs that do not spend their time waiting. */
const gate = new Gate(3);

interface Setup extends FaultRegistryOptions {
  readonly image?: TestImage;
  readonly rules?: readonly FaultRule[];
  readonly args?: readonly string[];
  readonly run?: RunOptions;
  /** Of the credentials that the run gets for the registry: the value of CNB_REGISTRY_AUTH. */
  readonly header?: string;
  /** Does not wait for others. */
  readonly isSlow?: boolean;
}

interface Outcome extends RunResult {
  readonly after: Snapshot;
  readonly requests: readonly RecordedRequest[];
  readonly host: string;
}

/** Restores from a fresh registry into a fresh layers directory. */
async function restore(setup: Setup = {}): Promise<Outcome> {
  const { image = healthy, args = [], header, isSlow = false, run: options, ...registry } = setup;
  await using server = await startFaultRegistry(registry);
  const { host, requests } = server;
  server.push("cache", "latest", image);
  using dir = tempDir("faults", { "group.toml": groupToml([{ id: "bp" }]), "analyzed.toml": analyzedToml() });
  const auth = header === undefined ? {} : { CNB_REGISTRY_AUTH: JSON.stringify({ [host]: header }) };
  const run = () =>
    runRestorer(["-layers", dir.path, "-cache-image", `${host}/cache`, ...args], {
      ...options,
      env: { ...auth, ...options?.env },
    });
  const result = await (isSlow ? run() : gate.pass(run));
  return { ...result, after: snapshot(dir.path), requests, host };
}

/** The layers directory holds these layers, byte for byte, and nothing else: nothing half, nothing of the restorer's own. */
function expectLayers(after: Snapshot, layers: readonly string[], more: readonly string[] = []): void {
  const digest = (name: string) => digestOf(data[name] ?? Buffer.alloc(0)).replace("sha256:", "");
  const expected = layers.flatMap((name) => [`bp/${name}`, `bp/${name}.toml`, `bp/${name}/data ${digest(name)}`]);
  const found = [...after].map(([path, { sha256 }]) => (path.endsWith("/data") ? `${path} ${sha256}` : path));
  const always = ["analyzed.toml", "group.toml", ...(layers.length > 0 ? ["bp"] : []), ...more];
  expect(found.sort()).toEqual([...always, ...expected].sort());
}

/** One warning of at most two lines, in plain words. */
function expectWarning(stderr: string, ...words: (string | RegExp)[]): void {
  expect(stderr.trimEnd().split("\n").length).toBeLessThanOrEqual(2);
  expect(stderr.match(/^Warning: /gm)).toHaveLength(1);
  expect(stderr).toStartWith("Warning: ");
  expect(stderr).not.toMatch(/^ +at |\.ts:|\[object |undefined/m);
  for (const each of words) expect(stderr).toMatch(each);
}

function expectWarm({ exitCode, stderr, after }: Outcome): void {
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expectLayers(after, names);
}

/** The first layer is missing, for one reason; the second one is there. */
function expectNeighbour({ exitCode, stderr, after }: Outcome, ...words: (string | RegExp)[]): void {
  expectWarning(stderr, 'Not restoring "bp:one": ', ...words);
  expect(exitCode).toBe(0);
  expectLayers(after, ["two"]);
}

function expectCold({ exitCode, stderr, after }: Outcome, ...words: (string | RegExp)[]): void {
  expectWarning(stderr, "Not using the cache: ", ...words);
  expect(exitCode).toBe(0);
  expectLayers(after, []);
}

/** A fault, with what its warning tells. */
type Case = readonly [what: string, setup: Setup, ...words: (string | RegExp)[]];

/** Every case is restored twice: as it is, and strictly. */
function forEach(cases: readonly Case[], expectOutcome: typeof expectCold): void {
  for (const [what, setup, ...words] of cases) {
    test.concurrent(what, async () => {
      const strictly = { ...setup, args: ["-strict", ...(setup.args ?? [])] };
      const [outcome, strict] = await Promise.all([restore(setup), restore(strictly)]);
      expectOutcome(outcome, ...words);
      expect(strict.exitCode).toBe(42);
      expect(strict.stderr).toMatch(/^ERROR: /m);
      expect([...strict.after.keys()].filter((path) => path.includes(".restorer") || path.includes("one"))).toEqual([]);
    }, 120_000);
  }
}

const statuses = [401, 403, 429, 500, 503];
const status = (code: number): Fault => ({ kind: "status", status: code, body: "<b>secret page</b>" });

/** How long a run may take that has to do with a server which stalls; it is killed after that. */
const bound = { timeoutMs: 75_000 };

// First, for they take longest: all others run meanwhile.
group("a server that stalls does not hang the run", () => {
  const slow = (name: string, run: () => Promise<void>) => test.concurrent(name, run, 120_000);
  const stall = (path: RegExp, at?: number): FaultRule[] => [
    { path, fault: at === undefined ? { kind: "stall" } : { kind: "stall", at } },
  ];
  const cold: [step: string, setup: Setup][] = [
    ["before the manifest", { rules: stall(anyManifest) }],
    ["in the manifest", { rules: stall(anyManifest, 10) }],
    ["before the config", { rules: stall(configOf(healthy)) }],
    ["in the config", { rules: stall(configOf(healthy), 10) }],
    ["before a token", { auth: { kind: "token" }, rules: stall(/\/token/) }],
    ["in a token", { auth: { kind: "token" }, rules: stall(/\/token/, 5) }],
  ];
  for (const [step, setup] of cold) {
    slow(step, async () => {
      expectCold(await restore({ ...setup, isSlow: true, run: bound }), "127.0.0.1");
    });
  }

  const partial: [step: string, rules: FaultRule[]][] = [
    ["before a blob", stall(blobOf(healthy))],
    ["in a blob", stall(blobOf(healthy), 100_000)],
    ["all but, at a byte now and then", [{ path: blobOf(healthy), fault: { kind: "trickle", everyMs: 200 } }]],
  ];
  for (const [step, rules] of partial) {
    slow(step, async () => {
      expectNeighbour(await restore({ rules, isSlow: true, run: bound }), "127.0.0.1");
    });
  }

  slow("in every blob", async () => {
    const rules = [0, 1].flatMap((layer) => stall(blobOf(healthy, layer), 1000));
    const { exitCode, stderr, after } = await restore({ rules, isSlow: true, run: bound });
    expect(exitCode).toBe(0);
    expect(stderr.match(/^Warning: Not restoring "bp:(one|two)": /gm)).toHaveLength(2);
    expectLayers(after, []);
  });

  slow("in a blob once: the rest is asked for, and the layer is whole", async () => {
    const rules: FaultRule[] = [{ path: blobOf(healthy), times: 1, fault: { kind: "stall", at: 1_000_000 } }];
    const outcome = await restore({ rules, isSlow: true, run: bound });
    expectWarm(outcome);
    const ranges = outcome.requests
      .filter(({ path }) => blobOf(healthy).test(path))
      .map(({ headers }) => headers.range);
    expect(ranges).toEqual([undefined, "bytes=1000000-"]);
  });

  slow("that a redirect leads to", async () => {
    await using silent = await startSilentServer();
    const fault: Fault = { kind: "redirect", to: `http://${silent.host}/blob` };
    expectNeighbour(await restore({ rules: [{ path: blobOf(healthy), fault }], isSlow: true, run: bound }));
  });

  async function restoreFrom(registry: string, analyzed = analyzedToml(), runToml = "") {
    using dir = tempDir("stall", { "analyzed.toml": analyzed, "group.toml": groupToml([{ id: "bp" }]) });
    using run = tempDir("run-toml", { "run.toml": runToml });
    const args = ["-layers", dir.path, "-cache-image", `${registry}/cache`, "-run", run.join("run.toml")];
    const result = await runRestorer(args, bound);
    return { ...result, after: snapshot(dir.path) };
  }

  slow("and never says a word", async () => {
    await using silent = await startSilentServer();
    const { exitCode, stderr, after } = await restoreFrom(silent.host);
    expectWarning(stderr, "Not using the cache: ", silent.host);
    expect(exitCode).toBe(0);
    expectLayers(after, []);
  });

  if (!have("python3")) console.error("SKIPPED, needs python3: a server that does not even take connections");
  else {
    slow("and does not even take connections", async () => {
      await using deaf = await startDeafServer();
      const { exitCode, stderr, after } = await restoreFrom(deaf.host);
      expectWarning(stderr, "Not using the cache: ", deaf.host);
      expect(exitCode).toBe(0);
      expectLayers(after, []);
    });
  }

  slow("where the run image's registry stalls, too", async () => {
    await using silent = await startSilentServer();
    await using other = await startSilentServer();
    await using mirror = await startFaultRegistry();
    const [selected, taken] = [`${silent.host}/run`, `${mirror.host}/run`];
    mirror.push("run", "latest", testImage());
    const analyzed = analyzedToml({ runImage: { reference: selected, image: selected } });
    const runToml = `[[images]]\nimage = "${selected}"\nmirrors = ["${taken}"]\n`;
    const { exitCode, signal, stderr } = await restoreFrom(other.host, analyzed, runToml);
    expect({ exitCode, signal }).toEqual({ exitCode: 0, signal: null });
    expect(stderr).toContain(taken);
    expect(stderr).toContain("Not using the cache: ");
  });
});

/** A listener whose queue is full: connections to it are never made. */
async function startDeafServer(): Promise<AsyncDisposable & { readonly host: string }> {
  const script = `
import socket, sys
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(0)
clients = [socket.socket() for _ in range(8)]
for client in clients:
    client.setblocking(False)
    client.connect_ex(server.getsockname())
print(server.getsockname()[1], flush=True)
sys.stdin.read()
`;
  const child = Bun.spawn(["python3", "-c", script], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  const { value } = await child.stdout.getReader().read();
  const end = async () => {
    child.stdin.end();
    await child.exited;
  };
  return {
    host: `127.0.0.1:${Buffer.from(value ?? [])
      .toString()
      .trim()}`,
    [Symbol.asyncDispose]: end,
  };
}

group("a blob that is not what it should be costs its layer", () => {
  const damage = (fault: Fault, image = healthy): Setup => ({ image, rules: [{ path: blobOf(image), fault }] });
  const zstd = cacheImage({ compression: "zstd" });
  const otherDigest = `sha256:${"1".repeat(64)}`;
  /** The config and the label agree about the first layer's diffID; its contents have another. */
  const wrongDiffId = cacheImage({
    labels: labelOf({ one: otherDigest }),
    editConfig: (config) => ({
      ...config,
      rootfs: { type: "layers", diff_ids: [otherDigest, digestOf(tars[1] ?? Buffer.alloc(0))] },
    }),
  });
  forEach(
    [
      ["another byte", damage({ kind: "corrupt" }), /digest|gzip/],
      ["another byte, uncompressed", damage({ kind: "corrupt" }, plain), "digest"],
      ["another byte, in zstd", damage({ kind: "corrupt" }, zstd), /digest|zstd/],
      ["garbage", damage({ kind: "garbage" }), "127.0.0.1"],
      ["half of it, announced as all", damage({ kind: "short" }), `where the image says ${gzipped.length}`],
      ["a hundred bytes too many", damage({ kind: "trailing", announced: true }), `${gzipped.length}`],
      ["a hundred bytes too many, unannounced", damage({ kind: "trailing", announced: false }), `${gzipped.length}`],
      ["a body without end", damage({ kind: "huge", bytes: 100e9 })],
      ["the right archive, but another digest", { image: imageWith(gzipped, {}, otherDigest) }, otherDigest, "digest"],
      ["another diffID", { image: wrongDiffId }, otherDigest, "digest"],
      ["gzip cut off", { image: imageWith(gzipped.subarray(0, gzipped.length - 20)) }, "gzip"],
      ["gzip cut off in its header", { image: imageWith(gzipped.subarray(0, 6)) }, "gzip"],
      ["bytes after the gzip data", { image: imageWith(Buffer.concat([gzipped, Buffer.from("junk")])) }, "gzip"],
      ["bytes after the archive", { image: imageWith(Buffer.concat([plainTar, Buffer.from("junk")])) }],
      [
        "the archive of another layer",
        { image: cacheImage({ labels: labelOf({ one: digestOf(tars[1] ?? Buffer.alloc(0)) }) }) },
      ],
      ["no layer in the image", { image: cacheImage({ labels: labelOf({ one: otherDigest }) }) }, otherDigest],
      ["no digest in the label", { image: cacheImage({ labels: labelOf({ one: "../../etc/passwd" }) }) }, "passwd"],
    ],
    expectNeighbour,
  );

  /** A small blob, in many parts, for an archive with one file of many zeros. */
  const bomb = (megabytes: number, compress: (bytes: Uint8Array) => Buffer, announced = megabytes * MiB): Setup => {
    const headers = [...parents, { name: "/layers/bp/one", type: "directory" } as const].map((entry) =>
      headerOf(entry, 0),
    );
    const start = Buffer.concat([...headers, headerOf({ name: "/layers/bp/one/data", size: announced }, 0)]);
    const zeros = Array<Buffer>(megabytes / 4).fill(compress(Buffer.alloc(4 * MiB)));
    return { image: imageWith(Buffer.concat([compress(start), ...zeros, compress(tarTrailer)])) };
  };
  const MiB = 1024 * 1024;
  forEach(
    [
      ["a small blob that expands beyond all measure", bomb(300, zstdCompressSync), "expands to more than"],
      ["a small blob that says it will", bomb(4, gzipSync, 2 ** 42)],
      ["a small blob that expands to a lot, all of it wrong", bomb(128, gzipSync), "digest"],
    ],
    expectNeighbour,
  );
});

group("a blob in an unusual shape is a blob", () => {
  const tar = plainTar;
  const half = tar.length >> 1;
  const inParts = (compress: (bytes: Uint8Array) => Buffer) =>
    Buffer.concat([compress(tar.subarray(0, half)), compress(tar.subarray(half))]);
  const shapes: [what: string, blob: Buffer][] = [
    ["gzip in two members", inParts(gzipSync)],
    ["zstd in two frames", inParts(zstdCompressSync)],
    ["gzip with zeros after it", Buffer.concat([gzipped, Buffer.alloc(1000)])],
    ["zstd with zeros after it", Buffer.concat([zstdCompressSync(tar), Buffer.alloc(1000)])],
  ];
  for (const [what, blob] of shapes) {
    test.concurrent(what, async () => expectWarm(await restore({ image: imageWith(blob) })), 120_000);
  }

  test.concurrent("and one that fails does not spoil those that the same threads work on next", async () => {
    const many = Array.from({ length: 16 }, (_, i) => `layer-${i}`);
    const contents = many.map((_, i) => randomBytes(i % 4 === 0 ? 1_500_000 : 3000));
    const archives = many.map((name, i) =>
      tarOf([
        ...parents,
        { name: `/layers/bp/${name}`, type: "directory" },
        { name: `/layers/bp/${name}/data`, data: contents[i] ?? "" },
      ]),
    );
    const shaOf = (_: string, name: string) => digestOf(archives[many.indexOf(name)] ?? Buffer.alloc(0));
    const label = cacheMetadata([{ id: "bp", layers: many.map((name) => ({ name })) }], shaOf);
    const image = testImage({ layers: archives, labels: { [metadataName]: label }, compression: "zstd" });
    const faults: Fault[] = [
      { kind: "corrupt" },
      { kind: "short" },
      { kind: "trailing", announced: false },
      { kind: "cut", at: 0 },
    ];
    const rules = faults.map((fault, i) => ({ path: blobOf(image, 3 * i), fault }));
    const { exitCode, stderr, after } = await restore({ image, rules });
    expect(exitCode).toBe(0);
    expect([...(stderr.match(/^Warning: Not restoring "bp:layer-\d+": /gm) ?? [])].sort()).toEqual(
      faults.map((_, i) => `Warning: Not restoring "bp:layer-${3 * i}": `).sort(),
    );
    const there = many.filter((_, i) => i % 3 !== 0 || i >= 3 * faults.length);
    const digests = there.map((name) => `${name} ${digestOf(contents[many.indexOf(name)] ?? Buffer.alloc(0))}`);
    const found = [...after].filter(([path]) => path.endsWith("/data"));
    expect(found.map(([path, { sha256 }]) => `${path.split("/")[1]} sha256:${sha256}`).sort()).toEqual(digests.sort());
    const tomls = [...after.keys()].filter((path) => path.startsWith("bp/") && path.endsWith(".toml"));
    expect(tomls).toHaveLength(there.length);
  });
});

group("a registry that fails at a blob costs its layer", () => {
  const at = (fault: Fault): Setup => ({ rules: [{ path: blobOf(healthy), fault }] });
  forEach(
    [
      ...[...statuses, 404].map((code): Case => [`with ${code}`, at(status(code)), "127.0.0.1", `${code}`]),
      ["by ending the connection instead of an answer", at({ kind: "reset" }), "127.0.0.1"],
      ["by ending every connection at once", at({ kind: "cut", at: 0 }), "127.0.0.1"],
      ["by a redirect in circles", at({ kind: "redirect", to: "#" }), "redirects"],
      [
        "by a redirect to a machine's own credentials",
        at({ kind: "redirect", to: "http://169.254.169.254/x" }),
        "169.254",
      ],
    ],
    (outcome, ...words) => {
      expectNeighbour(outcome, ...words);
      expect(outcome.stderr).not.toContain("secret page");
    },
  );

  test.concurrent("and none of the SBOM files costs the layers nothing", async () => {
    const image = testImage({ layers: [...tars, sbomTar], labels: labelOf({}, digestOf(sbomTar)) });
    const { exitCode, stderr, after } = await restore({
      image,
      rules: [{ path: blobOf(image, 2), fault: { kind: "corrupt" } }],
    });
    expectWarning(stderr, "Not restoring SBOM files from cache: ");
    expect(exitCode).toBe(0);
    expectLayers(after, names);
    expectLayers((await restore({ image })).after, names, ["bp/one.sbom.cdx.json"]);
  });
});

group("a registry that fails at the image costs the cache", () => {
  const places: [where: string, path: RegExp][] = [
    ["manifest", anyManifest],
    ["config", configOf(healthy)],
  ];
  for (const [where, path] of places) {
    const at = (fault: Fault): Setup => ({ rules: [{ path, fault }] });
    forEach(
      [
        ...statuses.map(
          (code): Case => [`with ${code} at its ${where}`, at(status(code)), "127.0.0.1", `${code}`, "credentials"],
        ),
        [`with another byte in its ${where}`, at({ kind: "corrupt" }), where],
        [`with garbage as its ${where}`, at({ kind: "garbage" }), where],
        [`with half of its ${where}`, at({ kind: "short" }), where],
        [`with a ${where} of 50 MB`, at({ kind: "huge", bytes: 50e6 }), where, "more than"],
        [`by ending the connection at its ${where}`, at({ kind: "reset" }), where],
      ],
      (outcome, ...words) => {
        expectCold(outcome, ...words);
        expect(outcome.stderr).not.toContain("secret page");
      },
    );
  }
  const labelled = (text: string): Setup => ({ image: cacheImage({ labels: { [metadataName]: text } }) });
  forEach(
    [
      ["with 404 at its config", { rules: [{ path: configOf(healthy), fault: status(404) }] }, "404"],
      ["with a label that is no JSON", labelled("{"), "cache"],
      ["with a label that is no object", labelled("[1]"), "cache"],
      [
        "with fewer diffIDs than layers",
        { image: cacheImage({ editConfig: (config) => ({ ...config, rootfs: { diff_ids: [] } }) }) },
      ],
      [
        "with a layer from elsewhere",
        {
          image: cacheImage({
            editManifest: (manifest) => ({
              ...manifest,
              layers: layersOf(manifest).map((layer) => ({ ...layer, urls: ["https://example.com/"] })),
            }),
          }),
        },
      ],
      [
        "as long as its token server is down",
        { auth: { kind: "token", realm: "http://127.0.0.1:1/token" } },
        "127.0.0.1:1",
        "token",
      ],
      [
        "as long as its token server fails",
        { auth: { kind: "token" }, rules: [{ path: /^\/token/, fault: status(503) }] },
        "token",
        "503",
      ],
      [
        "as long as its token server talks nonsense",
        { auth: { kind: "token" }, rules: [{ path: /^\/token/, fault: { kind: "garbage" } }] },
        "token",
      ],
      [
        "whose token server is a machine's own metadata service",
        { auth: { kind: "token", realm: "http://169.254.169.254/token" } },
        "169.254.169.254",
      ],
    ],
    expectCold,
  );

  test.concurrent("but an image that is not there is a first build, and a repository that is not there a warning", async () => {
    const missing = (code: string): Setup => ({
      rules: [
        { path: anyManifest, fault: { kind: "status", status: 404, body: JSON.stringify({ errors: [{ code }] }) } },
      ],
    });
    const first = await restore(missing("MANIFEST_UNKNOWN"));
    expect(first).toMatchObject({ exitCode: 0, stderr: "" });
    expect(first.stdout).toContain("Layer cache not found: cache image");
    const wrong = await restore(missing("NAME_UNKNOWN"));
    expect(wrong).toMatchObject({ exitCode: 0 });
    expectWarning(wrong.stderr, `No cache image "${wrong.host}/cache"`, "404");
  });
});

group("what passes is waited for", () => {
  const cases: [what: string, setup: Setup][] = [
    ["503 twice", { rules: [{ path: /./, times: 2, fault: status(503) }] }],
    [
      "429 with a time to wait",
      { rules: [{ path: /./, times: 1, fault: { kind: "status", status: 429, headers: { "retry-after": "1" } } }] },
    ],
    [
      "a connection that ends at each step",
      {
        rules: [anyManifest, configOf(healthy), blobOf(healthy)].map((path) => ({
          path,
          times: 1,
          fault: { kind: "reset" },
        })),
      },
    ],
    [
      "a manifest and a config cut off",
      { rules: [anyManifest, configOf(healthy)].map((path) => ({ path, times: 1, fault: { kind: "cut" } })) },
    ],
    ["a blob cut off twice", { rules: [{ path: blobOf(healthy), times: 2, fault: { kind: "cut" } }] }],
    [
      "a blob cut off, and a server that knows no ranges",
      {
        rules: [
          { path: blobOf(healthy), times: 1, fault: { kind: "cut" } },
          { path: blobOf(healthy), fault: { kind: "ignore-range" } },
        ],
      },
    ],
    [
      "a token server that takes its time",
      { auth: { kind: "token" }, rules: [{ path: /^\/token/, fault: { kind: "trickle", everyMs: 10 } }] },
    ],
    ["a token that is good for two requests", { auth: { kind: "token", uses: 2 } }],
    ["a token that expires at once", { auth: { kind: "token", expiresIn: 1 } }],
    ["HEAD refused", { rules: [{ path: /./, method: "HEAD", fault: status(405) }] }],
  ];
  for (const [what, setup] of cases) {
    test.concurrent(what, async () => expectWarm(await restore(setup)), 120_000);
  }

  test.concurrent("and every byte of a blob that was cut off is asked for once", async () => {
    const outcome = await restore({ image: plain, rules: [{ path: blobOf(plain), times: 1, fault: { kind: "cut" } }] });
    expectWarm(outcome);
    const [first, second] = outcome.requests.filter(({ path }) => blobOf(plain).test(path));
    expect(first?.headers.range).toBeUndefined();
    expect(second?.headers.range ?? "bytes=0-").toMatch(/^bytes=\d+-$/);
  });
});

group("secrets", () => {
  const [user, password] = ["builder", "pa55word-of-the-day"];
  const encoded = Buffer.from(`${user}:${password}`).toString("base64");
  const debug = ["-log-level", "debug"];
  const login = { header: `Basic ${encoded}`, args: debug };

  function expectNoSecret({ stdout, stderr, requests }: Outcome, ...more: string[]): void {
    const tokens = requests.flatMap(
      ({ headers }) => /^(?:Bearer|Basic) (.*)$/.exec(headers.authorization?.toString() ?? "")?.[1] ?? [],
    );
    const said = `${stdout}${stderr}`;
    expect(said).toContain("GET ");
    for (const secret of [password, encoded, ...tokens, ...more]) expect(said).not.toContain(secret);
  }

  const several: [what: string, setup: Setup][] = [
    ["where there are several challenges in as many headers", { challenge: ["Negotiate", 'Basic realm="test"'] }],
    [
      "where there are several challenges in one",
      { challenge: 'Negotiate abc==, Digest realm="a,b", nonce="Basic x", Basic realm="test"' },
    ],
  ];
  for (const [what, setup] of several) {
    test.concurrent(`are shown to the registry, and to nobody else, ${what}`, async () => {
      const outcome = await restore({ auth: { kind: "basic", user: `${user}:${password}` }, ...setup, ...login });
      expectWarm(outcome);
      expectNoSecret(outcome);
    });
  }

  test.concurrent("are not told when they are refused", async () => {
    const echo: Fault = {
      kind: "status",
      status: 401,
      body: JSON.stringify({ errors: [{ message: `bad ${encoded} ${password}` }] }),
    };
    const outcome = await restore({ rules: [{ path: /./, fault: echo }], challenge: 'Basic realm="x"', ...login });
    expectCold(outcome, "401", "CNB_REGISTRY_AUTH");
    expectNoSecret(outcome);
  });

  test.concurrent("and tokens go to the registry alone, wherever it redirects", async () => {
    await using elsewhere = await startFaultRegistry();
    elsewhere.push("cache", "latest", healthy);
    const to = (digest: string | undefined) => `${elsewhere.url}/v2/cache/blobs/${digest}?signature=t0psecret`;
    const { config, layers } = manifestOf(healthy);
    const outcome = await restore({
      auth: { kind: "token", user: `${user}:${password}` },
      ...login,
      rules: [config, ...layers].map(({ digest }) => ({
        path: new RegExp(digest),
        fault: { kind: "redirect", to: to(digest) },
      })),
    });
    expectWarm(outcome);
    expectNoSecret(outcome, "t0psecret");
    expect(outcome.requests.some(({ headers }) => headers.authorization !== undefined)).toBe(true);
    expect(elsewhere.requests).toHaveLength(3);
    for (const { headers, query } of elsewhere.requests) {
      expect(query).toBe("?signature=t0psecret");
      expect(Object.keys(headers).sort()).toEqual(["accept", "accept-encoding", "connection", "host", "user-agent"]);
      expect(headers["user-agent"]).toBe("restorer");
    }
  });

  test.concurrent("do not follow a manifest to another host either", async () => {
    await using elsewhere = await startFaultRegistry({ auth: { kind: "basic", user: `${user}:${password}` } });
    elsewhere.push("cache", "latest", healthy);
    const fault: Fault = { kind: "redirect", to: `${elsewhere.url}/v2/cache/manifests/latest` };
    const outcome = await restore({ rules: [{ path: anyManifest, fault }], ...login });
    expectCold(outcome, "401", elsewhere.host);
    expectNoSecret({ ...outcome, requests: [] });
    expect(elsewhere.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });
});

group("a run that is asked to stop", () => {
  const stops: [where: string, setup: Setup, path: RegExp][] = [
    ["before the manifest", { rules: [{ path: anyManifest, fault: { kind: "stall" } }] }, anyManifest],
    ["in the config", { rules: [{ path: configOf(healthy), fault: { kind: "stall", at: 5 } }] }, configOf(healthy)],
    [
      "before a token",
      { auth: { kind: "token" }, rules: [{ path: /^\/token/, fault: { kind: "stall" } }] },
      /^\/token/,
    ],
    ["in a blob", { rules: [{ path: blobOf(healthy), fault: { kind: "stall", at: 500_000 } }] }, blobOf(healthy)],
    ["between two attempts at a blob", { rules: [{ path: blobOf(healthy), fault: status(503) }] }, blobOf(healthy)],
  ];
  for (const [where, { rules = [], ...setup }, path] of stops) {
    test.concurrent(`${where} stops at once, with nothing half`, async () => {
      await using server = await startFaultRegistry({ rules, ...setup });
      server.push("cache", "latest", healthy);
      using dir = tempDir("stop", { "group.toml": groupToml([{ id: "bp" }]), "analyzed.toml": analyzedToml() });
      const args = ["-layers", dir.path, "-cache-image", `${server.host}/cache`];
      const run = startRestorer(args);
      while (!server.requests.some((request) => path.test(request.path))) await Bun.sleep(10);
      run.kill("SIGTERM");
      const { exitCode, stderr } = await run.result;
      expect(exitCode).toBe(143);
      expect(stderr).toBe("Warning: stopped by SIGTERM\n");
      // On a machine too busy to clean up within a second something stays, where nobody takes it for a layer.
      const after: Snapshot = new Map([...snapshot(dir.path)].filter(([name]) => !name.startsWith(".restorer-")));
      const isThere = after.has("bp/two");
      expectLayers(after, isThere ? ["two"] : [], after.has("bp") && !isThere ? ["bp"] : []);
      // The next run removes that, and has everything.
      server.rules.length = 0;
      expect(await gate.pass(() => runRestorer(args))).toMatchObject({ exitCode: 0, stderr: "" });
      expectLayers(snapshot(dir.path), names);
    }, 120_000);
  }
});
