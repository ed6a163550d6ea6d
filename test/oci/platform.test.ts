import { describe, expect, test } from "bun:test";
import { type Descriptor, type Index, type Manifest, mediaTypes, parseManifest } from "../../lib/oci/manifest.ts";
import { findManifest, selectPlatform } from "../../lib/oci/platform.ts";
import { testImage, testIndex } from "../support/fault-registry.ts";

const digest = (digit: string) => `sha256:${digit.repeat(64)}`;
const bytes = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));

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
    const member = { mediaType: mediaTypes.ociManifest, digest: digest("1"), size: 20 };
    const other = parseManifest(
      bytes({
        schemaVersion: 2,
        manifests: [
          member,
          { ...member, platform: { os: "unknown", architecture: "unknown" } },
          { ...member, platform: { os: "linux", architecture: "s390x" } },
        ],
      }),
    );
    if (other.kind !== "index") throw new Error("no index");
    expect(() => selectPlatform(other, amd64)).toThrow("linux/amd64, only for unknown, unknown/unknown, linux/s390x");
  });
});

describe("an index that leads to indexes", () => {
  const descriptor = (name: string): Descriptor => ({ mediaType: mediaTypes.ociIndex, digest: name, size: 1 });
  const manifest: Manifest = { kind: "manifest", mediaType: "", config: descriptor("config"), layers: [] };
  /** Indexes `0` to `depth - 1`, each with the next one as its member, and a manifest at the end. */
  const documents = (depth: number) => {
    const index = (level: number): Index => ({ kind: "index", mediaType: "", manifests: [descriptor(`${level + 1}`)] });
    return Array.from({ length: depth + 1 }, (_, level) => ({ content: level === depth ? manifest : index(level) }));
  };
  const follow = async (depth: number) => {
    const all = documents(depth);
    const at = (level: number) => all[level] ?? { content: manifest };
    const read: string[] = [];
    const found = await findManifest(
      at(0),
      ({ manifests: [first] }) => first ?? descriptor("0"),
      async (member) => {
        read.push(member.digest);
        return at(Number(member.digest));
      },
    );
    return { read, manifest: found.manifest };
  };

  test.each([0, 1, 2, 3])("is followed to the manifest: %i of them", async (depth) => {
    const { read, manifest: found } = await follow(depth);
    expect(read).toEqual(["1", "2", "3"].slice(0, depth));
    expect(found).toBe(manifest);
  });

  test("is not followed for ever", async () => {
    await expect(follow(4)).rejects.toThrow("too many indexes inside each other");
  });
});
