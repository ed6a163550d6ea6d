import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type Inputs, readInputs, requestedInfo } from "../../lib/cli/inputs.ts";
import type { Environment } from "../../lib/environment.ts";
import { RestorerError } from "../../lib/failures.ts";

/** The inputs of a run at a Platform API, without the warnings that a missing CNB_PLATFORM_API would add. */
function inputs(argv: readonly string[], env: Environment = {}): Inputs {
  return readInputs(argv, { CNB_PLATFORM_API: "0.15", ...env });
}

function errorOf(argv: readonly string[], env: Environment = {}): RestorerError {
  try {
    inputs(argv, env);
  } catch (error) {
    if (error instanceof RestorerError) return error;
    throw error;
  }
  throw new Error(`${argv.join(" ")} was accepted`);
}

describe("flag, environment, default", () => {
  interface Row {
    readonly flag: string;
    readonly env?: string;
    readonly get: (inputs: Inputs) => unknown;
    readonly fallback: unknown;
    /** How a value is read; default: as it is. */
    readonly read?: (value: string) => unknown;
  }
  const absolute = (value: string): string => join(process.cwd(), value);
  const rows: readonly Row[] = [
    {
      flag: "analyzed",
      env: "CNB_ANALYZED_PATH",
      get: (i) => i.analyzedPath,
      fallback: "/layers/analyzed.toml",
      read: absolute,
    },
    { flag: "build-image", env: "CNB_BUILD_IMAGE", get: (i) => i.buildImage, fallback: undefined },
    { flag: "cache-dir", env: "CNB_CACHE_DIR", get: (i) => i.cacheDir, fallback: undefined, read: absolute },
    { flag: "cache-volume", get: (i) => i.cacheDir, fallback: undefined, read: absolute },
    { flag: "cache-image", env: "CNB_CACHE_IMAGE", get: (i) => i.cacheImage, fallback: undefined },
    { flag: "group", env: "CNB_GROUP_PATH", get: (i) => i.groupPath, fallback: "/layers/group.toml", read: absolute },
    { flag: "image", get: (i) => i.appImage, fallback: undefined },
    { flag: "kaniko-dir", env: "CNB_KANIKO_DIR", get: (i) => i.kanikoDir, fallback: "/kaniko", read: absolute },
    { flag: "layers", env: "CNB_LAYERS_DIR", get: (i) => i.layersDir, fallback: "/layers", read: absolute },
    { flag: "layout-dir", env: "CNB_LAYOUT_DIR", get: (i) => i.layoutDir, fallback: "" },
    { flag: "report", env: "CNB_RESTORE_REPORT", get: (i) => i.reportPath, fallback: undefined, read: absolute },
    { flag: "run", env: "CNB_RUN_PATH", get: (i) => i.runPath, fallback: "/cnb/run.toml", read: absolute },
  ];

  test.each(rows)(
    "-$flag wins over $env, and both over the default",
    ({ flag, env, get, fallback, read = (v) => v }) => {
      expect(get(inputs([]))).toBe(fallback);
      expect(get(inputs([`-${flag}`, "a/b"]))).toEqual(read("a/b"));
      expect(get(inputs([`-${flag}=first`, `-${flag}=a/../c`]))).toEqual(read("a/../c"));
      if (env === undefined) return;
      expect(get(inputs([], { [env]: "from/env" }))).toEqual(read("from/env"));
      expect(get(inputs([`-${flag}`, "a/b"], { [env]: "from/env" }))).toEqual(read("a/b"));
      expect(get(inputs([], { [env]: "" }))).toBe(fallback);
    },
  );

  const booleans = [
    { flag: "daemon", env: "CNB_USE_DAEMON", get: (i: Inputs) => i.daemon },
    { flag: "layout", env: "CNB_USE_LAYOUT", get: (i: Inputs) => i.layout },
    { flag: "no-color", env: "CNB_NO_COLOR", get: (i: Inputs) => i.noColor },
    { flag: "skip-layers", env: "CNB_SKIP_LAYERS", get: (i: Inputs) => i.skipLayers },
    { flag: "skip-layers", env: "CNB_SKIP_RESTORE", get: (i: Inputs) => i.skipLayers },
    { flag: "strict", env: "CNB_RESTORE_STRICT", get: (i: Inputs) => i.strict },
  ];
  test.each(booleans)("-$flag wins over $env, and both over false", ({ flag, env, get }) => {
    expect(get(inputs([]))).toBe(false);
    expect(get(inputs([`-${flag}`]))).toBe(true);
    expect(get(inputs([`-${flag}=false`], { [env]: "true" }))).toBe(false);
    for (const on of ["1", "t", "T", "true", "TRUE", "True"]) expect(get(inputs([], { [env]: on }))).toBe(true);
    for (const off of ["0", "f", "false", ""]) expect(get(inputs([], { [env]: off }))).toBe(false);
    for (const unclear of ["yes", "on", "tRue", "2", " true", "off"]) {
      if (env === "CNB_RESTORE_STRICT") expect(errorOf([], { [env]: unclear }).exitCode).toBe(3);
      else expect(get(inputs([], { [env]: unclear }))).toBe(false);
    }
  });

  test("a variable for -strict that nobody can read does not matter where the flag is given", () => {
    expect(inputs(["-strict"], { CNB_RESTORE_STRICT: "yes" }).strict).toBe(true);
    expect(inputs(["-strict=false"], { CNB_RESTORE_STRICT: "yes" }).strict).toBe(false);
  });

  const ids = [
    { flag: "uid", env: "CNB_USER_ID", get: (i: Inputs) => i.uid },
    { flag: "gid", env: "CNB_GROUP_ID", get: (i: Inputs) => i.gid },
  ];
  describe.each(ids)("-$flag and $env", ({ flag, env, get }) => {
    test("the flag wins over the environment; without either the user stays", () => {
      expect(get(inputs([]))).toBeUndefined();
      expect(get(inputs([`-${flag}`, "0"]))).toBe(0);
      expect(get(inputs([`-${flag}`, "1001"], { [env]: "1002" }))).toBe(1001);
      expect(get(inputs([], { [env]: "1002" }))).toBe(1002);
      expect(get(inputs([], { [env]: "" }))).toBeUndefined();
    });

    test("a flag may have a prefix, the environment is decimal", () => {
      expect(get(inputs([`-${flag}`, "0x10"]))).toBe(16);
      expect(get(inputs([`-${flag}`, "0o10"]))).toBe(8);
      expect(get(inputs([`-${flag}`, "010"]))).toBe(8);
      expect(get(inputs([], { [env]: "010" }))).toBe(10);
      expect(get(inputs([], { [env]: "+10" }))).toBe(10);
    });

    test.each(["abc", "0x10", "1.5", " 1", "1e3"])("%j in the environment is a warning, as if unset", (value) => {
      const read = inputs([], { [env]: value });
      expect(get(read)).toBeUndefined();
      expect(read.warnings).toEqual([`${env}="${value}" is not a number, ignoring it`]);
    });

    test.each(["-1", "4294967295", "99999999999999999999999"])("%j is out of range: exit 3", (value) => {
      expect(errorOf([`-${flag}`, value]).exitCode).toBe(3);
      expect(errorOf([`-${flag}`, value]).message).toContain(`-${flag}`);
      expect(errorOf([], { [env]: value }).exitCode).toBe(3);
      expect(errorOf([], { [env]: value }).message).toContain(env);
    });

    test.each(["abc", "", "1.0"])("%j as the flag's value is refused: exit 3", (value) => {
      expect(errorOf([`-${flag}=${value}`]).exitCode).toBe(3);
    });
  });

  test.each([
    ["blob-connections", "CNB_BLOB_CONNECTIONS", "99", "is not a number from 1 to 8"],
    ["log-level", "CNB_LOG_LEVEL", "loud", "is not one of debug, info, warn and error"],
    ["uid", "CNB_USER_ID", "-1", "is not an id from 0 to 4294967294"],
  ])("a bad value of -%s is told with where it came from", (flag, variable, value, why) => {
    expect(errorOf([`-${flag}`, value]).message).toBe(`-${flag} "${value}" ${why}`);
    expect(errorOf([], { [variable]: value }).message).toBe(`${variable}="${value}" ${why}`);
    expect(errorOf([`-${flag}`, value], { [variable]: "7" }).message).toBe(`-${flag} "${value}" ${why}`);
  });

  test("paths without a flag of their own follow -layers", () => {
    const { groupPath, analyzedPath } = inputs(["-layers", "/l/x/"]);
    expect({ groupPath, analyzedPath }).toEqual({ groupPath: "/l/x/group.toml", analyzedPath: "/l/x/analyzed.toml" });
  });

  test("an empty value of a flag is as if not given, and hides the environment's", () => {
    expect(inputs(["-layers="], { CNB_LAYERS_DIR: "/env" }).layersDir).toBe("/layers");
    expect(inputs(["-cache-dir", ""], { CNB_CACHE_DIR: "/env" }).cacheDir).toBeUndefined();
  });

  test("-insecure-registry may repeat, and wins over the list in the environment", () => {
    expect(inputs([]).insecureRegistries).toEqual([]);
    const env = { CNB_INSECURE_REGISTRIES: "a:5000, b,,c" };
    expect(inputs([], env).insecureRegistries).toEqual(["a:5000", "b", "c"]);
    const given = ["-insecure-registry", "x", "-insecure-registry=y"];
    expect(inputs(given, env).insecureRegistries).toEqual(["x", "y"]);
  });

  test("NO_COLOR with any value turns colour off, unless -no-color=false turns it on again", () => {
    expect(inputs([], { NO_COLOR: "0" }).noColor).toBe(true);
    expect(inputs([], { NO_COLOR: "" }).noColor).toBe(false);
    expect(inputs(["-no-color=false"], { NO_COLOR: "1", CNB_NO_COLOR: "1" }).noColor).toBe(false);
  });

  test("CNB_EXEC_ENV is production unless it says otherwise", () => {
    expect(inputs([]).execEnv).toBe("production");
    expect(inputs([], { CNB_EXEC_ENV: "" }).execEnv).toBe("production");
    expect(inputs([], { CNB_EXEC_ENV: "test" }).execEnv).toBe("test");
  });

  test("-cache-volume is another name of -cache-dir, but not together with -cache-image", () => {
    expect(inputs(["-cache-volume", "/v", "-cache-dir", "/d"]).cacheDir).toBe("/v");
    expect(errorOf(["-cache-volume", "/v", "-cache-image", "i"]).exitCode).toBe(3);
    expect(inputs(["-cache-dir", "/d", "-cache-image", "i"])).toMatchObject({ cacheDir: "/d", cacheImage: "i" });
  });

  test("flags of which nothing is used are accepted", () => {
    expect(inputs(["-generated", "/g", "-platform", "/p"])).toEqual(inputs([]));
  });

  test("environment variables are not gated by the Platform API", () => {
    const env = { CNB_BUILD_IMAGE: "b", CNB_USE_DAEMON: "1", CNB_RUN_PATH: "/r", CNB_INSECURE_REGISTRIES: "i" };
    const { buildImage, daemon, runPath, insecureRegistries } = inputs([], { ...env, CNB_PLATFORM_API: "0.7" });
    expect({ buildImage, daemon, runPath, insecureRegistries }).toEqual({
      buildImage: "b",
      daemon: true,
      runPath: "/r",
      insecureRegistries: ["i"],
    });
  });
});

