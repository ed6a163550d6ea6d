import { join } from "node:path";
import { type Inputs, readInputs } from "../../lib/cli/inputs.ts";
import { resolveKeychain } from "../../lib/keychain/keychain.ts";
import type { Log } from "../../lib/log.ts";
import { createRegistry, type Registry } from "../../lib/registry/registry.ts";
import { type Analyzed, readAnalyzed } from "../../lib/toml/analyzed.ts";
import { sleep } from "../../lib/waiting.ts";
import { type TempDir, writeTree } from "./harness.ts";

/** A log that only remembers: `warn: …`, one entry per message. */
export function rememberingLog(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const say = (level: string) => (message: string) => void lines.push(`${level}: ${message}`);
  const log: Log = {
    level: "debug",
    debug: say("debug"),
    info: say("info"),
    warn: say("warn"),
    error: say("error"),
    warnings: [],
    flush() {},
  };
  return { log, lines };
}

/** A registry client without credentials that does not wait long. */
export async function anonymousRegistry(log: Log, signal = new AbortController().signal): Promise<Registry> {
  return createRegistry({
    keychain: await resolveKeychain({ env: { HOME: "/nonexistent" }, images: [], log }),
    insecureRegistries: [],
    env: {},
    log,
    signal,
    platform: { os: "linux", architecture: "amd64" },
    timing: { sleep: (ms, ended) => sleep(Math.min(ms, 2), ended), probeMs: 2000 },
  });
}

/** Inputs of Platform API 0.`api`, with some given directly. */
export function inputsOf(api: number, given: Partial<Inputs> = {}): Inputs {
  return { ...readInputs([], { CNB_PLATFORM_API: `0.${api}` }), ...given };
}

/** analyzed.toml as it is read: undefined text for a missing one. */
export function analyzedOf(dir: TempDir, text: string | undefined): Analyzed {
  if (text !== undefined) writeTree(dir.path, { "analyzed.toml": text });
  const analyzed = readAnalyzed(join(dir.path, "analyzed.toml"), rememberingLog().log);
  if (analyzed === undefined) throw new Error("the test's analyzed.toml is malformed");
  return analyzed;
}

/** What a promise is rejected with. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error("it was not rejected");
}
