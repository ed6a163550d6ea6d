import { linkSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type CacheFixture, diffId, metadataName } from "../support/cache-fixture.ts";

/** The cache as an image, in an OCI layout (README, "A private registry in three minutes"). */
export function writeCacheImage(cache: CacheFixture, path: string): void {
  const blobs = join(path, "blobs", "sha256");
  mkdirSync(blobs, { recursive: true });
  const place = (digest: string): string => join(blobs, digest.replace("sha256:", ""));
  const store = (kind: string, content: object) => {
    const text = JSON.stringify(content);
    const digest = diffId(text);
    writeFileSync(place(digest), text);
    return { mediaType: `application/vnd.oci.image.${kind}.v1+json`, digest, size: Buffer.byteLength(text) };
  };
  const names = readdirSync(cache.committed).filter((name) => name.endsWith(".tar"));
  const layers = names.map((name) => {
    // Uncompressed, so that the blob's digest is the diffID.
    const digest = basename(name, ".tar");
    linkSync(join(cache.committed, name), place(digest));
    return { mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size: statSync(place(digest)).size };
  });
  const config = store("config", {
    os: "linux",
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    config: { Labels: { [metadataName]: readFileSync(cache.metadataPath, "utf8") } },
    rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => digest) },
  });
  const manifest = store("manifest", { schemaVersion: 2, config, layers });
  writeFileSync(join(path, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }));
  writeFileSync(join(path, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
}
