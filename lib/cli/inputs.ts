import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Environment } from "../environment.ts";
import { type LogLevel, logLevels } from "../log.ts";
import { withoutUserInfo } from "../oci/reference.ts";
import { newestPlatformApi, parsePlatformApi } from "../platform-api.ts";
import { type Arguments, invalid, parseArguments } from "./arguments.ts";
import type { CommandName } from "./commands.ts";
import { Values } from "./values.ts";
import { variables } from "./variables.ts";

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
  /** Words that name caches to fall back on, in order (D25). */
  readonly cacheFrom: readonly string[];
  readonly buildImage: string | undefined;
  readonly appImage: string | undefined;
  readonly daemon: boolean;
  readonly layout: boolean;
  readonly layoutDir: string;
  readonly kanikoDir: string;
  readonly insecureRegistries: readonly string[];
  /** By how many connections at a time a large blob may come. */
  readonly blobConnections: number;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly skipLayers: boolean;
  readonly strict: boolean;
  /** Layers to restore alone, `buildpack:layer` or a part of it; empty for all. */
  readonly only: readonly string[];
  readonly reportPath: string | undefined;
  readonly execEnv: string;
  readonly logLevel: LogLevel;
  readonly noColor: boolean;
  /** What to warn about once there is a log. */
  readonly warnings: readonly string[];
}

/**
 * `version` or `help` where the command line asks for one of them; they are answered whatever the environment holds. As for Go's
 * flag package help is answered whatever follows it, the version only where no flag is wrong.
 */
export function requestedInfo(argv: readonly string[]): "version" | "help" | undefined {
  // To every other run this would only cost time.
  if (!/^--?(h|help|version)(=|$)/m.test(argv.join("\n"))) return undefined;
  let [read, isVersion] = [0, false];
  for (let end = 1; end <= argv.length; end++) {
    let seen: Arguments;
    try {
      seen = parseArguments(argv.slice(0, end), newestPlatformApi);
    } catch {
      continue;
    }
    if (seen.booleans.get("help") === true) return "help";
    [read, isVersion] = [end, seen.booleans.get("version") === true];
  }
  return isVersion && argv[read]?.startsWith("-") !== true ? "version" : undefined;
}

/** Resolves the inputs of a run: flag, else environment variable, else default. Throws RestorerErrors (exit 3, 11). */
export function readInputs(argv: readonly string[], env: Environment): Inputs {
  const platformApi = readPlatformApi(env);
  const inputs = resolveInputs(parseArguments(argv, platformApi ?? newestPlatformApi), env, { platformApi });
  const unset =
    platformApi === undefined ? [`CNB_PLATFORM_API is not set, assuming the newest, 0.${newestPlatformApi}`] : [];
  return { ...inputs, warnings: [...unset, ...inputs.warnings] };
}

const newest: number = newestPlatformApi;

/** Whose inputs they are, and at which Platform API 0.N. */
interface InputsOf {
  readonly command?: CommandName;
  readonly platformApi?: number | undefined;
}

/** As `readInputs`, of arguments that are read already. Throws RestorerErrors (exit 3). */
export function resolveInputs(
  given: Arguments,
  env: Environment,
  { command = "restore", platformApi = newest }: InputsOf = {},
): Inputs {
  if (given.text.get("cache-volume") && given.text.has("cache-image")) {
    throw invalid("-cache-volume and -cache-image cannot be used together");
  }
  const values = new Values(given, env, command);
  const cacheDir = values.text("cache-volume") ?? values.text("cache-dir");
  const reportPath = values.text("report");
  const inputs = {
    platformApi,
    layersDir: values.layersDir,
    groupPath: resolve(values.text("group")),
    analyzedPath: resolve(values.text("analyzed")),
    runPath: resolve(values.text("run")),
    cacheDir: cacheDir && resolve(cacheDir),
    cacheImage: reference(values.text("cache-image")),
    cacheFrom: cachesToFallBackOn(values),
    buildImage: reference(values.text("build-image")),
    appImage: reference(values.text("image")),
    daemon: values.boolean("daemon"),
    layout: values.boolean("layout"),
    layoutDir: values.text("layout-dir") ?? "",
    kanikoDir: resolve(values.text("kaniko-dir")),
    insecureRegistries: values.list("insecure-registry"),
    blobConnections: connections(values),
    uid: values.id("uid"),
    gid: values.id("gid"),
    skipLayers: values.boolean("skip-layers"),
    strict: values.boolean("strict"),
    only: values.list("only"),
    reportPath: reportPath && reportPath !== "-" ? resolve(reportPath) : reportPath,
    execEnv: env["CNB_EXEC_ENV"] || variables.CNB_EXEC_ENV.default,
    logLevel: logLevel(values, !given.text.has("log-level") && aboutItself.has(command)),
    noColor: values.boolean("no-color"),
  };
  return { ...inputs, warnings: values.warnings };
}

/** N of the Platform API 0.N that is asked for, undefined when none is (D14). Throws a RestorerError (exit 11). */
export function readPlatformApi(env: Environment): number | undefined {
  const requested = env["CNB_PLATFORM_API"] ?? "";
  return requested === "" ? undefined : parsePlatformApi(requested);
}

/** What is wrong with one is told where it is used. */
function reference(text: string | undefined): string | undefined {
  return text === undefined ? undefined : withoutUserInfo(text);
}

function cachesToFallBackOn(values: Values): readonly string[] {
  const words: string[] = [];
  for (const word of values.list("cache-from")) words.push(existsSync(word) ? resolve(word) : withoutUserInfo(word));
  return words;
}

function connections(values: Values): number {
  const text = values.text("blob-connections");
  if (/^[1-8]$/.test(text)) return Number(text);
  throw invalid(`${values.spelled("blob-connections")} is not a number from 1 to 8`);
}

/** Commands that tell of the program itself, as -help and -version do: whatever the environment holds. */
const aboutItself: ReadonlySet<CommandName> = new Set(["help", "version", "completion"]);

function logLevel(values: Values, isForgiven: boolean): LogLevel {
  const lower = values.text("log-level").toLowerCase();
  for (const level of logLevels) if (level === (lower === "warning" ? "warn" : lower)) return level;
  if (isForgiven) return "info";
  throw invalid(`${values.spelled("log-level")} is not one of debug, info, warn and error`);
}
