import { join, resolve } from "node:path";
import type { Environment } from "../environment.ts";
import { type LogLevel, logLevels } from "../log.ts";
import { newestPlatformApi, parsePlatformApi } from "../platform-api.ts";
import { quote } from "../text.ts";
import { type Arguments, invalid, parseArguments, parseBoolean, parseId } from "./flags.ts";

/** Everything a run is asked to do (contract §1), resolved from flags, environment and defaults. */
export interface Inputs {
  /** N of Platform API 0.N. */
  readonly platformApi: number;
  readonly layersDir: string;
  readonly groupPath: string;
  readonly analyzedPath: string;
  readonly runPath: string;
  readonly cacheDir: string | undefined;
  readonly cacheImage: string | undefined;
  readonly buildImage: string | undefined;
  readonly appImage: string | undefined;
  readonly daemon: boolean;
  readonly layout: boolean;
  readonly layoutDir: string;
  readonly kanikoDir: string;
  readonly insecureRegistries: readonly string[];
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly skipLayers: boolean;
  readonly strict: boolean;
  readonly reportPath: string | undefined;
  readonly execEnv: string;
  readonly logLevel: LogLevel;
  readonly noColor: boolean;
  /** What to warn about once there is a log. */
  readonly warnings: readonly string[];
}

/** `version` or `help` where the command line asks for one of them; they need no valid environment. */
export function requestedInfo(argv: readonly string[]): "version" | "help" | undefined {
  for (let end = 1; end <= argv.length; end++) {
    let seen: Arguments;
    try {
      seen = parseArguments(argv.slice(0, end), newestPlatformApi);
    } catch {
      continue;
    }
    if (seen.booleans.get("help") === true) return "help";
    if (seen.booleans.get("version") === true) return "version";
  }
  return undefined;
}

/** Resolves the inputs of a run: flag, else environment variable, else default. Throws RestorerErrors (exit 3, 11). */
export function readInputs(argv: readonly string[], env: Environment): Inputs {
  const warnings: string[] = [];
  const requested = env["CNB_PLATFORM_API"] ?? "";
  if (requested === "") warnings.push(`CNB_PLATFORM_API is not set, assuming the newest, 0.${newestPlatformApi}`);
  const platformApi = requested === "" ? newestPlatformApi : parsePlatformApi(requested);
  const given = parseArguments(argv, platformApi);

  const text = (flag: string, variable?: string): string | undefined =>
    nonEmpty(given.text.get(flag)) ?? (given.text.has(flag) ? undefined : nonEmpty(variable && env[variable]));
  const boolean = (flag: string, ...variables: string[]): boolean =>
    given.booleans.get(flag) ?? variables.some((name) => booleanVariable(name, env, warnings));
  const id = (flag: string, variable: string): number | undefined => {
    const fromFlag = given.text.get(flag);
    const value = fromFlag ?? nonEmpty(env[variable]);
    if (value === undefined) return undefined;
    if (fromFlag === undefined && !/^[+-]?[0-9]+$/.test(value)) {
      warnings.push(`${variable}=${quote(value)} is not a number, ignoring it`);
      return undefined;
    }
    // Go reads flags by their prefix (0x…, 0o…), but the environment as decimal.
    const parsed = parseId(fromFlag ?? String(Number(value)));
    if (parsed !== undefined) return parsed;
    throw invalid(
      `${fromFlag === undefined ? variable : `-${flag}`}: ${quote(value)} is not an id from 0 to 4294967294`,
    );
  };

  const layersDir = resolve(text("layers", "CNB_LAYERS_DIR") ?? "/layers");
  const cacheVolume = text("cache-volume");
  if (cacheVolume !== undefined && given.text.has("cache-image")) {
    throw invalid("-cache-volume and -cache-image cannot be used together");
  }
  const cacheDir = cacheVolume ?? text("cache-dir", "CNB_CACHE_DIR");
  return {
    platformApi,
    layersDir,
    groupPath: text("group", "CNB_GROUP_PATH") ?? join(layersDir, "group.toml"),
    analyzedPath: text("analyzed", "CNB_ANALYZED_PATH") ?? join(layersDir, "analyzed.toml"),
    runPath: text("run", "CNB_RUN_PATH") ?? "/cnb/run.toml",
    cacheDir: cacheDir && resolve(cacheDir),
    cacheImage: text("cache-image", "CNB_CACHE_IMAGE"),
    buildImage: text("build-image", "CNB_BUILD_IMAGE"),
    appImage: text("image"),
    daemon: boolean("daemon", "CNB_USE_DAEMON"),
    layout: boolean("layout", "CNB_USE_LAYOUT"),
    layoutDir: text("layout-dir", "CNB_LAYOUT_DIR") ?? "",
    kanikoDir: resolve(text("kaniko-dir", "CNB_KANIKO_DIR") ?? "/kaniko"),
    insecureRegistries: given.lists.get("insecure-registry") ?? commaList(env["CNB_INSECURE_REGISTRIES"]),
    uid: id("uid", "CNB_USER_ID"),
    gid: id("gid", "CNB_GROUP_ID"),
    skipLayers: boolean("skip-layers", "CNB_SKIP_LAYERS", "CNB_SKIP_RESTORE"),
    strict: boolean("strict", "CNB_RESTORE_STRICT"),
    reportPath: text("report", "CNB_RESTORE_REPORT"),
    execEnv: nonEmpty(env["CNB_EXEC_ENV"]) ?? "production",
    logLevel: logLevel(text("log-level", "CNB_LOG_LEVEL") ?? "info"),
    noColor: given.booleans.get("no-color") ?? (parseBoolean(env["CNB_NO_COLOR"] ?? "") === true || !!env["NO_COLOR"]),
    warnings,
  };
}

function logLevel(text: string): LogLevel {
  const lower = text.toLowerCase();
  const level = logLevels.find((known) => known === (lower === "warning" ? "warn" : lower));
  if (level === undefined) throw invalid(`log level ${quote(text)} is none of debug, info, warn, error`);
  return level;
}

/** Whether a variable is set and true; what is no boolean is false, as for the reference, but not without a word. */
function booleanVariable(name: string, env: Environment, warnings: string[]): boolean {
  const text = env[name] ?? "";
  const value = parseBoolean(text);
  if (value === undefined && text !== "")
    warnings.push(`${name}=${quote(text)} is neither true nor false, taking it for false`);
  return value === true;
}

function commaList(text: string | undefined): readonly string[] {
  return (text ?? "").split(",").flatMap((part) => nonEmpty(part.trim()) ?? []);
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}