describe("log level", () => {
  test.each([
    ["debug", "debug"],
    ["DEBUG", "debug"],
    ["Info", "info"],
    ["warn", "warn"],
    ["warning", "warn"],
    ["WARNING", "warn"],
    ["error", "error"],
  ] as const)("%s is %s", (given, level) => {
    expect(inputs(["-log-level", given]).logLevel).toBe(level);
    expect(inputs([], { CNB_LOG_LEVEL: given }).logLevel).toBe(level);
    expect(inputs([`-log-level=${given}`], { CNB_LOG_LEVEL: "nonsense" }).logLevel).toBe(level);
  });

  test("it is info unless something says otherwise", () => {
    expect(inputs([]).logLevel).toBe("info");
    expect(inputs([], { CNB_LOG_LEVEL: "" }).logLevel).toBe("info");
  });

  test.each(["verbose", "trace", "warnings", " info", "constructor"])("%j is refused: exit 3", (given) => {
    expect(errorOf(["-log-level", given]).exitCode).toBe(3);
    expect(errorOf([], { CNB_LOG_LEVEL: given }).exitCode).toBe(3);
  });
});

describe("Platform API", () => {
  test.each([7, 8, 9, 10, 11, 12, 13, 14, 15])("0.%d is supported", (minor) => {
    expect(inputs([], { CNB_PLATFORM_API: `0.${minor}` })).toMatchObject({ platformApi: minor, warnings: [] });
  });

  test.each(["0.6", "0.16", "0.3", "1.0", "0", "15", ".15", "0.15.1", "0.015", "0.7 ", "0.7\n", "x", "0.x", "0.99"])(
    "%j is not: exit 11, before the flags are looked at",
    (api) => {
      const error = errorOf(["-bogus"], { CNB_PLATFORM_API: api });
      expect(error.exitCode).toBe(11);
      expect(error.hint).toContain("0.7 to 0.15");
    },
  );

  test.each([undefined, ""])("unset (%p) it is the newest, with a warning", (api) => {
    const { platformApi, warnings } = inputs([], { CNB_PLATFORM_API: api });
    expect(platformApi).toBe(15);
    expect(warnings).toEqual(["CNB_PLATFORM_API is not set, assuming the newest, 0.15"]);
  });
});

describe("-version and -help", () => {
  const table: readonly [string[], "version" | "help" | undefined][] = [
    [["-version"], "version"],
    [["--version"], "version"],
    [["-version=true"], "version"],
    [["-version=false"], undefined],
    [["-help"], "help"],
    [["--help"], "help"],
    [["-h"], "help"],
    [["-layers", "/l", "-help"], "help"],
    [["-help", "-bogus"], "help"],
    [["-version", "extra"], "version"],
    [["-version", "-layers", "/l"], "version"],
    [["-version", "-bogus"], undefined],
    [["-version", "-bogus", "extra"], undefined],
    [["-version", "-layers"], undefined],
    [["-version", "-help"], "help"],
    [["-layers", "-help"], undefined],
    [["-bogus", "-help"], undefined],
    [["extra", "-help"], undefined],
    [["--", "-help"], undefined],
    [[], undefined],
  ];
  test.each(table)("%j asks for %p", (argv, info) => expect(requestedInfo(argv)).toBe(info));
});
