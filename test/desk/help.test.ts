import { expect, test } from "bun:test";
import { commands } from "../../lib/cli/commands.ts";
import { runRestorer } from "../support/harness.ts";
import { desk } from "./run.ts";

test.each(["explain", "inspect", "verify", "diff"])("help %s shows its flags", async (command) => {
  const { exitCode, stdout } = await desk("help", command);
  expect(exitCode).toBe(0);
  expect(stdout).toContain(`Usage: restorer ${command}`);
  expect(stdout).toContain("-output");
});

test.each(commands.filter(({ words }) => words.length > 0).map(({ name, words }) => [name, words] as const))(
  "help %s says what each of its words may be",
  async (command, words) => {
    const { stdout } = await desk("help", command);
    const [, block = ""] = /\nArguments:\n([\s\S]*?)\n\n/.exec(stdout) ?? [];
    const told = [...block.matchAll(/^ {2}([A-Z]+) +[a-z]/gm)].map(([, word]) => word);
    expect(told).toEqual(words.map((word) => word.replace(/[[\]]/g, "")));
  },
);

test("help of make-cache says what its flags mean to it, and names no Platform API that nothing depends on", async () => {
  const { stdout } = await desk("help", "make-cache");
  expect(stdout).toContain("whose layers are packed");
  expect(stdout).toContain("directory to make");
  expect(stdout).not.toMatch(/restored|to run as|only read/);
  expect((await desk("help", "verify")).stdout).not.toContain("since Platform API");
  expect((await desk("help", "explain")).stdout).toContain("since Platform API 0.13");
});

test.each(["help", "version", "completion bash"])("%s is answered whatever the environment holds", async (line) => {
  const args = line.split(" ");
  const env = {
    CNB_PLATFORM_API: "nonsense",
    CNB_LOG_LEVEL: "nonsense",
    CNB_USER_ID: "-5",
    CNB_BLOB_CONNECTIONS: "99",
  };
  expect(await runRestorer(args, { env })).toMatchObject({ exitCode: 0, stderr: "" });
  expect(await runRestorer([...args, "-log-level", "loud"], { env })).toMatchObject({ exitCode: 3, stdout: "" });
});

test.each(["-help", "--help", "-h"])("%s before a command is its help", async (flag) => {
  const { exitCode, stdout } = await desk(flag, "explain");
  expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: (await desk("help", "explain")).stdout });
});

test.each(["-version -bogus", "verify -version -bogus"])("the version does not hide a wrong flag: %s", async (line) => {
  expect(await desk(...line.split(" "))).toMatchObject({ exitCode: 3, stdout: "" });
});

test.each(["diff", "completion", "inspect", "make-cache"])(
  "%s -help needs no further word, nor does -version",
  async (command) => {
    const shown = await desk(command, "-help");
    expect(shown).toMatchObject({ exitCode: 0, stdout: (await desk("help", command)).stdout });
    expect(await desk(command, "-version")).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^restorer \S+\n$/),
    });
    expect((await desk(command, "-help", "-nonsense")).exitCode).toBe(3);
  },
);
