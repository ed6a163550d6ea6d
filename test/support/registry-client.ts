import { expect } from "bun:test";
import { randomBytes } from "node:crypto";
import { resolveKeychain } from "../../lib/keychain/keychain.ts";
import type { Log } from "../../lib/log.ts";
import { parseReference, type Reference } from "../../lib/oci/reference.ts";
import { RegistryError } from "../../lib/registry/errors.ts";
import { createRegistry, type Registry } from "../../lib/registry/registry.ts";
import type { RegistryTiming } from "../../lib/registry/timing.ts";
import { sleep } from "../../lib/waiting.ts";
import {
  digestOf,
  type FaultRegistry,
  type FaultRegistryOptions,
  startFaultRegistry,
  testImage,
} from "./fault-registry.ts";

/** Waits that are no longer than they must be; what may pass before something counts as silent is as ever. */
export const quick: Partial<RegistryTiming> = { sleep: (ms, signal) => sleep(Math.min(ms, 2), signal) };
/** For servers that never answer: nothing that does may be asked with it. */
export const hasty: Partial<RegistryTiming> = { ...quick, answerMs: 150, probeMs: 100 };

export const layers = [randomBytes(300_000), randomBytes(70_000)];
export const image = testImage({ layers, labels: { hello: "world" }, compression: "none" });
export const basic = (user: string) => `Basic ${Buffer.from(user).toString("base64")}`;

export interface Setup {
  readonly auth?: Record<string, string>;
  readonly insecure?: readonly string[];
  readonly env?: Record<string, string | undefined>;
  readonly timing?: Partial<RegistryTiming>;
  readonly signal?: AbortSignal;
  readonly architecture?: string;
  readonly connections?: number;
}

/** A client for a registry, and what it logs. */
export async function client(
  registries: string[],
  setup: Setup = {},
): Promise<{ registry: Registry; lines: string[] }> {
  const lines: string[] = [];
  const say = (message: string) => void lines.push(message);
  const log: Log = { level: "debug", debug: say, info: say, warn: say, error: say, warnings: [], flush() {} };
  const keychainEnv = { HOME: "/nonexistent", ...(setup.auth && { CNB_REGISTRY_AUTH: JSON.stringify(setup.auth) }) };
  const registry = createRegistry({
    keychain: await resolveKeychain({
      env: keychainEnv,
      images: [...registries].map((name) => ({ registry: name, repository: "" })),
      log,
    }),
    insecureRegistries: setup.insecure ?? [],
    env: setup.env ?? {},
    log,
    signal: setup.signal ?? new AbortController().signal,
    platform: { os: "linux", architecture: setup.architecture ?? "amd64" },
    timing: { ...quick, ...setup.timing },
    ...(setup.connections === undefined ? {} : { connections: setup.connections }),
  });
  return { registry, lines };
}

/** A fault registry with the test image in it as `org/app:v1`, and a client for it. */
export async function serving(options: FaultRegistryOptions, setup: Setup | ((server: FaultRegistry) => Setup) = {}) {
  const server = await startFaultRegistry(options);
  server.push("org/app", "v1", image);
  const { registry, lines } = await client([server.host], typeof setup === "function" ? setup(server) : setup);
  return {
    server,
    registry,
    lines,
    reference: parseReference(`${server.host}/org/app:v1`),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

/** An image, and the first of its layers. */
export async function firstLayer(registry: Registry, reference: Reference) {
  const found = await registry.image(reference);
  const [layer] = found.manifest.layers;
  if (layer === undefined) throw new Error("no layer");
  return { found, layer };
}

/** Fetches everything there is of the image, as a restore does. */
export async function pull({ registry, reference }: { registry: Registry; reference: Reference }) {
  const found = await registry.image(reference);
  const { config } = await registry.config(found);
  const blobs = await Promise.all(found.manifest.layers.map((layer) => collect(registry.blob(found, layer))));
  return { found, config, blobs };
}

export async function failure(work: Promise<unknown>): Promise<RegistryError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(RegistryError);
  if (!(error instanceof RegistryError)) throw new Error(`not a RegistryError: ${error}`);
  return error;
}

export const blobPath = (number: number) => new RegExp(`/blobs/${digestOf(layers[number] ?? Buffer.alloc(0))}`);
export const anything = () => true;
