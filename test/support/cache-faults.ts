/**
 * A cache image in a registry that fails, and what a run of the executable makes of it: it costs what the fault is about and
 * nothing more, says so once, leaves nothing half, and ends by itself.
 */
import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { Slots } from "../../lib/slots.ts";
import { analyzedToml, cacheMetadata, groupToml, metadataName } from "./cache-fixture.ts";
import {
  digestOf,
  type Fault,
  type FaultRegistryOptions,
  type FaultRule,
  type RecordedRequest,
  startFaultRegistry,
  type TestImage,
  type TestImageOptions,
  testImage,
} from "./fault-registry.ts";
import { hangMs, type RunOptions, type RunResult, runRestorer, type Snapshot, snapshot, tempDir } from "./harness.ts";
import { tarOf } from "./raw-tar.ts";

export const data: Readonly<Record<string, Buffer>> = { one: randomBytes(2_000_000), two: randomBytes(50_000) };
export const names = Object.keys(data);
export const parents = ["/layers", "/layers/bp"].map((name) => ({ name, type: "directory" }) as const);
export const tars = names.map((name) =>
  tarOf([
    ...parents,
    { name: `/layers/bp/${name}`, type: "directory" },
    { name: `/layers/bp/${name}/data`, data: data[name] ?? "" },
  ]),
);
export const sbomTar = tarOf([
  ...["/layers", "/layers/sbom", "/layers/sbom/cache"].map((name) => ({ name, type: "directory" }) as const),
  { name: "/layers/sbom/cache/bp/one/sbom.cdx.json", data: "{}" },
]);

/** The cache's label; each layer's sha is its diffID unless another one is given. */
export function labelOf(shas: Readonly<Record<string, string>> = {}, sbomSha = ""): Record<string, string> {
  const layers = names.map((name) => ({ name, data: { name } }));
  const shaOf = (_: string, name: string) => shas[name] ?? digestOf(tars[names.indexOf(name)] ?? Buffer.alloc(0));
  return { [metadataName]: cacheMetadata([{ id: "bp", layers }], shaOf, sbomSha) };
}

export function cacheImage(options: TestImageOptions = {}): TestImage {
  return testImage({ layers: tars, labels: labelOf(), ...options });
}

/** The cache image, but with other bytes as the blob of its first layer; size and digest are theirs. */
export function imageWith(blob: Uint8Array, options: TestImageOptions = {}, digest = digestOf(blob)): TestImage {
  const descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size: blob.length };
  const image = cacheImage({
    ...options,
    editManifest: (manifest) => ({ ...manifest, layers: [descriptor, ...layersOf(manifest).slice(1)] }),
  });
  return { ...image, blobs: new Map([...image.blobs, [descriptor.digest, blob]]) };
}

export interface Descriptor {
  readonly digest: string;
}

export function layersOf(manifest: Record<string, unknown>): Descriptor[] {
  return manifest.layers as Descriptor[];
}

export const manifestOf = ({ bytes }: TestImage) =>
  JSON.parse(Buffer.from(bytes).toString()) as { config: Descriptor; layers: Descriptor[] };

export const healthy = cacheImage();
export const plain = cacheImage({ compression: "none" });
export const [gzipped = Buffer.alloc(0), plainTar = Buffer.alloc(0)] = [gzipSync(tars[0] ?? ""), tars[0]];
export const anyManifest = /\/manifests\//;
export const configOf = (image: TestImage) => new RegExp(manifestOf(image).config.digest);
export const blobOf = (image: TestImage, layer = 0) => new RegExp(manifestOf(image).layers[layer]?.digest ?? "none");

/** For the runs that do not spend their time waiting: a busy machine must not be made busier. */
const busyRuns = new Slots(3);

export interface Setup extends FaultRegistryOptions {
  readonly image?: TestImage;
  readonly rules?: readonly FaultRule[];
  readonly args?: readonly string[];
  readonly run?: RunOptions;
  /** Of the credentials that the run gets for the registry: the value of CNB_REGISTRY_AUTH. */
  readonly header?: string;
  /** Spends its time waiting, so it does not wait for others before. */
  readonly isSlow?: boolean;
}

export interface Outcome extends RunResult {
  readonly after: Snapshot;
  readonly requests: readonly RecordedRequest[];
  readonly host: string;
}

