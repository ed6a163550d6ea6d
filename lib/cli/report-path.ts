import { resolve } from "node:path";
import type { Environment } from "../environment.ts";
import { newestPlatformApi } from "../platform-api.ts";
import { flagNamed } from "./flags.ts";

/** What is known of a run that cannot begin, since its inputs are wrong: enough to write its report. */
export interface RefusedInputs {
  readonly reportPath: string | undefined;
  readonly layersDir: string;
  readonly kanikoDir: string;
  /** The caches that are named, in none of which a report is written. */
  readonly cacheDir: string | undefined;
  readonly cacheImage: string | undefined;
  readonly cacheFrom: readonly string[];
  /** As it was asked for. */
  readonly platformApi: string;
  /** The word that should be a command, where JSON is asked for. */
  readonly unknownCommand: string | undefined;
}

/**
 * Reads what a report needs from arguments and environment of which something else may be wrong (D26): what is not a flag,
 * or not one that we know, is passed over.
 */
export function readRefusedInputs(argv: readonly string[], env: Environment): RefusedInputs {
  const cacheDir = givenOrSet("cache-volume", argv, env) ?? givenOrSet("cache-dir", argv, env);
  return {
    cacheDir: cacheDir && resolve(cacheDir),
    cacheImage: givenOrSet("cache-image", argv, env),
    cacheFrom: [...given("cache-from", argv), ...(env["CNB_CACHE_FROM"]?.split(",") ?? []).map((word) => word.trim())],
    reportPath: givenOrSet("report", argv, env),
    layersDir: resolve(givenOrSet("layers", argv, env) ?? flagNamed("layers")?.default ?? "/"),
    kanikoDir: resolve(givenOrSet("kaniko-dir", argv, env) ?? flagNamed("kaniko-dir")?.default ?? "/"),
    platformApi: env["CNB_PLATFORM_API"] || `0.${newestPlatformApi}`,
    unknownCommand: asksForJson(argv, env) && /^[^-]/.test(argv[0] ?? "") ? argv[0] : undefined,
  };
}

/** Whether arguments of a command, of which something may be wrong, ask for JSON. */
export function asksForJson(argv: readonly string[], env: Environment): boolean {
  return givenOrSet("output", argv, env) === "json";
}

function givenOrSet(wanted: string, argv: readonly string[], env: Environment): string | undefined {
  const [variable = ""] = flagNamed(wanted)?.variables ?? [];
  return (given(wanted, argv).at(-1) ?? env[variable]) || undefined;
}

/** All values that a flag is given. */
function given(wanted: string, argv: readonly string[]): string[] {
  const values: string[] = [];
  for (let at = 0; at < argv.length && argv[at] !== "--"; at++) {
    const [, name = "", inline] = /^--?([^-=][^=]*)(?:=([\s\S]*))?$/.exec(argv[at] ?? "") ?? [];
    const flag = flagNamed(name);
    // The value of another flag may look like the one that is looked for.
    if (flag !== undefined && flag.kind !== "boolean" && inline === undefined) at += 1;
    const value = inline ?? argv[at];
    if (name === wanted && value !== undefined) values.push(value);
  }
  return values;
}
