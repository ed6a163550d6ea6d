import { writeTree } from "../support/harness.ts";

/** Writes an image of one empty layer as an OCI layout; gives its digest. */
export function writeRunImage(path: string): string {
  const store = (content: string | Uint8Array) => {
    const hash = new Bun.CryptoHasher("sha256").update(content).digest("hex");
    writeTree(path, { blobs: { sha256: { [hash]: content } } });
    return { digest: `sha256:${hash}`, size: Buffer.byteLength(content) };
  };
  const oci = (kind: string) => `application/vnd.oci.image.${kind}`;
  const layer = store(new Uint8Array(1024));
  const rootfs = { type: "layers", diff_ids: [layer.digest] };
  const config = store(JSON.stringify({ architecture: "amd64", os: "linux", config: {}, rootfs }));
  const manifest = store(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: oci("manifest.v1+json"),
      config: { mediaType: oci("config.v1+json"), ...config },
      layers: [{ mediaType: oci("layer.v1.tar"), ...layer }],
    }),
  );
  const manifests = [{ mediaType: oci("manifest.v1+json"), ...manifest }];
  writeTree(path, {
    "oci-layout": JSON.stringify({ imageLayoutVersion: "1.0.0" }),
    "index.json": JSON.stringify({ schemaVersion: 2, manifests }),
  });
  return manifest.digest;
}
