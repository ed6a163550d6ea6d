import { describe, expect, test } from "bun:test";
import { helpText } from "../../lib/cli/help.ts";
import { readInputs } from "../../lib/cli/inputs.ts";
import { restorerPath, runRestorer } from "../support/harness.ts";
import { runWrapped } from "./scene.ts";

describe("-help", () => {
  const sections = ["Inputs", "Cache", "Images", "User", "Output", "Other"];
  /** Flag, section, what its line must say beside its meaning. */
  const table: readonly [string, string, string[]][] = [
    ["analyzed", "Inputs", ["$CNB_ANALYZED_PATH", "default <layers>/analyzed.toml"]],
    ["blob-connections", "Cache", ["$CNB_BLOB_CONNECTIONS", "default 4"]],
    ["build-image", "Images", ["$CNB_BUILD_IMAGE", "0.10"]],
    ["cache-dir", "Cache", ["$CNB_CACHE_DIR"]],
    ["cache-from", "Cache", ["$CNB_CACHE_FROM"]],
    ["cache-image", "Cache", ["$CNB_CACHE_IMAGE"]],
    ["cache-volume", "Cache", ["-cache-dir"]],
    ["daemon", "Images", ["$CNB_USE_DAEMON", "0.12"]],
    ["generated", "Inputs", ["$CNB_GENERATED_DIR", "default <layers>/generated", "0.12"]],
    ["gid", "User", ["$CNB_GROUP_ID", "instead of the current one"]],
    ["group", "Inputs", ["$CNB_GROUP_PATH", "default <layers>/group.toml"]],
    ["help", "Other", []],
    ["image", "Inputs", []],
    ["insecure-registry", "Images", ["$CNB_INSECURE_REGISTRIES", "0.13"]],
    ["kaniko-dir", "Images", ["$CNB_KANIKO_DIR", "default /kaniko"]],
    ["layers", "Inputs", ["$CNB_LAYERS_DIR", "default /layers"]],
    ["layout", "Images", ["$CNB_USE_LAYOUT", "0.12"]],
    ["layout-dir", "Images", ["$CNB_LAYOUT_DIR", "0.12"]],
    ["log-level", "Output", ["$CNB_LOG_LEVEL", "default info"]],
    ["no-color", "Output", ["$CNB_NO_COLOR", "$NO_COLOR"]],
    ["only", "Cache", ["$CNB_RESTORE_ONLY"]],
    ["platform", "Inputs", ["$CNB_PLATFORM_DIR"]],
    ["report", "Output", ["$CNB_RESTORE_REPORT"]],
    ["run", "Images", ["$CNB_RUN_PATH", "default /cnb/run.toml", "0.14"]],
    ["skip-layers", "Inputs", ["$CNB_SKIP_LAYERS", "$CNB_SKIP_RESTORE"]],
    ["strict", "Cache", ["$CNB_RESTORE_STRICT"]],
    ["uid", "User", ["$CNB_USER_ID", "instead of the current one"]],
    ["version", "Other", []],
  ];

  test("lists every flag in its section, with default, environment variable and Platform API", async () => {
    const { exitCode, stdout, stderr } = await runRestorer(["-help"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    const positions = sections.map((section) => stdout.indexOf(`\n${section}:\n`));
    expect(positions).toEqual([...positions].sort((a, b) => a - b));
    expect(positions).not.toContain(-1);

    const found: string[] = [];
    for (const [at, section] of sections.entries()) {
      const body = stdout.slice(positions[at], positions[at + 1] ?? stdout.indexOf("\n\nA flag is written"));
      for (const [, name = "", text = ""] of body.matchAll(/^ +-([a-z-]+) +((?:.|\n {8,})+)$/gm)) {
        found.push(name);
        const wanted = table.find(([flag]) => flag === name);
        const said = text.replace(/\s+/g, " ");
        expect({ name, section: wanted?.[1] }).toEqual({ name, section });
        for (const part of wanted?.[2] ?? []) expect(said).toContain(part);
      }
    }
    expect(found.sort()).toEqual(table.map(([flag]) => flag).sort());
    expect(stdout).toContain("Usage: restorer");
    for (const code of ["0", "1", "3", "11, 12", "42", "128+n"])
      expect(stdout).toMatch(new RegExp(`^  ${RegExp.escape(code)} +[a-zA-Z]`, "m"));
  });

  test.each([80, 110])("fits into %d columns, and no line ends before the next word would not fit", async (columns) => {
    const lines = (await helpText(columns, "restore")).split("\n");
    for (const [at, line] of lines.entries()) {
      expect(line.length).toBeLessThanOrEqual(columns);
      expect(line).not.toMatch(/\s$/);
      const next = lines[at + 1] ?? "";
      const hasOwnLine = /^ {2}\S.{24,}$/.test(line) && !line.slice(2).includes("  ");
      const isContinued = (/^ {9,}\S/.test(next) && !hasOwnLine) || (/^\S/.test(line) && /^\S/.test(next));
      const [word = ""] = next.trim().split(" ");
      if (isContinued) expect(`${line} ${word}`.length).toBeGreaterThan(columns - 2);
    }
  });

  test("ends with examples that the command line understands", async () => {
    const [, examples = ""] = (await helpText(110, "restore")).split("\nExamples:\n");
    const lines = examples.split("\n").map((line) => line.split("restorer ").at(1)?.split(" ") ?? []);
    expect(lines).toHaveLength(3);
    for (const argv of lines) expect(() => readInputs(argv, {})).not.toThrow();
  });

  test.each(["-help", "--help", "-h", "restore -help", "-layers /x -help"])(
    "is answered whatever else is wrong: %s",
    async (line) => {
      const env = { CNB_PLATFORM_API: "nonsense", CNB_LOG_LEVEL: "nonsense", CNB_USER_ID: "-5" };
      const { exitCode, stdout } = await runRestorer(line.split(" "), { env });
      expect(exitCode).toBe(0);
      expect(stdout).toContain("Usage: restorer");
    },
  );
});

describe("-version", () => {
  test.each(["-version", "--version"])("%s is answered before the Platform API is looked at", async (flag) => {
    const { exitCode, stdout, stderr } = await runRestorer([flag], { env: { CNB_PLATFORM_API: "99.9" } });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatch(/^restorer [0-9]+\.[0-9]+\.[0-9]+(\+[0-9a-f]{7,40})?\n$/);
  });
});

describe.each([
  ["-version", "the version"],
  ["-help", "the help"],
])("%s", (flag, what) => {
  const run = (script: string) => runWrapped(["sh", "-c", script, restorerPath(), flag]);

  test("that cannot be written is an error", async () => {
    expect(await run('exec "$0" "$1" >/dev/full')).toMatchObject({
      exitCode: 1,
      stdout: "",
      stderr: `ERROR: write ${what} to stdout: no space left on device\n`,
    });
  });

  test("that nobody wants to read is not", async () => {
    const toPipeWithoutReader = 'mkfifo pipe && exec 3<>pipe 4>pipe 3>&- && exec "$0" "$1" >&4';
    expect(await run(toPipeWithoutReader)).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
  });
});
