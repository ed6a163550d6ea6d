/** A cache image in a `docker-registry`, and what a run of the executable makes of it. */
import { afterAll, beforeAll, expect } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { analyzedToml, type CachedBuildpack, groupToml, makeCache, metadataName } from "./cache-fixture.ts";
import { program, type RealRegistry, startRegistry } from "./docker-registry.ts";
import { type TestImage, type TestImageOptions, testImage } from "./fault-registry.ts";
import {
  differences,
  directory,
  file,
  hangMs,
  link,
  type RunResult,
  runRestorer,
  type Snapshot,
  snapshot,
  type TempDir,
  tempDir,
} from "./harness.ts";

/** What all tests of this file share: a cache, what it restores to, and a registry where everybody may push and pull. */
export interface Shared extends AsyncDisposable {
  readonly dir: TempDir;
  readonly open: RealRegistry;
  /** The layers directory after a restore from the cache as a directory. */
  readonly expected: Snapshot;
  /** Blobs of the cache: those that a restore needs come first. */
  readonly layers: readonly Buffer[];
  readonly needed: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

export const buildpacks = (dir: TempDir): CachedBuildpack[] => [
  {
    id: "example/node",
    layers: [
      { name: "deps", tree: dir.join("deps"), build: true, data: { lockfile: "abc", builds: 3 } },
      { name: "tools", tree: dir.join("tools") },
      { name: "unused", tree: dir.join("unused"), cache: false },
    ],
  },
  { id: "not/ours", layers: [{ name: "other", tree: dir.join("other") }] },
];

export async function share(): Promise<Shared> {
  const dir = tempDir("cache-image", {
    deps: { bin: { run: file("#!/bin/sh\n", 0o755) }, data: randomBytes(3_000_000), text: "a\n".repeat(400_000) },
    tools: { module: directory({ "go.mod": file("module x\n", 0o444) }, 0o555), latest: link("module") },
    unused: { file: "unused" },
    other: { file: "other" },
    sbom: { example_node: { deps: { "sbom.cdx.json": '{"bomFormat":"CycloneDX"}' } } },
    cache: {},
    storage: {},
  });
  const cache = makeCache(dir.join("cache"), buildpacks(dir), { sbom: { tree: dir.join("sbom") } });
  const needed = [cache.sha("example/node", "deps"), cache.sha("example/node", "tools"), cache.sbomSha ?? ""];
  const names = readdirSync(cache.committed).filter((name) => name.endsWith(".tar"));
  const order = [...needed, ...names.map((name) => name.replace(".tar", "")).filter((sha) => !needed.includes(sha))];
  const layers = order.map((sha) => readFileSync(`${cache.committed}/${sha}.tar`));
  const labels = { [metadataName]: readFileSync(cache.metadataPath, "utf8") };
  const open = await startRegistry(dir, "open");

  const target = layersIn(dir, "expected");
  const result = await runRestorer(["-layers", target, "-cache-dir", cache.path]);
  expect(result).toMatchObject({ exitCode: 0, stderr: "" });
  const end = async () => {
    await open[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  };
  return { dir, open, expected: snapshot(target), layers, needed, labels, [Symbol.asyncDispose]: end };
}

/** A fresh layers directory with its inputs. */
export function layersIn(dir: TempDir, name: string): string {
  const path = dir.join(`${name}-layers`);
  mkdirSync(path);
  writeFileSync(`${path}/group.toml`, groupToml([{ id: "example/node" }]));
  writeFileSync(`${path}/analyzed.toml`, analyzedToml());
  return path;
}

let shared: Shared | undefined;

/** Makes what the tests of a file share, before them, and ends it after them. */
export function shareRegistry(): void {
  beforeAll(async () => {
    if (program !== null) shared = await share();
  }, hangMs);
  afterAll(async () => {
    await shared?.[Symbol.asyncDispose]();
  });
}

export function all(): Shared {
  if (shared === undefined) throw new Error("there is no registry");
  return shared;
}

export const cacheImage = (options: TestImageOptions = {}): TestImage => testImage({ ...all(), ...options });

/** The blob of each layer that a restore needs, as the image has it. */
export function neededBlobs(image: TestImage): string[] {
  const manifest = JSON.parse(Buffer.from(image.bytes).toString()) as { layers: { digest: string }[] };
  return manifest.layers.slice(0, all().needed.length).map(({ digest }) => digest);
}

interface Restore extends RunResult {
  readonly after: Snapshot;
}

/** Restores from a cache image into a fresh layers directory. */
export async function restore(image: string, env: Record<string, string> = {}, ...args: string[]): Promise<Restore> {
  using dir = tempDir("layers");
  const layers = layersIn(dir, "fresh");
  const result = await runRestorer(["-layers", layers, "-cache-image", image, "-log-level", "debug", ...args], { env });
  return { ...result, after: snapshot(layers) };
}

/** Everything came back, as from a cache directory, and without a word of warning. */
export function expectWarm({ exitCode, stderr, after }: Restore): void {
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(differences(after, all().expected)).toEqual([]);
}

/** Nothing came back, and one warning says why. */
export function expectCold({ exitCode, stderr, after }: Restore, ...why: (string | RegExp)[]): void {
  expect(exitCode).toBe(0);
  expect(stderr).toMatch(/^Warning: Not using the cache: [^\n]*\n$/);
  for (const words of why) expect(stderr).toMatch(words);
  expect([...after.keys()]).toEqual(["analyzed.toml", "group.toml"]);
}

export function expectNoSecret({ stdout, stderr }: RunResult, ...secrets: string[]): void {
  for (const secret of secrets) {
    for (const form of [secret, Buffer.from(secret).toString("base64")])
      expect(`${stdout}${stderr}`).not.toContain(form);
  }
}
export const [user, password] = ["builder", "s3cret-passw0rd!"];
export const basic = (secret: string) => Buffer.from(`${user}:${secret}`).toString("base64");
export const asVariable = (host: string, header: string) => ({ CNB_REGISTRY_AUTH: JSON.stringify({ [host]: header }) });
