import { describe, expect, test } from "bun:test";
import {
  type Index,
  layersByDiffId,
  ManifestError,
  manifestBytes,
  mediaTypes,
  parseConfig,
  parseManifest,
  selectPlatform,
} from "../../lib/oci/manifest.ts";
import { testImage, testIndex } from "../support/fault-registry.ts";

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
    ["a layer elsewhere", { config, layers: [{ ...layer, urls: ["https://elsewhere/x"] }] }, "foreign"],
    [
      "a foreign layer",
      { config, layers: [{ ...layer, mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" }] },
      "foreign",
    ],
    ["a digest of another kind", { config, layers: [{ ...layer, digest: `sha512:${"a".repeat(128)}` }] }, "sha256"],
    ["an upper-case digest", { config, layers: [{ ...layer, digest: digest("A") }] }, "sha256"],
    ["a digest that is a path", { config: { ...config, digest: "sha256:../../etc" }, layers: [] }, "sha256"],
    ["a negative size", { config, layers: [{ ...layer, size: -1 }] }, "layers.0.size"],
    ["half a byte", { config, layers: [{ ...layer, size: 1.5 }] }, "layers.0.size"],
    ["no config", { layers: [layer] }, "config"],
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

describe("of an index, the member taken", () => {
  const member = (platform: object) => ({ image: testImage({ labels: { p: JSON.stringify(platform) } }), platform });
  const index = (...platforms: object[]): Index => {
    const parsed = parseManifest(testIndex(platforms.map(member)).bytes);
    if (parsed.kind !== "index") throw new Error("no index");
    return parsed;
  };
  const chosen = (from: Index, wanted: { os: string; architecture: string; variant?: string }) => {
    const { digest: found } = selectPlatform(from, wanted);
    return from.manifests.findIndex((one) => one.digest === found);
  };
  const amd64 = { os: "linux", architecture: "amd64" };

  test("has the operating system and architecture", () => {
    const all = index({ os: "windows", architecture: "amd64" }, { os: "linux", architecture: "arm64" }, amd64);
    expect(chosen(all, amd64)).toBe(2);
    expect(chosen(all, { os: "linux", architecture: "arm64" })).toBe(1);
  });

  test("has the variant, else none, else is the first that would do", () => {
    const arm = (variant?: string) => ({ os: "linux", architecture: "arm", ...(variant && { variant }) });
    const all = index(arm("v6"), arm(), arm("v7"));
    expect(chosen(all, arm("v7"))).toBe(2);
    expect(chosen(all, arm("v5"))).toBe(1);
    expect(chosen(index(arm("v6"), arm("v7")), arm())).toBe(0);
    expect(chosen(index({ ...amd64, variant: "v3" }, { ...amd64, variant: "v1" }), amd64)).toBe(1);
    expect(
      chosen(index({ os: "linux", architecture: "arm64", variant: "v8" }), { os: "linux", architecture: "arm64" }),
    ).toBe(0);
  });

  test("is never one of no platform or an unknown one; the error lists what there is", () => {
    const other = parseManifest(
      bytes({
        schemaVersion: 2,
        manifests: [
          { ...layer, mediaType: mediaTypes.ociManifest },
          { ...layer, mediaType: mediaTypes.ociManifest, platform: { os: "unknown", architecture: "unknown" } },
          { ...layer, mediaType: mediaTypes.ociManifest, platform: { os: "linux", architecture: "s390x" } },
        ],
      }),
    );
    if (other.kind !== "index") throw new Error("no index");
    expect(() => selectPlatform(other, amd64)).toThrow("linux/amd64, only for unknown, unknown/unknown, linux/s390x");
  });
});

describe("an image's config", () => {
  test("gives platform, labels and diffIDs", () => {
    const found = parseConfig(
      bytes({
        os: "linux",
        architecture: "arm",
        variant: "v7",
        config: { Labels: { a: "1" } },
        rootfs: { diff_ids: [digest("a")] },
      }),
    );
    expect({ ...found, labels: [...found.labels] }).toEqual({
      os: "linux",
      architecture: "arm",
      variant: "v7",
      labels: [["a", "1"]],
      diffIds: [digest("a")],
    });
  });

  test("may lack everything", () => {
    for (const sparse of [
      {},
      { config: null, rootfs: null },
      { config: { Labels: null }, rootfs: { diff_ids: null } },
    ]) {
      expect(parseConfig(bytes(sparse))).toEqual({
        os: "",
        architecture: "",
        variant: "",
        labels: new Map(),
        diffIds: [],
      });
    }
  });

  test("keeps labels of any name", () => {
    const { labels } = parseConfig(bytes('{"config":{"Labels":{"__proto__":"p","constructor":"c","toString":"t"}}}'));
    expect([...labels]).toEqual([
      ["__proto__", "p"],
      ["constructor", "c"],
      ["toString", "t"],
    ]);
  });

  test("is refused with labels that are no text, or diffIDs that are no digests", () => {
    expect(() => parseConfig(bytes({ config: { Labels: { a: 1 } } }))).toThrow(ManifestError);
    expect(() => parseConfig(bytes({ config: { Labels: ["a"] } }))).toThrow(ManifestError);
    expect(() => parseConfig(bytes({ rootfs: { diff_ids: ["sha256:x"] } }))).toThrow("diff_ids.0");
  });

  test("must count its layers as the manifest does", () => {
    const manifest = parseManifest(bytes({ config, layers: [layer, { ...layer, digest: digest("2") }] }));
    if (manifest.kind !== "manifest") throw new Error("no manifest");
    const withIds = (...ids: string[]) => parseConfig(bytes({ rootfs: { diff_ids: ids } }));
    expect(layersByDiffId(manifest, withIds(digest("a"), digest("b"))).get(digest("b"))?.digest).toBe(digest("2"));
    expect(() => layersByDiffId(manifest, withIds(digest("a")))).toThrow("2 layers, the config 1");
  });
});
