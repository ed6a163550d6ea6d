import { afterAll, beforeAll, expect } from "bun:test";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { openKaniko } from "../../lib/images/kaniko.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import { type FaultRegistry, startFaultRegistry, type TestImage, testImage } from "./fault-registry.ts";
import type { TempDir } from "./harness.ts";
import { anonymousRegistry, rememberingLog } from "./image-fixture.ts";

export const [shared, large, small] = [randomBytes(40_000), randomBytes(300_000), randomBytes(100)];
export const buildImage = testImage({ layers: [shared, large, small, small], compression: "none" });
export const runImage = testImage({ layers: [shared], compression: "none", format: "docker", labels: { run: "yes" } });

// As in a run: modes are given exactly.
let umask = 0;
beforeAll(() => {
  umask = process.umask(0);
});
afterAll(() => void process.umask(umask));

export async function served(): Promise<FaultRegistry> {
  const registry = await startFaultRegistry();
  registry.push("build", "latest", buildImage);
  registry.push("run", "latest", runImage);
  return registry;
}

export interface Setup {
  readonly umask?: number;
  readonly signal?: AbortSignal;
}

/** A kaniko directory below `dir`, and how to save images there. */
export async function kanikoIn(dir: TempDir, server: FaultRegistry, { umask = 0o022, signal }: Setup = {}) {
  const { log, lines } = rememberingLog();
  const aborter = new AbortController();
  const registry = await anonymousRegistry(log, signal ?? aborter.signal);
  const kaniko = openKaniko({
    kanikoDir: dir.join("kaniko"),
    layersDir: dir.join("layers"),
    umask,
    log,
    signal: signal ?? aborter.signal,
  });
  const save = async (name: string) =>
    kaniko.save(await registry.image(parseReference(`${server.host}/${name}`)), registry);
  return { save, lines };
}

export const placeOf = (dir: TempDir, image: TestImage) => dir.join("kaniko", "cache", "base", image.digest);
export const blobOf = (dir: TempDir, image: TestImage, digest: string) =>
  `${placeOf(dir, image)}/blobs/sha256/${digest.replace("sha256:", "")}`;

/** What is below `cache/base`: complete layouts, and nothing else. */
export function expectComplete(dir: TempDir, ...images: TestImage[]): void {
  expect(readdirSync(dir.join("kaniko", "cache", "base")).sort()).toEqual(images.map(({ digest }) => digest).sort());
  for (const image of images) {
    const blobs = new Map([...image.blobs, [image.digest, image.bytes]]);
    const names = [...blobs.keys()].map((digest) => digest.replace("sha256:", ""));
    expect(readdirSync(`${placeOf(dir, image)}/blobs/sha256`).sort()).toEqual(names.sort());
    for (const [digest, bytes] of blobs) {
      expect(readFileSync(blobOf(dir, image, digest)).equals(bytes)).toBeTrue();
    }
    const index = JSON.parse(readFileSync(`${placeOf(dir, image)}/index.json`, "utf8"));
    const { mediaType, digest, bytes } = image;
    expect(index.manifests).toEqual([{ mediaType, digest, size: bytes.length }]);
  }
}
