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
