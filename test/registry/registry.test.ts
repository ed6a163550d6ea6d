import { expect, describe as group, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { describe } from "../../lib/errors.ts";
import { createProxies } from "../../lib/http/proxy.ts";
import { resolveKeychain } from "../../lib/keychain/keychain.ts";
import type { Log } from "../../lib/log.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import { RegistryError } from "../../lib/registry/errors.ts";
import { createHosts } from "../../lib/registry/hosts.ts";
import { createRegistry, type Registry } from "../../lib/registry/registry.ts";
import type { RegistryTiming } from "../../lib/registry/timing.ts";
import { orAbort } from "../../lib/waiting.ts";
import {
  digestOf,
  type Fault,
  type FaultRegistry,
  type FaultRegistryOptions,
  type FaultRule,
  startFaultRegistry,
  startSilentServer,
  testImage,
  testIndex,
} from "../support/fault-registry.ts";
import { have, skipUnless, tempDir } from "../support/harness.ts";

/** Waits short enough for a test, long enough for a busy machine where something does answer. */
const quick: Partial<RegistryTiming> = { backoffMs: 1, backoffCapMs: 2, retryAfterMs: 5, spreadMs: 1, probeMs: 2000 };
/** For servers that never answer. */
const hasty: Partial<RegistryTiming> = { ...quick, answerMs: 150, probeMs: 100, stallMs: 150 };

const layers = [randomBytes(300_000), randomBytes(70_000)];
const image = testImage({ layers, labels: { hello: "world" }, compression: "none" });
const basic = (user: string) => `Basic ${Buffer.from(user).toString("base64")}`;

interface Setup {
  readonly auth?: Record<string, string>;
  readonly insecure?: readonly string[];
  readonly env?: Record<string, string | undefined>;
  readonly timing?: Partial<RegistryTiming>;
  readonly signal?: AbortSignal;
  readonly architecture?: string;
}

/** A client for a registry, and what it logs. */
async function client(registries: string[], setup: Setup = {}): Promise<{ registry: Registry; lines: string[] }> {
  const lines: string[] = [];
  const say = (message: string) => void lines.push(message);
  const log: Log = { level: "debug", debug: say, info: say, warn: say, error: say, flush() {} };
  const keychainEnv = { HOME: "/nonexistent", ...(setup.auth && { CNB_REGISTRY_AUTH: JSON.stringify(setup.auth) }) };
  const registry = createRegistry({
    keychain: await resolveKeychain({ env: keychainEnv, registries, log }),
    insecureRegistries: setup.insecure ?? [],
    env: setup.env ?? {},
    log,
    signal: setup.signal ?? new AbortController().signal,
    platform: { os: "linux", architecture: setup.architecture ?? "amd64" },
    timing: { ...quick, ...setup.timing },
  });
  return { registry, lines };
}

/** A fault registry with the test image in it as `org/app:v1`, and a client for it. */
async function serving(options: FaultRegistryOptions, setup: Setup | ((server: FaultRegistry) => Setup) = {}) {
  const server = await startFaultRegistry(options);
  server.push("org/app", "v1", image);
  const { registry, lines } = await client([server.host], typeof setup === "function" ? setup(server) : setup);
  return {
    server,
    registry,
    lines,
    reference: parseReference(`${server.host}/org/app:v1`),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

/** Fetches everything there is of the image, as a restore does. */
async function pull({ registry, reference }: { registry: Registry; reference: ReturnType<typeof parseReference> }) {
  const found = await registry.image(reference);
  const { config } = await registry.config(found);
  const blobs = await Promise.all(found.manifest.layers.map((layer) => collect(registry.blob(found, layer))));
  return { found, config, blobs };
}

async function failure(work: Promise<unknown>): Promise<RegistryError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(RegistryError);
  if (!(error instanceof RegistryError)) throw new Error(`not a RegistryError: ${error}`);
  return error;
}

const blobPath = (number: number) => new RegExp(`/blobs/${digestOf(layers[number] ?? Buffer.alloc(0))}`);
const anything = () => true;

group("an image", () => {
  test("costs one request for its manifest, one for its config and one for each blob, however often asked for", async () => {
    await using all = await serving({});
    const { found, config, blobs } = await pull(all);
    await pull(all);
    expect(found.descriptor).toEqual({ mediaType: image.mediaType, digest: image.digest, size: image.bytes.length });
    expect(Buffer.from(found.manifestBytes).equals(image.bytes)).toBe(true);
    expect(config.labels.get("hello")).toBe("world");
    expect(config.diffIds).toEqual(layers.map(digestOf));
    expect(blobs.map(digestOf)).toEqual(layers.map(digestOf));
    expect(all.server.count(/manifests/, anything)).toBe(1);
    expect(all.server.count(/./, anything)).toBe(2 + 2 * layers.length);
  });

  test("of an index costs one request more, and is the member for the platform", async () => {
    await using all = await serving({});
    const arm = testImage({ architecture: "arm64", labels: { is: "arm" } });
    const index = testIndex([
      { image: arm, platform: { os: "linux", architecture: "arm64" } },
      { image, platform: { os: "linux", architecture: "amd64" } },
    ]);
    all.server.push("org/app", "multi", index);
    const found = await all.registry.image(parseReference(`${all.server.host}/org/app:multi`));
    expect(found.descriptor.digest).toBe(image.digest);
    expect(all.server.count(/manifests/)).toBe(2);
    const { registry } = await client([all.server.host], { architecture: "s390x" });
    const error = await failure(registry.image(parseReference(`${all.server.host}/org/app:multi`)));
    expect(describe(error)).toContain("linux/s390x, only for linux/arm64, linux/amd64");
  });

  test("of an index may be asked for by the operating system alone: the first of it", async () => {
    await using all = await serving({});
    const members = ["arm64", "amd64"].map((architecture) => ({
      image: testImage({ architecture }),
      platform: { os: "linux", architecture },
    }));
    all.server.push("org/app", "multi", testIndex(members));
    const found = await all.registry.image(parseReference(`${all.server.host}/org/app:multi`), { os: "linux" });
    expect(found.descriptor.digest).toBe(members[0]?.image.digest ?? "");
  });

  test("may be named by digest, its own or its index's", async () => {
    await using all = await serving({});
    const index = testIndex([{ image, platform: { os: "linux", architecture: "amd64" } }]);
    all.server.push("org/app", "multi", index);
    for (const { digest } of [image, index]) {
      const found = await all.registry.image(parseReference(`${all.server.host}/org/app@${digest}`));
      expect(found.descriptor.digest).toBe(image.digest);
    }
  });

  test("that was checked for is not asked for again", async () => {
    await using all = await serving({});
    await all.registry.check(all.reference);
    await all.registry.image(all.reference);
    expect(all.server.count(/manifests/)).toBe(1);
  });

  test("in Docker's format is as good", async () => {
    await using all = await serving({});
    all.server.push("org/app", "v1", testImage({ layers, format: "docker" }));
    const { found } = await pull(all);
    expect(found.manifest.mediaType).toBe("application/vnd.docker.distribution.manifest.v2+json");
  });

  test("that does not exist is not found, by name", async () => {
    await using all = await serving({});
    for (const name of ["org/app:nope", "org/none", `org/app@${digestOf(Buffer.from("x"))}`]) {
      const error = await failure(all.registry.image(parseReference(`${all.server.host}/${name}`)));
      expect([error.notFound, error.status, error.unauthorized]).toEqual([true, 404, false]);
      expect(error.registryCode).toBe("MANIFEST_UNKNOWN");
      expect(error.message).toContain(`${all.server.host}/${name.split(":")[0]?.split("@")[0]}`);
      expect(error.message).toContain('"manifest unknown"');
    }
  });

  test("that lacks a blob is not one that does not exist", async () => {
    await using all = await serving({ rules: [{ path: blobPath(1), fault: { kind: "status", status: 404 } }] });
    const error = await failure(pull(all));
    expect([error.notFound, error.status]).toEqual([false, 404]);
  });
});

group("a wrong document is refused:", () => {
  test.each<[string, RegExp, Fault, string]>([
    ["a manifest with a wrong byte", /manifests/, { kind: "corrupt" }, "digest"],
    ["half a manifest", /manifests/, { kind: "short" }, "digest"],
    ["garbage for a manifest", /manifests/, { kind: "garbage" }, "digest"],
    ["a manifest with something after it", /manifests/, { kind: "trailing", announced: true }, "digest"],
    ["a manifest of 50 MB", /manifests/, { kind: "huge", bytes: 50_000_000 }, "more than"],
    ["a config with a wrong byte", /blobs/, { kind: "corrupt" }, "digest"],
    ["half a config", /blobs/, { kind: "short" }, "digest"],
    ["a config of 50 MB", /blobs/, { kind: "huge", bytes: 50_000_000 }, "more than"],
    ["a config with something after it", /blobs/, { kind: "trailing", announced: false }, "more than"],
  ])("%s", async (_, path, fault, words) => {
    await using all = await serving({ rules: [{ path, fault }] });
    const error = await failure(pull(all));
    expect(describe(error)).toContain(words);
    expect(describe(error)).toContain(all.server.host);
    expect(all.server.count(path, anything)).toBe(1);
  });

  test("a manifest of another digest than the one asked for", async () => {
    await using all = await serving({});
    const other = testImage({ labels: { other: "image" } });
    all.server.push("org/app", other.digest, image);
    const error = await failure(all.registry.image(parseReference(`${all.server.host}/org/app@${other.digest}`)));
    expect(describe(error)).toContain(`not ${other.digest}`);
  });

  test("a manifest with layers elsewhere, and a config without diffIDs that are digests", async () => {
    await using all = await serving({});
    all.server.push("org/app", "v1", testImage({ editManifest: (m) => ({ ...m, manifests: [] }) }));
    expect(describe(await failure(pull(all)))).toContain("both manifests and layers");
    const bad = testImage({ editConfig: (c) => ({ ...c, rootfs: { diff_ids: ["x"] } }) });
    all.server.push("org/app", "v2", bad);
    const found = await all.registry.image(parseReference(`${all.server.host}/org/app:v2`));
    expect(describe(await failure(all.registry.config(found)))).toContain("diff_ids");
  });
});

group("what may pass is tried again:", () => {
  const passing: Fault[] = [
    ...[408, 429, 500, 502, 503, 504].map((status): Fault => ({ kind: "status", status })),
    { kind: "reset" },
    { kind: "cut" },
  ];
  test.each(passing)("%o", async (fault) => {
    await using all = await serving({ rules: [/manifests/, /blobs/].map((path) => ({ path, times: 2, fault })) });
    const { blobs } = await pull(all);
    expect(blobs.map(digestOf)).toEqual(layers.map(digestOf));
    expect(all.server.count(/manifests/, anything)).toBe(3);
  });

  test("after as long as the server asks for, within a cap", async () => {
    const fault: Fault = { kind: "status", status: 429, headers: { "retry-after": "86400" } };
    await using all = await serving({ rules: [{ path: /manifests/, times: 1, fault }] });
    await all.registry.check(all.reference);
    expect(all.server.count(/manifests/, anything)).toBe(2);
  });

  const bad = JSON.stringify({ errors: [{ code: "BAD", message: "very \x1b[31mbad\nERROR: fake" }] });

  test("a registry that limits its clients is asked until it has time", async () => {
    const rules: FaultRule[] = [/manifests/, /blobs/].map((path) => ({
      path,
      times: 7,
      fault: { kind: "status", status: 429, headers: { "retry-after": "1" } },
    }));
    await using all = await serving({ rules });
    const { blobs } = await pull(all);
    expect(blobs.map(digestOf)).toEqual(layers.map(digestOf));
    expect(all.server.count(/manifests/, anything)).toBe(8);
  });

  test("which is no failure and no silence", async () => {
    const limited: Fault = { kind: "status", status: 429, headers: { "retry-after": "1" } };
    const rules: FaultRule[] = [
      { path: /manifests/, times: 8, fault: limited },
      { path: /manifests/, times: 3, fault: { kind: "status", status: 503 } },
    ];
    // Waits of 2.4 s in all, each of them far below what may pass in silence, all of them beyond.
    const timing = { ...quick, retryAfterMs: 300, graceMs: 10, silenceMs: 2000 };
    await using all = await serving({ rules }, { timing });
    expect((await all.registry.image(all.reference)).descriptor.digest).toBe(image.digest);
    expect(all.server.count(/manifests/, anything)).toBe(12);
  });

  test("but not for ever: 429", async () => {
    const rules: FaultRule[] = [{ path: /manifests/, fault: { kind: "status", status: 429, body: bad } }];
    await using all = await serving({ rules }, { timing: { ...quick, limitedMs: 30 } });
    const error = await failure(all.registry.image(all.reference));
    expect(error.status).toBe(429);
    expect(error.message).toContain("answered 429");
    expect(error.message).toContain('"very \\x1b[31mbad\\nERROR: fake"');
    const asked = all.server.count(/manifests/, anything);
    expect(asked).toBeGreaterThan(1);
    // A registry that had no time for one request is not waited for at the next.
    await failure(all.registry.image(all.reference));
    expect(all.server.count(/manifests/, anything)).toBe(asked + 1);
  });

  test("and it is waited for again once it has answered something else", async () => {
    const limited: Fault = { kind: "status", status: 429, body: "" };
    const rules: FaultRule[] = [
      { path: /manifests\/v1/, fault: limited },
      { path: /manifests\/v3/, times: 1, fault: limited },
    ];
    await using all = await serving({ rules }, { timing: { ...quick, limitedMs: 30 } });
    all.server.push("org/app", "v3", image);
    const get = (tag: string) => all.registry.image(parseReference(`${all.server.host}/org/app:${tag}`));
    const error = await failure(get("v1"));
    expect(error.status).toBe(429);
    expect(error.message).toMatch(/answered 429 Too Many Requests \(credentials/);
    expect((await failure(get("v2"))).status).toBe(404);
    expect((await get("v3")).descriptor.digest).toBe(image.digest);
  });

  test.each([500, 503])("but not for ever: %i", async (status) => {
    await using all = await serving({ rules: [{ path: /manifests/, fault: { kind: "status", status, body: bad } }] });
    const error = await failure(all.registry.image(all.reference));
    expect(error.status).toBe(status);
    expect(error.message).toContain(`answered ${status}`);
    expect(error.message).toContain('"very \\x1b[31mbad\\nERROR: fake"');
    expect(all.server.count(/manifests/, anything)).toBe(4);
  });

  test.each([400, 401, 403, 404, 405, 410])("what will not is not: %i", async (status) => {
    await using all = await serving({ rules: [{ path: /manifests/, fault: { kind: "status", status } }] });
    const error = await failure(all.registry.image(all.reference));
    expect(error.status).toBe(status);
    expect(error.unauthorized).toBe(status === 401 || status === 403);
    expect(all.server.count(/manifests/, anything)).toBe(1);
  });

  test("a refused connection ends soon, and says so", async () => {
    const { registry, lines } = await client([]);
    const error = await failure(registry.image(parseReference("127.0.0.1:1/org/app")));
    expect(describe(error)).toContain("127.0.0.1:1: connection refused (ECONNREFUSED)");
    expect(error.hint).toContain("127.0.0.1:1");
    expect(lines.filter((line) => line.includes("ECONNREFUSED"))).toHaveLength(6);
  });

  test("a failure is not remembered", async () => {
    await using all = await serving({
      rules: [{ path: /manifests/, times: 4, fault: { kind: "status", status: 500 } }],
    });
    await failure(all.registry.image(all.reference));
    expect((await all.registry.image(all.reference)).descriptor.digest).toBe(image.digest);
  });

  test.each([
    ['{"errors":[{"code":"DENIED"},{"message":"and more"}]}', ': "DENIED; and more" ('],
    ['{"error":"invalid_grant","error_description":"too old"}', ': "too old" ('],
    ['{"details":"incorrect username"}', ': "incorrect username" ('],
    ['{"errors":"x","message":5}', "403 Forbidden (credentials"],
    ["plain words\nand more", ': "plain words" ('],
    ["<html><title>no</title></html>", "403 Forbidden (credentials"],
    ["{broken", "403 Forbidden (credentials"],
    [`"${"long".repeat(200)}"`, `${"long".repeat(20)}`],
  ])("the server's own words are told, in short: %s", async (body, words) => {
    await using all = await serving({ rules: [{ path: /./, fault: { kind: "status", status: 403, body } }] });
    const { message } = await failure(all.registry.image(all.reference));
    expect(message).toContain(words);
    expect(message.length).toBeLessThan(600);
  });

  test("HEAD is never needed", async () => {
    await using all = await serving({ rules: [{ path: /./, method: "HEAD", fault: { kind: "status", status: 405 } }] });
    await all.registry.check(all.reference);
    await pull(all);
    expect(all.server.requests.every(({ method }) => method === "GET")).toBe(true);
  });
});

group("a blob", () => {
  const first = digestOf(layers[0] ?? Buffer.alloc(0));
  async function download(all: Awaited<ReturnType<typeof serving>>): Promise<Buffer> {
    const found = await all.registry.image(all.reference);
    const [layer] = found.manifest.layers;
    if (layer === undefined) throw new Error("no layer");
    return await collect(all.registry.blob(found, layer));
  }

  const ranges = ({ server }: { server: FaultRegistry }) =>
    server.requests.filter(({ path }) => blobPath(0).test(path)).map(({ headers }) => headers.range);
  /** Breaks off after what the client has certainly seen. */
  const stallsAt = (at: number, times = 1) => ({ path: blobPath(0), times, fault: { kind: "stall", at } as const });
  const impatient = { timing: { ...quick, stallMs: 300 } };

  test("that broke off is resumed", async () => {
    await using all = await serving({ rules: [{ path: blobPath(0), times: 2, fault: { kind: "cut", at: 50_000 } }] });
    expect(digestOf(await download(all))).toBe(first);
    expect(ranges(all)).toHaveLength(3);
  });

  test("is resumed where it broke off", async () => {
    await using all = await serving({ rules: [stallsAt(123_456)] }, impatient);
    expect(digestOf(await download(all))).toBe(first);
    expect(ranges(all)).toEqual([undefined, "bytes=123456-"]);
  });

  test("starts over at a server that ignores ranges, and delivers no byte twice", async () => {
    const rules = [stallsAt(123_456), { path: blobPath(0), fault: { kind: "ignore-range" } as const }];
    await using all = await serving({ rules }, impatient);
    expect(digestOf(await download(all))).toBe(first);
  });

  test("is given up when it gets no further", async () => {
    await using all = await serving({ rules: [{ path: blobPath(0), fault: { kind: "cut", at: 0 } }] });
    const error = await failure(download(all));
    expect(error.message).toContain(`get the blob ${first}`);
    expect(all.server.count(blobPath(0), anything)).toBe(3);
  });

  test("is not stitched together from another range than asked for", async () => {
    const rules = [stallsAt(1000), { path: blobPath(0), fault: { kind: "wrong-range" } as const }];
    await using all = await serving({ rules }, impatient);
    expect(describe(await failure(download(all)))).toMatch(
      /sends "bytes \d+-299999\/300000" where "bytes \d+-299999\/300000" was asked for/,
    );
  });

  test.each<[string, Fault, string]>([
    ["shorter than announced in the manifest", { kind: "short" }, "150000 bytes where the image says 300000"],
    ["longer", { kind: "trailing", announced: true }, "300100 bytes where the image says 300000"],
    ["longer, unannounced", { kind: "trailing", announced: false }, "more than the 300000 bytes"],
    ["something else", { kind: "garbage" }, "where the image says 300000"],
  ])("that is %s is an error, at once", async (_, fault, words) => {
    await using all = await serving({ rules: [{ path: blobPath(0), fault }] });
    expect(describe(await failure(download(all)))).toContain(words);
    expect(all.server.count(blobPath(0), anything)).toBe(1);
  });

  test("comes as it is stored, whatever its encoding is said to be", async () => {
    await using all = await serving({});
    const zipped = testImage({ layers, compression: "gzip" });
    all.server.push("org/app", "v1", zipped);
    const found = await all.registry.image(all.reference);
    const [layer] = found.manifest.layers;
    if (layer === undefined) throw new Error("no layer");
    expect(digestOf(await collect(all.registry.blob(found, layer)))).toBe(layer.digest);
    const asked = all.server.requests.map(({ headers }) => headers["accept-encoding"]);
    expect(new Set(asked)).toEqual(new Set(["identity"]));
  });

  test("that stalls is resumed once, then given up", async () => {
    await using all = await serving(
      { rules: [{ path: blobPath(0), fault: { kind: "stall", at: 2000 } }] },
      { timing: hasty },
    );
    expect(describe(await failure(download(all)))).toContain("sent nothing for 0.15 s");
    expect(all.server.count(blobPath(0), anything)).toBe(2);
  });

  test("that only trickles has stalled", async () => {
    const fault: Fault = { kind: "trickle", everyMs: 5 };
    await using all = await serving({ rules: [{ path: blobPath(0), fault }] }, { timing: hasty });
    expect(describe(await failure(download(all)))).toMatch(/sent no more than \d+ bytes for 0.15 s/);
    expect(all.server.count(blobPath(0), anything)).toBe(2);
  });

  test("is no stall when it is we who are slow", async () => {
    await using all = await serving({}, { timing: { ...quick, stallMs: 30 } });
    const found = await all.registry.image(all.reference);
    const [layer] = found.manifest.layers;
    if (layer === undefined) throw new Error("no layer");
    const parts: Uint8Array[] = [];
    for await (const chunk of all.registry.blob(found, layer)) {
      parts.push(chunk);
      await Bun.sleep(parts.length < 4 ? 60 : 0);
    }
    expect(digestOf(Buffer.concat(parts))).toBe(first);
  });

  test("may be left in the middle", async () => {
    await using all = await serving({});
    const found = await all.registry.image(all.reference);
    const [layer] = found.manifest.layers;
    if (layer === undefined) throw new Error("no layer");
    for await (const chunk of all.registry.blob(found, layer)) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
  });
});

group("a server that stalls", () => {
  test("at the connection is given up", async () => {
    await using silent = await startSilentServer();
    const { registry } = await client([silent.host], { timing: hasty });
    const error = await failure(registry.image(parseReference(`${silent.host}/org/app`)));
    expect(describe(error)).toContain("did not answer within 0.15 s");
    expect(error.hint).toContain("can be reached");
  });

  test.each<[string, Fault]>([
    ["before its answer", { kind: "stall" }],
    ["in its answer", { kind: "stall", at: 10 }],
  ])("%s is given up, and others are not kept from theirs", async (_, fault) => {
    await using all = await serving({ rules: [{ path: /manifests\/v1/, fault }] }, { timing: hasty });
    expect(describe(await failure(all.registry.image(all.reference)))).toContain("did not answer");
    const byDigest = parseReference(`${all.server.host}/org/app@${image.digest}`);
    expect((await all.registry.image(byDigest)).descriptor.digest).toBe(image.digest);
  });

  test("when asked for a token is given up", async () => {
    await using all = await serving(
      { auth: { kind: "token" }, rules: [{ path: /token/, fault: { kind: "stall" } }] },
      { timing: hasty },
    );
    const error = await failure(all.registry.image(all.reference));
    expect(error.message).toContain("failed to get a token");
    expect(describe(error)).toContain("did not answer");
  });

  test("once is asked again", async () => {
    await using all = await serving(
      { rules: [{ path: /manifests/, times: 1, fault: { kind: "stall" } }] },
      { timing: { ...quick, answerMs: 400 } },
    );
    expect((await all.registry.image(all.reference)).descriptor.digest).toBe(image.digest);
  });

  test("in many ways is not asked any more once it has kept us waiting too long in all", async () => {
    const rules = [{ path: /./, fault: { kind: "stall" } as const }];
    await using all = await serving({ rules }, { timing: { ...hasty, graceMs: 10, silenceMs: 500 } });
    const names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    const errors = [];
    for (const tag of names) {
      errors.push(describe(await failure(all.registry.image(parseReference(`${all.server.host}/org/app:${tag}`)))));
    }
    expect(errors.at(-1)).toContain("kept us waiting in silence");
    const asked = names.filter((tag) => all.server.count(new RegExp(`manifests/${tag}$`), anything) > 0);
    expect(asked).not.toEqual(names);
  });

  test("does not outlast the end of the run", async () => {
    const stop = new AbortController();
    const rules = [{ path: /./, fault: { kind: "stall" } as const }];
    await using all = await serving({ rules }, { signal: stop.signal });
    setTimeout(() => stop.abort(new Error("SIGTERM")), 50);
    expect(await all.registry.image(all.reference).catch(String)).toBe("Error: SIGTERM");
    expect(await all.registry.image(all.reference).catch(String)).toBe("Error: SIGTERM");
  });

  test("in the middle of a blob does not outlast it either", async () => {
    const stop = new AbortController();
    const rules = [{ path: blobPath(0), fault: { kind: "stall", at: 10 } as const }];
    await using all = await serving({ rules }, { signal: stop.signal });
    const found = await all.registry.image(all.reference);
    setTimeout(() => stop.abort(new Error("SIGTERM")), 50);
    expect(
      await Promise.all(found.manifest.layers.map((l) => collect(all.registry.blob(found, l)))).catch(String),
    ).toBe("Error: SIGTERM");
  });
});

group("credentials:", () => {
  const login = (user: string) => (server: FaultRegistry) => ({ auth: { [server.host]: basic(user) } });

  test("nobody is told who we are without asking", async () => {
    await using all = await serving({}, login("u:p"));
    await pull(all);
    expect(all.server.requests.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
  });

  test("Basic, after one challenge", async () => {
    await using all = await serving({ auth: { kind: "basic", user: "u:p" } }, login("u:p"));
    await pull(all);
    expect(all.server.count(/./, (status) => status === 401)).toBe(1);
    expect(all.server.count(/./)).toBe(2 + layers.length);
  });

  test("Bearer as it is", async () => {
    await using all = await serving({ auth: { kind: "bearer", token: "tok" } }, (server) => ({
      auth: { [server.host]: "Bearer tok" },
    }));
    await pull(all);
    expect(all.server.count(/token/, anything)).toBe(0);
  });

  test("a token for a password, fetched once for requests side by side", async () => {
    await using all = await serving({ auth: { kind: "token", user: "u:p" } }, login("u:p"));
    await pull(all);
    expect(all.server.count(/token/, anything)).toBe(1);
    const query = new URLSearchParams(all.server.requests.find(({ path }) => path === "/token")?.query);
    expect([query.get("service"), query.get("scope")]).toEqual(["test", "repository:org/app:pull"]);
  });

  test("a token for nobody in particular", async () => {
    await using all = await serving({ auth: { kind: "token" } });
    await pull(all);
    expect(all.server.requests.some(({ headers }) => String(headers.authorization).startsWith("Basic"))).toBe(false);
  });

  test("a token for an identity token, by OAuth2", async () => {
    await using all = await serving({ auth: { kind: "token", user: "x:y", refreshToken: "refresh" } }, (server) => ({
      auth: { [server.host]: "X-Identity refresh" },
    }));
    await pull(all);
    const [asked] = all.server.requests.filter(({ path }) => path === "/token");
    expect(asked?.method).toBe("POST");
    expect(new URLSearchParams(asked?.body).get("grant_type")).toBe("refresh_token");
  });

  test("a token server without OAuth2 is asked by GET", async () => {
    await using all = await serving(
      { auth: { kind: "token" }, rules: [{ path: /token/, method: "POST", fault: { kind: "status", status: 404 } }] },
      (server) => ({ auth: { [server.host]: "X-Identity refresh" } }),
    );
    await pull(all);
    expect(all.server.requests.filter(({ path }) => path === "/token").map(({ method }) => method)).toEqual([
      "POST",
      "GET",
    ]);
  });

  test("a token that expired in the middle of a run is renewed", async () => {
    await using all = await serving({ auth: { kind: "token", user: "u:p" } }, login("u:p"));
    const found = await all.registry.image(all.reference);
    all.server.revokeTokens();
    await all.registry.config(found);
    expect(all.server.count(/token/)).toBe(2);
  });

  test("a token that is good for one request is renewed for each", async () => {
    await using all = await serving({ auth: { kind: "token", user: "u:p", uses: 1 } }, login("u:p"));
    const found = await all.registry.image(all.reference);
    const { config } = await all.registry.config(found);
    for (const layer of found.manifest.layers) await collect(all.registry.blob(found, layer));
    expect(config.diffIds).toHaveLength(2);
  });

  test("a token about to expire is renewed before it does", async () => {
    await using all = await serving({ auth: { kind: "token", expiresIn: 0.000001 } });
    const found = await all.registry.image(all.reference);
    await all.registry.config(found);
    expect(all.server.count(/v2/, (status) => status === 401)).toBe(1);
    expect(all.server.count(/token/)).toBe(2);
  });

  test("of several challenges, the first that can be answered counts", async () => {
    const challenge = ["Negotiate", 'Digest realm="a, b", nonce="x", Basic realm="c, d"'];
    await using all = await serving({ auth: { kind: "basic", user: "u:p" }, challenge }, login("u:p"));
    await pull(all);
  });

  test("a registry that hides what is private from strangers is shown who we are", async () => {
    await using all = await serving(
      { rules: [{ path: /./, times: 1, fault: { kind: "status", status: 404 } }] },
      login("u:p"),
    );
    await all.registry.image(all.reference);
    expect(all.server.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, basic("u:p")]);
  });

  test("a 401 without a challenge is answered once", async () => {
    const fault: Fault = { kind: "status", status: 401 };
    await using all = await serving({ rules: [{ path: /./, fault }] }, login("u:p"));
    const error = await failure(all.registry.image(all.reference));
    expect(error.unauthorized).toBe(true);
    expect(all.server.requests).toHaveLength(2);
  });

  test("wrong ones fail with their source and what to do, but not what they are", async () => {
    for (const auth of [{ kind: "basic", user: "u:p" } as const, { kind: "token", user: "u:p" } as const]) {
      await using all = await serving({ auth }, login("user:s3cret"));
      const error = await failure(all.registry.image(all.reference));
      expect([error.status, error.unauthorized, error.notFound]).toEqual([401, true, false]);
      expect(error.message).toContain("credentials: CNB_REGISTRY_AUTH");
      expect(error.hint).toContain("CNB_REGISTRY_AUTH");
      expect(error.message).toContain(`${all.server.host}/org/app:v1`);
      const everything = [...all.lines, describe(error), Bun.inspect(error), error.hint].join("\n");
      expect(everything).not.toMatch(/s3cret|token-[0-9a-f]{8}/);
      expect(everything).not.toContain(basic("user:s3cret").slice(6));
    }
  });

  test("missing ones fail with the way to give them", async () => {
    await using all = await serving({ auth: { kind: "basic", user: "u:p" } });
    const error = await failure(all.registry.image(all.reference));
    expect(error.hint).toContain("set CNB_REGISTRY_AUTH or log in to");
  });

  test("a server that echoes a secret does not get it into a message", async () => {
    const body = JSON.stringify({ errors: [{ message: `bad s3cret-password and ${basic("u:s3cret-password")}` }] });
    await using all = await serving(
      { rules: [{ path: /./, fault: { kind: "status", status: 403, body } }] },
      login("u:s3cret-password"),
    );
    expect((await failure(all.registry.image(all.reference))).message).toContain('"bad *** and Basic ***"');
  });

  test.each([
    ["JSON", (echo: string) => JSON.stringify({ errors: [{ message: `bad header ${echo}` }] })],
    ["JSON, escaped", (echo: string) => `{"message":"bad header ${echo.replaceAll("-", "\\u002d")}"}`],
    ["plain text", (echo: string) => `bad header ${echo}\n`],
  ])("a registry that echoes a token, in %s, does not get it into a message either", async (_, bodyOf) => {
    const token = "SECRET-TOKEN-123";
    for (const echo of [`Bearer ${token}`, `bearer ${token}`, token]) {
      await using all = await serving({
        auth: { kind: "token" },
        rules: [
          { path: /token/, fault: { kind: "status", status: 200, body: JSON.stringify({ token }) } },
          { path: /./, after: 1, fault: { kind: "status", status: 403, body: bodyOf(echo) } },
        ],
      });
      const error = await failure(all.registry.image(all.reference));
      expect(all.server.requests.at(-1)?.headers.authorization).toBe(`Bearer ${token}`);
      expect(error.message).toContain("bad header ");
      expect([...all.lines, describe(error), Bun.inspect(error)].join("\n")).not.toContain(token);
    }
  });

  test("nor does a token server that echoes what it was sent, escaped", async () => {
    const user = "user:s3cret??>";
    const secret = basic(user).slice("Basic ".length);
    expect(secret).toContain("/");
    const body = `{"details":"bad header Basic ${secret.replaceAll("/", "\\/")}"}`;
    await using all = await serving(
      { auth: { kind: "token", user }, rules: [{ path: /token/, fault: { kind: "status", status: 403, body } }] },
      login(user),
    );
    expect((await failure(all.registry.image(all.reference))).message).toContain('"bad header Basic ***"');
  });

  test("a token server in trouble is asked again; one that is down fails the request, and names itself", async () => {
    await using all = await serving({
      auth: { kind: "token" },
      rules: [{ path: /token/, times: 2, fault: { kind: "status", status: 503 } }],
    });
    await pull(all);
    await using down = await serving({ auth: { kind: "token", realm: "http://127.0.0.1:1/token" } });
    const error = await failure(down.registry.image(down.reference));
    expect(error.message).toContain(`failed to get a token for ${down.server.host}`);
    expect(describe(error)).toContain("127.0.0.1:1: connection refused");
  });

  test.each<[string, Fault, string]>([
    ["garbage", { kind: "garbage" }, "without a token"],
    ["nothing to the point", { kind: "status", status: 200, body: "{}" }, "without a token"],
    ["two headers in one", { kind: "status", status: 200, body: '{"token":"a\\r\\nX-Evil: 1"}' }, "without a token"],
    ["50 MB", { kind: "huge", bytes: 50_000_000 }, "more than 65536 bytes"],
    ["its own troubles", { kind: "status", status: 400, body: '{"error":"bad","details":"no such scope"}' }, "bad"],
  ])("a token server that answers with %s fails the request", async (_, fault, words) => {
    await using all = await serving({ auth: { kind: "token" }, rules: [{ path: /token/, fault }] });
    expect(describe(await failure(all.registry.image(all.reference)))).toContain(words);
  });

  test("one for each registry and repository", async () => {
    await using one = await serving({ auth: { kind: "token", user: "u:p" } });
    one.server.push("org/other", "v1", image);
    const { registry } = await client([one.server.host], { auth: { [one.server.host]: basic("u:p") } });
    await registry.image(one.reference);
    await registry.image(parseReference(`${one.server.host}/org/other:v1`));
    const scopes = one.server.requests
      .filter(({ path }) => path === "/token")
      .map(({ query }) => new URLSearchParams(query).get("scope"));
    expect(scopes).toEqual(["repository:org/app:pull", "repository:org/other:pull"]);
  });
});

group("redirects", () => {
  test("to another host are followed without credentials", async () => {
    await using storage = await startFaultRegistry();
    storage.push("org/app", "v1", image);
    await using all = await serving({ auth: { kind: "token", user: "u:p" } }, (server) => ({
      auth: { [server.host]: basic("u:p") },
    }));
    for (const [digest] of image.blobs) {
      const to = `${storage.url}/v2/org/app/blobs/${digest}?X-Signature=s3cret`;
      all.server.rules.push({ path: new RegExp(digest), fault: { kind: "redirect", to } });
    }
    const { blobs } = await pull(all);
    expect(blobs.map(digestOf)).toEqual(layers.map(digestOf));
    expect(storage.requests).toHaveLength(3);
    expect(storage.requests.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
    expect(all.lines.join("\n")).not.toContain("s3cret");
  });

  test("within a host keep them", async () => {
    await using all = await serving({ auth: { kind: "basic", user: "u:p" } }, (server) => ({
      auth: { [server.host]: basic("u:p") },
    }));
    const to = `/v2/org/app/manifests/${image.digest}`;
    all.server.rules.push({ path: /manifests\/v1$/, fault: { kind: "redirect", to } });
    await all.registry.image(all.reference);
  });

  test("away and back do not get them back", async () => {
    await using elsewhere = await startFaultRegistry();
    await using all = await serving({ auth: { kind: "basic", user: "u:p" } }, (server) => ({
      auth: { [server.host]: basic("u:p") },
    }));
    const to = `${elsewhere.url}/there`;
    all.server.rules.push({ path: /manifests\/v1$/, after: 1, fault: { kind: "redirect", to } });
    elsewhere.rules.push({
      path: /./,
      fault: { kind: "redirect", to: `${all.server.url}/v2/org/app/manifests/${image.digest}` },
    });
    const error = await failure(all.registry.image(all.reference));
    expect(error.status).toBe(401);
    expect(all.server.requests.at(-1)?.headers.authorization).toBeUndefined();
  });

  test("of a token request do not take the password along", async () => {
    await using elsewhere = await startFaultRegistry({ auth: { kind: "token" } });
    await using all = await serving(
      {
        auth: { kind: "token", user: "u:p" },
        rules: [{ path: /token/, fault: { kind: "redirect", to: `${elsewhere.url}/token` } }],
      },
      (server) => ({ auth: { [server.host]: basic("u:p") } }),
    );
    await failure(all.registry.image(all.reference));
    expect(elsewhere.requests.map(({ headers }) => headers.authorization)).not.toContain(basic("u:p"));
  });

  test("of a refresh token are not followed", async () => {
    await using elsewhere = await startFaultRegistry();
    await using all = await serving(
      {
        auth: { kind: "token" },
        rules: [{ path: /token/, fault: { kind: "redirect", to: elsewhere.url, status: 307 } }],
      },
      (server) => ({ auth: { [server.host]: "X-Identity s3cret" } }),
    );
    expect(describe(await failure(all.registry.image(all.reference)))).toContain("redirects to another address");
    expect(elsewhere.requests).toEqual([]);
  });

  test.each([
    ["file:///etc/passwd", "not a web address"],
    ["http://169.254.169.254/latest", "metadata"],
    ["http://[::ffff:a9fe:a9fe]/latest", "metadata"],
    ["http://2852039166/latest", "metadata"],
    ["http://metadata.google.internal/x", "metadata"],
    ["http://[fe80::1]/", "metadata"],
    ["http://", "malformed"],
  ])("to %s are refused", async (to, words) => {
    await using all = await serving({ rules: [{ path: /manifests/, fault: { kind: "redirect", to } }] });
    expect(describe(await failure(all.registry.image(all.reference)))).toContain(words);
  });

  test("end", async () => {
    await using all = await serving({
      rules: [{ path: /manifests/, fault: { kind: "redirect", to: "/v2/org/app/manifests/v1" } }],
    });
    expect(describe(await failure(all.registry.image(all.reference)))).toContain("after 10 redirects");
  });
});

group("where credentials may go", () => {
  const { refuseRealm, refuseRedirect, schemes, verifies } = createHosts(["insecure.example:5000", "plain.example"]);
  const realm = (registry: string, at: string, to: string) => refuseRealm(registry, new URL(at), new URL(to));

  test("a public registry's token server is asked over https only", () => {
    expect(realm("reg.io", "https://reg.io/", "https://auth.else.io/token")).toBeUndefined();
    expect(realm("reg.io", "https://reg.io/", "http://auth.else.io/token")).toContain("https only");
    expect(realm("reg.io", "https://reg.io/", "https://u:p@auth.else.io/token")).toContain("user name");
    expect(realm("reg.io", "https://reg.io/", "file:///etc/passwd")).toContain("not a web address");
    for (const host of ["127.0.0.1", "localhost", "10.0.0.1", "[::1]", "0.0.0.0", "[fd12::1]", "192.168.3.4"]) {
      expect(realm("reg.io", "https://reg.io/", `https://${host}/token`)).toContain("internal");
    }
  });

  test("a local or insecure registry's may be asked in the clear", () => {
    expect(realm("127.0.0.1:5000", "http://127.0.0.1:5000/", "http://127.0.0.1:5001/token")).toBeUndefined();
    expect(
      realm("insecure.example:5000", "http://insecure.example:5000/", "http://auth.example/token"),
    ).toBeUndefined();
    expect(realm("10.1.2.3", "https://10.1.2.3/", "http://auth.example/token")).toContain("https only");
  });

  test("nobody's may be a machine's metadata service", () => {
    for (const host of [
      "169.254.169.254",
      "[fe80::1]",
      "metadata.google.internal",
      "metadata",
      "[fd00:ec2::254]",
      "100.100.100.200",
    ]) {
      expect(realm("127.0.0.1:5000", "http://127.0.0.1:5000/", `http://${host}/token`)).toContain("metadata");
    }
  });

  test("plain http is for local and insecure registries, port and all", () => {
    const plain = [
      "localhost",
      "localhost:1",
      "a.localhost",
      "127.0.0.1:5",
      "[::1]:5",
      "10.0.0.1",
      "172.16.0.1:80",
      "172.31.1.1",
      "192.168.0.1",
      "insecure.example:5000",
      "plain.example",
    ];
    for (const name of plain) expect([name, schemes(name)]).toEqual([name, ["https", "http"]]);
    const secure = [
      "reg.io",
      "index.docker.io",
      "127.0.0.2",
      "172.32.0.1",
      "11.0.0.1",
      "10.0.0.1.evil.io",
      "insecure.example",
      "insecure.example:5001",
      "sub.plain.example",
      "plain.example:5000",
      "localhost.evil.io",
      "[::2]",
    ];
    for (const name of secure) expect([name, schemes(name)]).toEqual([name, ["https"]]);
  });

  test("certificates go unverified for insecure registries only", () => {
    expect(verifies(new URL("https://insecure.example:5000/v2/"))).toBe(false);
    for (const url of [
      "https://insecure.example/",
      "https://insecure.example:5001/",
      "https://127.0.0.1/",
      "https://reg.io/",
    ]) {
      expect(verifies(new URL(url))).toBe(true);
    }
  });

  test("redirects do not lead from https to http", () => {
    const lead = (from: string, to: string) => refuseRedirect("reg.io", new URL(from), new URL(to));
    expect(lead("https://reg.io/", "http://cdn.io/x")).toContain("plain http");
    expect(lead("https://reg.io/", "https://cdn.io/x")).toBeUndefined();
    expect(lead("https://reg.io/", "https://10.0.0.1/x")).toContain("internal");
    expect(lead("https://reg.io/", "http://plain.example/x")).toBeUndefined();
  });
});

group("proxies", () => {
  const through = (env: Record<string, string>, url: string) => createProxies(env)(new URL(url))?.url;
  const both = { HTTPS_PROXY: "http://secure:1", http_proxy: "plain:2" };

  test("are chosen by scheme, from variables of either case", () => {
    expect(through(both, "https://reg.io/")).toBe("http://secure:1");
    expect(through(both, "http://reg.io/")).toBe("http://plain:2");
    expect(through({}, "https://reg.io/")).toBeUndefined();
    expect(through({ https_proxy: "http://lower:1", HTTPS_PROXY: "http://upper:1" }, "https://reg.io/")).toBe(
      "http://upper:1",
    );
  });

  test("never stand before this machine", () => {
    for (const host of ["localhost", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000"]) {
      expect(through(both, `https://${host}/`)).toBeUndefined();
    }
    expect(through(both, "https://10.0.0.1/")).toBeDefined();
  });

  test.each([
    ["*", "https://reg.io/", true],
    ["reg.io", "https://reg.io/", true],
    ["REG.io", "https://sub.Reg.IO/", true],
    ["reg.io", "https://otherreg.io/", false],
    [".reg.io", "https://sub.reg.io/", true],
    [".reg.io", "https://reg.io/", false],
    ["*.reg.io", "https://sub.reg.io/", true],
    ["reg.io:443", "https://reg.io/", true],
    ["reg.io:5000", "https://reg.io/", false],
    ["reg.io:5000", "https://reg.io:5000/", true],
    ["10.0.0.0/8", "https://10.1.2.3/", true],
    ["10.0.0.0/8", "https://11.1.2.3/", false],
    ["10.1.2.3", "https://10.1.2.3:5000/", true],
    ["10.1.2.3:5000", "https://10.1.2.3:5000/", true],
    ["fd00::/8", "https://[fd12::1]/", true],
    ["fd12::1", "https://[fd12::1]/", true],
    [" other.io , reg.io ", "https://reg.io/", true],
    ["", "https://reg.io/", false],
    ["10.0.0.0/99", "https://10.1.2.3/", false],
  ])("NO_PROXY=%s, for %s: %p", (entries, url, direct) => {
    expect(through({ ...both, NO_PROXY: entries }, url) === undefined).toBe(direct);
  });

  test.each(["::::", "http://u:s3cret@host:99999", "socks5://u:s3cret@127.0.0.1:1"])(
    "that cannot be used are an error, not a way around them: %s",
    async (proxy) => {
      const { registry } = await client([], { env: { HTTPS_PROXY: proxy } });
      const error = await failure(registry.image(parseReference("reg.example.test/org/app")));
      expect(describe(error)).toContain("by way of the proxy");
      expect(error.hint).toContain("Check HTTPS_PROXY");
      expect(Bun.inspect(error)).not.toContain("s3cret");
    },
  );

  test("are used, and their password stays out of every message", async () => {
    const asked: string[] = [];
    const proxy = createServer((request, response) => {
      asked.push(`${request.method} ${request.url} ${request.headers["proxy-authorization"]}`);
      response.writeHead(403).end();
    });
    proxy.on("connect", (request, socket) => {
      asked.push(`${request.method} ${request.url} ${request.headers["proxy-authorization"]}`);
      socket.end("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    });
    await new Promise<void>((done) => {
      proxy.listen(0, "127.0.0.1", done);
    });
    const { port } = proxy.address() as AddressInfo;
    const { registry, lines } = await client([], { env: { HTTPS_PROXY: `http://user:s3cret@127.0.0.1:${port}` } });
    const error = await failure(registry.image(parseReference("reg.example.test/org/app")));
    proxy.close();
    expect(asked).toEqual([`CONNECT reg.example.test:443 ${basic("user:s3cret")}`]);
    expect(describe(error)).toContain(`by way of the proxy http://127.0.0.1:${port}`);
    expect(error.hint).toContain("HTTPS_PROXY");
    expect([...lines, describe(error), Bun.inspect(error)].join("\n")).not.toMatch(/s3cret|czNjcmV0/);
  });
});

group("TLS:", () => {
  const tlsTest = skipUnless(have("openssl"), "openssl");
  /** A private authority and a certificate of it for this machine. */
  function authority(path: string): { ca: string; key: string; cert: string } {
    const script = `set -e; cd "${path}"
      openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca
      openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out csr.pem -subj /CN=localhost
      echo subjectAltName=IP:127.0.0.1 > ext
      openssl x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile ext
      mkdir certs; { echo junk; cat ca.pem; printf -- '-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n'; } > certs/any-name`;
    const { exitCode, stderr } = Bun.spawnSync(["sh", "-c", script]);
    if (exitCode !== 0) throw new Error(stderr.toString());
    const read = (name: string) => require("node:fs").readFileSync(`${path}/${name}`, "utf8") as string;
    return { ca: `${path}/ca.pem`, key: read("key.pem"), cert: read("cert.pem") };
  }

  tlsTest("a certificate of a private authority is refused, with what to do; never is http tried instead", async () => {
    using dir = tempDir("tls");
    await using all = await serving({ tls: authority(dir.path) });
    const error = await failure(all.registry.image(all.reference));
    expect(describe(error)).toContain("certificate");
    expect(error.hint).toContain("SSL_CERT_FILE");
    expect(all.lines.filter((line) => line.includes("http://"))).toEqual([]);
    expect(all.server.requests).toEqual([]);
  });

  tlsTest("SSL_CERT_FILE and every file in SSL_CERT_DIR are trusted, read before they are out of reach", async () => {
    using dir = tempDir("tls");
    const tls = authority(dir.path);
    await using server = await startFaultRegistry({ tls });
    server.push("org/app", "v1", image);
    const reference = parseReference(`${server.host}/org/app:v1`);
    const one = await client([], { env: { SSL_CERT_FILE: tls.ca } });
    const other = await client([], { env: { SSL_CERT_DIR: `/nonexistent:${dir.join("certs")}` } });
    Bun.spawnSync(["rm", "-r", tls.ca, dir.join("certs")]);
    await pull({ registry: one.registry, reference });
    await pull({ registry: other.registry, reference });
    expect(other.lines.join("\n")).toContain("SSL_CERT_DIR /nonexistent");
  });

  tlsTest("an insecure registry's certificate is not verified; another port's is", async () => {
    using dir = tempDir("tls");
    const tls = authority(dir.path);
    await using all = await serving({ tls }, (server) => ({ insecure: [server.host] }));
    await pull(all);
    const { registry } = await client([], { insecure: ["127.0.0.1", "127.0.0.1:1"] });
    await failure(registry.image(all.reference));
  });

  tlsTest("by way of a proxy that makes tunnels", async () => {
    using dir = tempDir("tls");
    const tls = authority(dir.path);
    await using server = await startFaultRegistry({ tls });
    server.push("org/app", "v1", image);
    const proxy = createServer().on("connect", (_, socket) => {
      const [, port] = server.host.split(":");
      const upstream = connect(Number(port), "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        socket.pipe(upstream).pipe(socket);
      });
      for (const end of [socket, upstream]) end.on("error", () => {});
    });
    await new Promise<void>((done) => {
      proxy.listen(0, "127.0.0.1", done);
    });
    const { port } = proxy.address() as AddressInfo;
    // The name resolves nowhere: only the proxy can lead there. Its certificate is for another name, hence insecure.
    const name = "reg.example.test";
    const { registry } = await client([], { insecure: [name], env: { HTTPS_PROXY: `http://127.0.0.1:${port}` } });
    const { blobs } = await pull({ registry, reference: parseReference(`${name}/org/app:v1`) });
    expect(blobs.map(digestOf)).toEqual(layers.map(digestOf));
    proxy.closeAllConnections();
    proxy.close();
  });
});

test("work that fails after it was given up fails nothing else", async () => {
  const work = Promise.withResolvers<void>();
  await expect(orAbort(work.promise, AbortSignal.abort(new Error("over")))).rejects.toThrow("over");
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => void unhandled.push(reason);
  process.on("unhandledRejection", note);
  try {
    work.reject(new Error("late"));
    await Bun.sleep(20);
  } finally {
    process.off("unhandledRejection", note);
  }
  expect(unhandled).toEqual([]);
});

test("at debug level every request is one line, with status and without query", async () => {
  await using all = await serving({ auth: { kind: "token", user: "u:p" } }, (server) => ({
    auth: { [server.host]: basic("u:p") },
  }));
  await pull(all);
  const requests = all.lines.filter((line) => line.startsWith("GET http://"));
  expect(requests).toHaveLength(all.server.requests.length);
  expect(requests[0]).toMatch(/^GET http:\/\/[\d.:]+\/v2\/org\/app\/manifests\/v1: 401 in \d+ ms$/);
  expect(requests[1]).toMatch(/\/token\?…: 200 in \d+ ms$/);
});
