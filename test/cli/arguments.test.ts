import { describe, expect, test } from "bun:test";
import { type Arguments, parseArguments, parseBoolean, parseId } from "../../lib/cli/arguments.ts";
import { flags, takes } from "../../lib/cli/flags.ts";
import { RestorerError } from "../../lib/failures.ts";
import { newestPlatformApi } from "../../lib/platform-api.ts";

function parse(argv: readonly string[], minor: number = newestPlatformApi): Record<string, unknown> {
  const { text, lists, booleans }: Arguments = parseArguments(argv, minor);
  return { ...Object.fromEntries(text), ...Object.fromEntries(lists), ...Object.fromEntries(booleans) };
}

/** The error that a command line ends with. */
function errorOf(argv: readonly string[], minor: number = newestPlatformApi): RestorerError {
  try {
    parseArguments(argv, minor);
  } catch (error) {
    if (error instanceof RestorerError) return error;
    throw error;
  }
  throw new Error(`${argv.join(" ")} was accepted`);
}

describe("the syntax of Go's flag package", () => {
  const table: readonly [string[], Record<string, unknown>][] = [
    [[], {}],
    [["-layers", "/l"], { layers: "/l" }],
    [["--layers", "/l"], { layers: "/l" }],
    [["-layers=/l"], { layers: "/l" }],
    [["--layers=/l"], { layers: "/l" }],
    [["-layers=a=b"], { layers: "a=b" }],
    [["-layers="], { layers: "" }],
    [["-layers", ""], { layers: "" }],
    [["-layers", "a\nb"], { layers: "a\nb" }],
    [["-layers=a\nb"], { layers: "a\nb" }],
    // The word behind a flag is its value, whatever it looks like.
    [["-layers", "-group"], { layers: "-group" }],
    [["-layers", "--"], { layers: "--" }],
    [["-layers", "-help"], { layers: "-help" }],
    [["-layers", "/a", "-layers=/b"], { layers: "/b" }],
    [["-daemon"], { daemon: true }],
    [["-daemon=true"], { daemon: true }],
    [["-daemon=F"], { daemon: false }],
    [["-daemon", "-daemon=0"], { daemon: false }],
    [["-uid", "0x10"], { uid: "0x10" }],
    [["-insecure-registry", "a", "-insecure-registry=b"], { "insecure-registry": ["a", "b"] }],
    [["-daemon", "--"], { daemon: true }],
    [["--"], {}],
    [["-h"], { help: true }],
    [["-help", "--version"], { help: true, version: true }],
  ];
  test.each(table)("%j is read as %j", (argv, expected) => {
    expect(parse(argv)).toEqual(expected);
  });

  const refused: readonly [string[], string][] = [
    [["-bogus"], "unknown flag -bogus"],
    [["--bogus=1"], "unknown flag -bogus"],
    [["-constructor"], "unknown flag -constructor"],
    [["--constructor.prototype.q", "1"], "unknown flag -constructor.prototype.q"],
    [["-__proto__=1"], "unknown flag -__proto__"],
    [["-Layers", "/l"], "unknown flag -Layers"],
    [["-no-daemon"], "unknown flag -no-daemon"],
    [["-layer", "/l"], "unknown flag -layer, did you mean -layers?"],
    [["-cache=/c"], "unknown flag -cache, did you mean -cache-dir or -cache-volume or -cache-image or -cache-from?"],
    [["-unlayers", "/l"], "unknown flag -unlayers, did you mean -layers?"],
    [["-cachedir=/c"], "unknown flag -cachedir, did you mean -cache-dir?"],
    [["-strikt"], "unknown flag -strikt, did you mean -strict?"],
    [["-x"], "unknown flag -x"],
    [["-logLevel", "debug"], "unknown flag -logLevel, did you mean -log-level?"],
    [["-layers"], "-layers needs a value"],
    [["-daemon=yes"], '"yes" is neither true nor false'],
    [["-daemon="], '"" is neither true nor false'],
    [["-strict=2"], '"2" is neither true nor false'],
    [["---layers", "/l"], "bad flag syntax"],
    [["-=x"], "bad flag syntax"],
    [["--=x"], "bad flag syntax"],
    [["image"], 'unexpected Args: "image"'],
    [["-daemon", "false"], 'unexpected Args: "false" is not a flag; did you mean -daemon=false?'],
    [["-daemon=false", "false"], 'unexpected Args: "false" is not a flag'],
    [["-"], 'unexpected Args: "-"'],
    [[""], 'unexpected Args: ""'],
    [["--", "-layers"], 'unexpected Args: "-layers"'],
    [["--", "x"], 'unexpected Args: "x"'],
    // Flags end at the first word that is not one.
    [["x", "-bogus"], 'unexpected Args: "x"'],
    [["\x1b[31m"], 'unexpected Args: "\\x1b[31m"'],
  ];
  test.each(refused)("%j is refused with exit code 3: %s", (argv, message) => {
    const error = errorOf(argv);
    expect(error.exitCode).toBe(3);
    expect(error.message).toContain(message);
    expect(error.hint).toContain("Usage: restorer");
  });
});

