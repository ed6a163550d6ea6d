import { describe, expect, test } from "bun:test";
import { layersByDiffId, parseConfig } from "../../lib/oci/config.ts";
import { ManifestError } from "../../lib/oci/document.ts";
import { parseManifest } from "../../lib/oci/manifest.ts";

const digest = (digit: string) => `sha256:${digit.repeat(64)}`;
const bytes = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: digest("c"), size: 10 };
const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: digest("1"), size: 20 };

describe("an image's config", () => {
  test("gives platform, labels and diffIDs", () => {
    const found = parseConfig(
      bytes({
        os: "linux",
        architecture: "arm",
        variant: "v7",
        created: "2026-01-02T03:04:05Z",
        config: { Labels: { a: "1" } },
        rootfs: { diff_ids: [digest("a")] },
      }),
    );
    expect({ ...found, labels: [...found.labels] }).toEqual({
      os: "linux",
      architecture: "arm",
      variant: "v7",
      created: "2026-01-02T03:04:05Z",
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
        created: "",
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

  test("is read around what we do not need, or cannot use", () => {
    const { labels, diffIds, os } = parseConfig(
      bytes({
        os: 5,
        history: "long",
        config: { Labels: { a: 1, b: "2", c: null }, Env: null, Cmd: 7 },
        rootfs: { type: null, diff_ids: [`sha512:${"a".repeat(128)}`, null, digest("b")] },
      }),
    );
    expect([os, [...labels], diffIds]).toEqual(["", [["b", "2"]], ["", "", digest("b")]]);
    for (const sparse of [{ config: { Labels: ["a"] } }, { config: "x" }, { config: [] }, { rootfs: 5 }]) {
      expect(parseConfig(bytes(sparse))).toMatchObject({ labels: new Map(), diffIds: [] });
    }
  });

  test("is refused when it is not an object", () => {
    for (const wrong of ["5", "null", '"x"', "{"]) expect(() => parseConfig(bytes(wrong))).toThrow(ManifestError);
  });

  test("must count its layers as the manifest does", () => {
    const manifest = parseManifest(bytes({ config, layers: [layer, { ...layer, digest: digest("2") }] }));
    if (manifest.kind !== "manifest") throw new Error("no manifest");
    const withIds = (...ids: string[]) => parseConfig(bytes({ rootfs: { diff_ids: ids } }));
    expect(layersByDiffId(manifest, withIds(digest("a"), digest("b"))).get(digest("b"))?.digest).toBe(digest("2"));
    expect(() => layersByDiffId(manifest, withIds(digest("a")))).toThrow("2 layers, the config 1");
  });

  test("of layers with one diffID the first that can be had counts", () => {
    const foreign = { ...layer, mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" };
    const [second, third] = [digest("2"), digest("3")].map((one) => ({ ...layer, digest: one }));
    const manifest = parseManifest(bytes({ config, layers: [foreign, second, third] }));
    if (manifest.kind !== "manifest") throw new Error("no manifest");
    const ids = parseConfig(bytes({ rootfs: { diff_ids: [digest("a"), digest("a"), digest("a")] } }));
    expect(layersByDiffId(manifest, ids).get(digest("a"))?.digest).toBe(digest("2"));
  });
});
