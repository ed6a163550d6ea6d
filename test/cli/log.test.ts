import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { describe as explain, RestorerError } from "../../lib/errors.ts";
import { type LogLevel, logLevels } from "../../lib/log.ts";
import { printable, quote } from "../../lib/text.ts";

const logFile = join(import.meta.dir, "../../lib/log.ts");

/** Runs lines of code with a `log` in a process of its own, for it writes to the process's streams. */
function run(level: LogLevel, code: string, colors = false) {
  const script = `
    import { StreamLog } from ${JSON.stringify(logFile)};
    const log = new StreamLog(${JSON.stringify(level)}, { colors: ${colors} });
    ${code}
  `;
  const { stdout, stderr, exitCode } = Bun.spawnSync([process.execPath, "-e", script], {
    env: { PATH: process.env.PATH },
  });
  return { stdout: stdout.toString(), stderr: stderr.toString(), exitCode };
}

const oneOfEach = 'log.debug("d"); log.info("i"); log.warn("w"); log.error("e"); log.flush();';

describe("levels and streams", () => {
  const stdout = { debug: "d\n", info: "i\n" };
  const stderr = { warn: "Warning: w\n", error: "ERROR: e\n" };

  test.each(logLevels)("at %s, what matters less is not shown; warnings and errors go to stderr", (level) => {
    const shown = logLevels.slice(logLevels.indexOf(level));
    const text = (of: Partial<Record<LogLevel, string>>) => shown.map((each) => of[each] ?? "").join("");
    expect(run(level, oneOfEach)).toEqual({ stdout: text(stdout), stderr: text(stderr), exitCode: 0 });
  });

  test("only the prefix is coloured, and only where that is asked for", () => {
    expect(run("info", oneOfEach, true)).toMatchObject({
      stdout: "i\n",
      stderr: "\x1b[33;1mWarning: \x1b[0mw\n\x1b[31;1mERROR: \x1b[0me\n",
    });
  });

  test("lines keep their order across the streams", () => {
    const script = 'log.info("1"); log.warn("2"); log.info("3"); log.error("4"); log.info("5"); log.flush();';
    const code = `import { StreamLog } from ${JSON.stringify(logFile)}; const log = new StreamLog("info"); ${script}`;
    const { stdout } = Bun.spawnSync(["sh", "-c", 'exec "$@" 2>&1', "sh", process.execPath, "-e", code]);
    expect(stdout.toString()).toBe("1\nWarning: 2\n3\nERROR: 4\n5\n");
  });

  test("lines come out without flush, too", () => {
    expect(run("info", 'log.info("later");')).toEqual({ stdout: "later\n", stderr: "", exitCode: 0 });
  });

  test("its functions may be passed on without it", () => {
    expect(run("info", 'const { warn, flush } = log; const tell = log.info; tell("i"); flush(); warn("w");')).toEqual({
      stdout: "i\n",
      stderr: "Warning: w\n",
      exitCode: 0,
    });
  });

  test("a reader that has gone away does not stop the run", () => {
    const code = `import { StreamLog } from ${JSON.stringify(logFile)};
      const log = new StreamLog("info");
      for (let i = 0; i < 20000; i++) log.info("a line that fills the pipe " + i);
      log.flush(); log.error("done");`;
    const command = '{ "$0" -e "$1"; echo "exit $?" >&2; } | head -n 1 >/dev/null';
    const { stderr } = Bun.spawnSync(["sh", "-c", command, process.execPath, code]);
    expect(stderr.toString()).toBe("ERROR: done\nexit 0\n");
  });
});

describe("untrusted text", () => {
  const table: readonly [string, string][] = [
    ["plain", '"plain"'],
    ["a b.c/d:e", '"a b.c/d:e"'],
    ["ünïcode ✓ 漢", '"ünïcode ✓ 漢"'],
    ['say "hi"', '"say \\"hi\\""'],
    ["back\\slash", '"back\\\\slash"'],
    ["two\nlines", '"two\\nlines"'],
    ["tab\tcr\r", '"tab\\tcr\\r"'],
    ["\x1b[31mred\x1b[0m", '"\\x1b[31mred\\x1b[0m"'],
    ["\x00\x07\x7f", '"\\x00\\x07\\x7f"'],
    ["c1 \x9b31m", '"c1 \\x9b31m"'],
    ["bidi \u202e\u2066", '"bidi \\u202e\\u2066"'],
    ["lines \u2028\u2029", '"lines \\u2028\\u2029"'],
  ];
  test.each(table)("%j is quoted as %s", (name, quoted) => expect(quote(name)).toBe(quoted));

  test("no control character of a name or message reaches the terminal", () => {
    const every = String.fromCharCode(...Array.from({ length: 0xa0 }, (_, code) => code));
    expect(quote(every)).not.toMatch(/[\x00-\x1f\x7f-\x9f]/);
    expect(printable(every)).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/);
    expect(printable("a\n\tb")).toBe("a\n\tb");
    const { stdout, stderr } = run("info", 'log.info("\\x1b]0;title\\x07"); log.warn("\\x1b[2J\\r"); log.flush();');
    expect(stdout).toBe("\\x1b]0;title\\x07\n");
    expect(stderr).toBe("Warning: \\x1b[2J\\r\n");
  });

  test("text that is long stays whole, also where a pipe takes it in pieces", () => {
    const { stdout } = run("info", 'log.info("x".repeat(1_000_000)); log.info("ü".repeat(300_000)); log.flush();');
    expect(stdout).toBe(`${"x".repeat(1_000_000)}\n${"ü".repeat(300_000)}\n`);
  });
});

describe("errors in words", () => {
  const coded = (code: string) => Object.assign(new Error(`${code}: open '/x'`), { code });

  test("system errors are said in plain words, causes behind what they caused", () => {
    expect(explain(coded("ENOENT"))).toBe("no such file or directory");
    expect(explain(coded("EWEIRD"))).toBe("EWEIRD: open '/x'");
    expect(explain(new RestorerError("read x", { cause: coded("EACCES") }))).toBe("read x: permission denied");
    expect(explain("just text")).toBe("just text");
    expect(explain(undefined)).toBe("undefined");
  });

  test("an error without a message still has a name", () => expect(explain(new TypeError())).toBe("TypeError"));
});