describe("Platform API gates", () => {
  const since: Record<string, number> = {
    "build-image": 10,
    daemon: 12,
    generated: 12,
    layout: 12,
    "layout-dir": 12,
    "insecure-registry": 13,
    run: 14,
  };

  test.each(flags.filter((flag) => takes("restore", flag)).map(({ name, kind }) => [name, kind] as const))(
    "-%s exists where the contract says",
    (name, kind) => {
      const argv = kind === "boolean" ? [`-${name}`] : [`-${name}`, "1"];
      for (let minor = 7; minor <= newestPlatformApi; minor++) {
        if (minor >= (since[name] ?? 7)) {
          expect(Object.keys(parse(argv, minor))).toEqual([name]);
        } else {
          const { exitCode, message } = errorOf(argv, minor);
          expect(exitCode).toBe(3);
          expect(message).toBe(
            `unknown flag -${name}: it exists since Platform API 0.${since[name]}, this is 0.${minor}`,
          );
        }
      }
    },
  );
});

describe("values", () => {
  test.each(["1", "t", "T", "TRUE", "true", "True"])("%j is true", (text) => expect(parseBoolean(text)).toBe(true));
  test.each(["0", "f", "F", "FALSE", "false", "False"])("%j is false", (text) =>
    expect(parseBoolean(text)).toBe(false),
  );
  test.each(["", "yes", "no", "on", "tRUE", "TrUe", "2", " 1", "1 ", "true\n", "-1", "١"])(
    "%j is not a boolean",
    (text) => expect(parseBoolean(text)).toBeUndefined(),
  );

  const ids: readonly [string, number][] = [
    ["0", 0],
    ["00", 0],
    ["1000", 1000],
    ["+7", 7],
    ["0x1F", 31],
    ["0XFF", 255],
    ["0x_1f", 31],
    ["0o17", 15],
    ["0O17", 15],
    ["0o_17", 15],
    ["017", 15],
    ["0_17", 15],
    ["0b101", 5],
    ["0B_1", 1],
    ["1_000", 1000],
    ["4294967294", 4294967294],
    ["0xfffffffe", 4294967294],
    ["037777777776", 4294967294],
  ];
  test.each(ids)("the id %j is %d", (text, id) => expect(parseId(text)).toBe(id));
  test.each([
    "",
    "abc",
    "-1",
    "-0",
    "1.0",
    "1e3",
    " 1",
    "1 ",
    "1\n",
    "08",
    "0o8",
    "0b2",
    "0x",
    "0xg",
    "_1",
    "1_",
    "1__0",
    "0__7",
    "++1",
    "Infinity",
    "NaN",
    "٣",
    "4294967295",
    "0xffffffff",
    "99999999999999999999",
  ])("%j is not an id", (text) => expect(parseId(text)).toBeUndefined());
});
