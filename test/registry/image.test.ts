import { expect, describe as group, test } from "bun:test";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { describe } from "../../lib/errors.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import { digestOf, type Fault, type FaultRule, testImage, testIndex } from "../support/fault-registry.ts";
import {
  anything,
  basic,
  blobPath,
  client,
  failure,
  image,
  layers,
  pull,
  serving,
} from "../support/registry-client.ts";

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

  test("of an index may be of another architecture where that is better than nothing", async () => {
    await using all = await serving({});
    const members = ["arm64", "s390x"].map((architecture) => ({
      image: testImage({ architecture }),
      platform: { os: "linux", architecture },
    }));
    all.server.push("org/app", "multi", testIndex(members));
    const found = await all.registry.image(parseReference(`${all.server.host}/org/app:multi`), "same-os");
    expect(found.descriptor.digest).toBe(members[0]?.image.digest ?? "");
  });

  test.each<[coding: string, encode: (bytes: Uint8Array) => Uint8Array]>([
    ["gzip", gzipSync],
    ["x-gzip", gzipSync],
    ["deflate", deflateSync],
    ["br", brotliCompressSync],
    ["zstd", zstdCompressSync],
    ["GZIP", gzipSync],
  ])("may come in a coding that nobody asked for: %s", async (coding, encode) => {
    const encoded: Fault = { kind: "encoded", coding, encode };
    await using all = await serving({
      auth: { kind: "token" },
      rules: [{ path: /token|manifests|blobs\/.*$/, times: 3, fault: encoded }],
    });
    const found = await all.registry.image(all.reference);
    expect(found.descriptor.digest).toBe(image.digest);
    expect((await all.registry.config(found)).config.labels.get("hello")).toBe("world");
  });

  test.each([
    ["that it is not in", (bytes: Uint8Array) => bytes],
    ["that is cut off", (bytes: Uint8Array) => gzipSync(bytes).subarray(0, 40)],
  ])("in a coding %s is told in words", async (_, encode) => {
    const fault: Fault = { kind: "encoded", coding: "gzip", encode };
    await using all = await serving({ rules: [{ path: /manifests/, fault }] });
    const error = await failure(all.registry.image(all.reference));
    expect(describe(error)).toContain(`${all.server.host} says that it answers in gzip, and does not`);
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
      expect([error.notFound, error.status, error.mayNotExist]).toEqual([true, 404, false]);
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
    ["half a manifest", /manifests/, { kind: "short" }, "JSON"],
    ["garbage for a manifest", /manifests/, { kind: "garbage" }, "JSON"],
    ["a manifest with something after it", /manifests/, { kind: "trailing", announced: true }, "JSON"],
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

  test("a manifest of a digest that was asked for, with a wrong byte", async () => {
    await using all = await serving({ rules: [{ path: /manifests/, fault: { kind: "corrupt" } }] });
    const error = await failure(all.registry.image(parseReference(`${all.server.host}/org/app@${image.digest}`)));
    expect(describe(error)).toContain(`not ${image.digest}`);
  });

  test("a manifest that may be read in two ways", async () => {
    await using all = await serving({});
    all.server.push("org/app", "v1", testImage({ editManifest: (m) => ({ ...m, manifests: [] }) }));
    expect(describe(await failure(pull(all)))).toContain("both manifests and layers");
  });
});

group("a digest that the registry announces for a manifest", () => {
  const announced = [digestOf(Buffer.from("something else")), "sha512:x", "", "\u00ff"];
  const rules = announced.map((digest): FaultRule => {
    return { path: /manifests/, times: 1, fault: { kind: "headers", headers: { "docker-content-digest": digest } } };
  });

  test("counts for nothing: it is the content's that is taken", async () => {
    await using all = await serving({ rules });
    for (const name of ["org/app:v1", `org/app@${image.digest}`, "org/app", "org/app:v1"]) {
      all.server.push("org/app", "latest", image);
      const { registry } = await client([all.server.host]);
      const found = await registry.image(parseReference(`${all.server.host}/${name}`));
      expect(found.descriptor.digest).toBe(image.digest);
    }
  });

  test("is told at debug where it is another one", async () => {
    await using all = await serving({ rules: rules.slice(0, 1) });
    await all.registry.image(all.reference);
    expect(all.lines.join("\n")).toContain(
      `announces the digest "${announced[0]}" for a manifest with ${image.digest}`,
    );
  });
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
