import { describe, expect, test } from "bun:test";
import { ManifestError } from "../../lib/oci/document.ts";
import { manifestBytes, mediaTypes, parseManifest } from "../../lib/oci/manifest.ts";
import { testImage } from "../support/fault-registry.ts";

const digest = (digit: string) => `sha256:${digit.repeat(64)}`;
const bytes = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: digest("c"), size: 10 };
const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: digest("1"), size: 20 };

test("manifests of both formats are read", () => {
  const oci = parseManifest(testImage({ layers: [bytes("a"), bytes("b")] }).bytes);
  const docker = parseManifest(testImage({ layers: [bytes("a")], format: "docker" }).bytes);
  expect([oci.kind, oci.mediaType]).toEqual(["manifest", mediaTypes.ociManifest]);
  expect([docker.kind, docker.mediaType]).toEqual(["manifest", mediaTypes.dockerManifest]);
  expect(oci.kind === "manifest" && oci.layers.length).toBe(2);
});

test("where a document does not name its type, the header does, and a generic header leaves it to the shape", () => {
  const manifest = { schemaVersion: 2, config, layers: [layer] };
  expect(parseManifest(bytes(manifest), `${mediaTypes.dockerManifest}; charset=utf-8`).mediaType).toBe(
    mediaTypes.dockerManifest,
  );
  expect(parseManifest(bytes(manifest), "application/json").mediaType).toBe(mediaTypes.ociManifest);
  expect(parseManifest(bytes({ manifests: [] }), "").mediaType).toBe(mediaTypes.ociIndex);
});

describe("what is wrong with one layer costs that layer:", () => {
  test.each([
    ["null", null, "malformed"],
    ["a number", 5, "malformed"],
    [
      "a foreign layer of Docker's",
      { ...layer, mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" },
      "foreign",
    ],
    ["one of OCI's", { ...layer, mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar" }, "foreign"],
    [
      "a digest of another kind",
      { ...layer, digest: `sha512:${"a".repeat(128)}` },
      "digest: expected a sha256 digest, found a string",
    ],
    ["an upper-case digest", { ...layer, digest: digest("A") }, "sha256"],
    ["no digest", { ...layer, digest: null }, "digest"],
    ["a negative size", { ...layer, size: -1 }, "size"],
    ["half a byte", { ...layer, size: 1.5 }, "size"],
    ["no size", { ...layer, size: null }, "size"],
  ])("%s", (_, bad, reason) => {
    const parsed = parseManifest(bytes({ config, layers: [bad, layer] }));
    if (parsed.kind !== "manifest") throw new Error("not a manifest");
    expect(parsed.layers[0]?.unusable).toContain(reason);
    expect(parsed.layers[1]).toEqual(layer);
  });
});

describe("what we do not need may hold anything:", () => {
  test.each<[what: string, more: object]>([
    ["a media type that is null", { mediaType: null }],
    ["one that is a number", { mediaType: 5 }],
    ["a schema version that is text", { schemaVersion: "2" }],
    ["members that are null", { manifests: null }],
    ["annotations that are a list", { annotations: ["a"], subject: null, artifactType: 7 }],
    ["a config's size that is null", { config: { ...config, size: null } }],
    ["a config's size that is text", { config: { ...config, size: "many" } }],
    ["annotations in a deep nest", { annotations: JSON.parse(`${"[".repeat(5000)}${"]".repeat(5000)}`) }],
    ["a config's type that is null", { config: { ...config, mediaType: null, platform: "x" } }],
    [
      "a layer's type that is null, its URLs and annotations",
      { layers: [{ ...layer, mediaType: null, urls: ["https://x"], annotations: 5 }] },
    ],
  ])("%s", (_, more) => {
    const parsed = parseManifest(bytes({ schemaVersion: 2, config, layers: [layer], ...more }));
    expect(parsed).toMatchObject({
      kind: "manifest",
      config: { digest: config.digest },
      layers: [{ digest: layer.digest, size: layer.size }],
    });
  });

  test("a member of an index without a digest, beside one with", () => {
    const broken = [null, 5, {}, { ...layer, digest: "sha512:x" }];
    const index = parseManifest(bytes({ config: null, layers: null, manifests: [...broken, layer] }));
    expect(index.kind === "index" && index.manifests.map((one) => one.digest)).toEqual([layer.digest]);
  });

  test("a member's size", () => {
    const index = parseManifest(bytes({ manifests: [{ ...layer, size: null }] }));
    expect(index).toMatchObject({ manifests: [{ digest: layer.digest, size: 4 * 1024 * 1024 }] });
  });

  test("an index of nothing", () => {
    expect(parseManifest(bytes({ mediaType: mediaTypes.ociIndex, manifests: null }))).toMatchObject({ manifests: [] });
  });
});

describe("refused:", () => {
  test.each([
    ["garbage", "\0garbage", "not JSON"],
    ["text that is not UTF-8", Buffer.from([0x7b, 0xff, 0x7d]), "not JSON"],
    ["something else", "[]", "neither"],
    ["an empty object", {}, "neither"],
    ["schema 1", { schemaVersion: 1, name: "x", fsLayers: [], history: [] }, "schema 1"],
    ["both manifests and layers", { schemaVersion: 2, manifests: [], layers: [], config }, "both"],
    ["an index that calls itself a manifest", { mediaType: mediaTypes.ociManifest, manifests: [] }, "does not fit"],
    ["a manifest that calls itself an index", { mediaType: mediaTypes.ociIndex, config, layers: [] }, "does not fit"],
    ["an unknown type", { mediaType: "application/x-thing", config, layers: [] }, "does not fit"],
    ["a digest that is a path", { config: { ...config, digest: "sha256:../../etc" }, layers: [] }, "sha256"],
    ["no config", { layers: [layer] }, "config"],
    ["a null for a config", { config: null, layers: [layer] }, "config"],
  ])("%s", (_, value, reason) => {
    const document = value instanceof Uint8Array ? value : bytes(value);
    expect(() => parseManifest(document)).toThrow(ManifestError);
    expect(() => parseManifest(document)).toThrow(reason);
  });

  test("a manifest over 4 MiB", () => {
    expect(() => parseManifest(new Uint8Array(manifestBytes + 1))).toThrow("larger than");
  });

  test("arrays in arrays without end", () => {
    expect(() => parseManifest(bytes("[".repeat(1_000_000)))).toThrow(ManifestError);
  });
});

test("what a document says cannot break a message into lines", () => {
  const evil = bytes({ mediaType: "x\nERROR: all is lost\x1b[0m", config, layers: [] });
  expect(() => parseManifest(evil)).toThrow(/^[^\n\x1b]+$/);
});
