import { type TestImage, testImage, testIndex } from "./test-image.ts";
import type { Tree } from "./tree.ts";

/** A directory of OCI layouts with one image, `name` with the tag `latest`. */
export function layoutTree(name: string): Tree {
  const image = testImage({ labels: { "io.buildpacks.base.id": "base" } });
  const index = testIndex([{ image, platform: { os: "linux", architecture: "amd64" } }]);
  return { [name]: { latest: layoutOf(index, image) } };
}

/** An OCI layout with an index over an image. */
export function layoutOf(index: TestImage, image: TestImage): Tree {
  const blobs = [[image.digest, image.bytes] as const, ...image.blobs];
  const sha256 = Object.fromEntries(blobs.map(([digest, bytes]) => [digest.replace("sha256:", ""), bytes]));
  return { "oci-layout": '{"imageLayoutVersion":"1.0.0"}', "index.json": index.bytes, blobs: { sha256 } };
}
