/** A cache image in an OCI layout whose one layer is a large file of zeros, which takes no room on disk. */
import { createHash } from "node:crypto";
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { headerOf, paddingOf, tarTrailer } from "./raw-tar.ts";
import { digestOf, encode } from "./test-image.ts";

const step = Buffer.alloc(1024 * 1024);

/** Makes it in a new directory, its layer `bp:zeros` uncompressed, with a file of that many MiB. */
export function zerosLayout(dir: string, mebibytes: number): void {
  const blobs = join(dir, "blobs", "sha256");
  mkdirSync(blobs, { recursive: true });
  const blob = (mediaType: string, bytes: Uint8Array) => {
    const digest = digestOf(bytes);
    writeFileSync(join(blobs, digest.slice(7)), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const size = mebibytes * step.length;
  const directories = ["layers/", "layers/bp/", "layers/bp/zeros/"];
  const head = Buffer.concat([
    ...directories.map((name) => headerOf({ name, type: "directory" }, 0)),
    headerOf({ name: "layers/bp/zeros/file", size }, size),
  ]);
  const hash = createHash("sha256").update(head);
  for (let done = 0; done < mebibytes; done++) hash.update(step);
  hash.update(paddingOf(size)).update(tarTrailer);
  const hex = hash.digest("hex");
  const diffId = `sha256:${hex}`;
  const total = head.length + size + paddingOf(size).length + tarTrailer.length;
  writeFileSync(join(blobs, hex), head);
  truncateSync(join(blobs, hex), total);

  const metadata = { buildpacks: [{ key: "bp", version: "1", layers: { zeros: { sha: diffId, cache: true } } }] };
  const labels = { "io.buildpacks.lifecycle.cache.metadata": JSON.stringify(metadata) };
  const image = "application/vnd.oci.image";
  const config = blob(
    `${image}.config.v1+json`,
    encode({ os: "linux", config: { Labels: labels }, rootfs: { type: "layers", diff_ids: [diffId] } }),
  );
  const layer = { mediaType: `${image}.layer.v1.tar`, digest: diffId, size: total };
  const mediaType = `${image}.manifest.v1+json`;
  const manifest = blob(mediaType, encode({ schemaVersion: 2, mediaType, config, layers: [layer] }));
  writeFileSync(join(dir, "index.json"), encode({ schemaVersion: 2, manifests: [manifest] }));
  writeFileSync(join(dir, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
}
