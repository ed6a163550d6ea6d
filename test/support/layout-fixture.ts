import { testImage, testIndex } from "./test-image.ts";
import type { Tree } from "./tree.ts";

/** A directory of OCI layouts with one image, `name` with the tag `latest`. */
export function layoutTree(name: string): Tree {
  const image = testImage({ labels: { "io.buildpacks.base.id": "base" } });
  const index = testIndex([{ image, platform: { os: "linux", architecture: "amd64" } }]);
  const blobs = [[image.digest, image.bytes] as const, ...image.blobs];
  const sha256 = Object.fromEntries(blobs.map(([digest, bytes]) => [digest.replace("sha256:", ""), bytes]));
  const layout = { "oci-layout": '{"imageLayoutVersion":"1.0.0"}', "index.json": index.bytes, blobs: { sha256 } };
  return { [name]: { latest: layout } };
}
