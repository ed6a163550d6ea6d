import { describe, expect, test } from "bun:test";
import type { Index, Manifest, Platform } from "../../lib/oci/manifest.ts";
import { findManifest } from "../../lib/oci/members.ts";

const amd64 = { os: "linux", architecture: "amd64" };
const arm64 = { os: "linux", architecture: "arm64" };

describe("an index that leads to indexes", () => {
  const manifest: Manifest = {
    kind: "manifest",
    mediaType: "",
    config: { mediaType: "", digest: "", size: 1 },
    layers: [],
  };
  /** Indexes `0` to `depth - 1`, each with the next one as its member, and a manifest at the end. */
  const follow = async (depth: number, platform: Platform | undefined) => {
    const at = (level: number) => {
      const member = { mediaType: "", digest: `${level + 1}`, size: 1, platform, isAttestation: false };
      const index: Index = { kind: "index", mediaType: "", manifests: [member] };
      return { content: level === depth ? manifest : index };
    };
    const read: string[] = [];
    const start: { content: Index | Manifest } = at(0);
    const found = await findManifest(start, {
      platform: amd64,
      otherwise: "nothing",
      read: async (member) => {
        read.push(member.digest);
        return at(Number(member.digest));
      },
      platformOf: async () => amd64,
      isUnusable: () => false,
    });
    return { read, manifest: found.manifest };
  };

  test.each([0, 1, 2, 3])("is followed to the manifest: %i of them", async (depth) => {
    for (const platform of [amd64, undefined]) {
      const { read, manifest: found } = await follow(depth, platform);
      expect(read).toEqual(["1", "2", "3"].slice(0, depth));
      expect(found).toBe(manifest);
    }
  });

  test("has a few members looked into only, however many there are at each level", async () => {
    let reads = 0;
    const at = (level: number) => {
      const member = { mediaType: "", digest: `${level + 1}`, size: 1, platform: undefined, isAttestation: false };
      const index: Index = { kind: "index", mediaType: "", manifests: Array.from({ length: 16 }, () => member) };
      return { content: level === 3 ? manifest : index };
    };
    const start: { content: Index | Manifest } = at(0);
    const search = findManifest(start, {
      platform: amd64,
      otherwise: "nothing",
      read: async ({ digest }) => {
        reads += 1;
        return at(Number(digest));
      },
      platformOf: async () => arm64,
      isUnusable: () => false,
    });
    await expect(search).rejects.toThrow("no member");
    expect(reads).toBeLessThanOrEqual(16);
  });

  test("is not followed for ever", async () => {
    await expect(follow(4, amd64)).rejects.toThrow("too many indexes inside each other");
  });
});