/** Restores from a fresh registry into a fresh layers directory. */
export async function restore(setup: Setup = {}): Promise<Outcome> {
  const { image = healthy, args = [], header, isSlow = false, run: options, ...registry } = setup;
  await using server = await startFaultRegistry(registry);
  const { host, requests } = server;
  server.push("cache", "latest", image);
  using dir = tempDir("faults", { "group.toml": groupToml([{ id: "bp" }]), "analyzed.toml": analyzedToml() });
  const auth = header === undefined ? {} : { CNB_REGISTRY_AUTH: JSON.stringify({ [host]: header }) };
  const run = () =>
    runRestorer(["-layers", dir.path, "-cache-image", `${host}/cache`, ...args], {
      ...options,
      env: { ...auth, ...options?.env },
    });
  using _turn = isSlow ? undefined : await busyRuns.take();
  const result = await run();
  return { ...result, after: snapshot(dir.path), requests, host };
}

/** The layers directory holds these layers, byte for byte, and nothing else: nothing half, nothing of the restorer's own. */
export function expectLayers(after: Snapshot, layers: readonly string[], more: readonly string[] = []): void {
  const digest = (name: string) => digestOf(data[name] ?? Buffer.alloc(0)).replace("sha256:", "");
  const expected = layers.flatMap((name) => [`bp/${name}`, `bp/${name}.toml`, `bp/${name}/data ${digest(name)}`]);
  const found = [...after].map(([path, { sha256 }]) => (path.endsWith("/data") ? `${path} ${sha256}` : path));
  const always = ["analyzed.toml", "group.toml", ...(layers.length > 0 ? ["bp"] : []), ...more];
  expect(found.sort()).toEqual([...always, ...expected].sort());
}

/** One warning of at most two lines, in plain words. */
export function expectWarning(stderr: string, ...words: (string | RegExp)[]): void {
  expect(stderr.trimEnd().split("\n").length).toBeLessThanOrEqual(2);
  expect(stderr.match(/^Warning: /gm)).toHaveLength(1);
  expect(stderr).toStartWith("Warning: ");
  expect(stderr).not.toMatch(/^ +at |\.ts:|\[object |undefined/m);
  for (const each of words) expect(stderr).toMatch(each);
}

export function expectWarm({ exitCode, stderr, after }: Outcome): void {
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expectLayers(after, names);
}

/** The first layer is missing, for one reason; the second one is there. */
export function expectNeighbour({ exitCode, stderr, after }: Outcome, ...words: (string | RegExp)[]): void {
  expectWarning(stderr, 'Not restoring "bp:one": ', ...words);
  expect(exitCode).toBe(0);
  expectLayers(after, ["two"]);
}

export function expectCold({ exitCode, stderr, after }: Outcome, ...words: (string | RegExp)[]): void {
  expectWarning(stderr, "Not using the cache: ", ...words);
  expect(exitCode).toBe(0);
  expectLayers(after, []);
}

/**
 * A test that runs beside others. A process that hangs is killed first; the limit is for the test itself, and for the time
 * that it waits for others.
 */
export function restoreTest(what: string, run: () => Promise<void>): void {
  test.concurrent(what, run, 2 * hangMs);
}

/** A fault, with what its warning tells. */
export type Case = readonly [what: string, setup: Setup, ...words: (string | RegExp)[]];

/** Every case is restored twice: as it is, and strictly. */
export function forEach(cases: readonly Case[], expectOutcome: typeof expectCold): void {
  for (const [what, setup, ...words] of cases) {
    restoreTest(what, async () => {
      const strictly = { ...setup, args: ["-strict", ...(setup.args ?? [])] };
      const [outcome, strict] = await Promise.all([restore(setup), restore(strictly)]);
      expectOutcome(outcome, ...words);
      expect(strict.exitCode).toBe(42);
      expect(strict.stderr).toMatch(/^ERROR: /m);
      expect([...strict.after.keys()].filter((path) => path.includes(".restorer") || path.includes("one"))).toEqual([]);
    });
  }
}

export const statuses = [401, 403, 429, 500, 503];
export const status = (code: number): Fault => ({ kind: "status", status: code, body: "<b>secret page</b>" });
