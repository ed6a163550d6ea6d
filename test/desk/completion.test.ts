import { expect, test } from "bun:test";
import { desk } from "./run.ts";

test.each(["bash", "zsh", "fish"])("completion for %s names commands and flags", async (shell) => {
  const { exitCode, stdout } = await desk("completion", shell);
  expect(exitCode).toBe(0);
  expect(stdout).toContain("inspect");
  expect(stdout).toContain("cache-dir");
});

test.each([
  [
    ["restorer", "inspect", "-output", ""],
    ["text", "json"],
  ],
  [["restorer", "verify", "-log-level", "w"], ["warn"]],
  [
    ["restorer", "completion", ""],
    ["bash", "zsh", "fish"],
  ],
  [["restorer", "help", "ex"], ["explain"]],
  [["restorer", "inspect", "-dep"], ["-depth"]],
])("bash completes %j", async (line, expected) => {
  const { stdout } = await desk("completion", "bash");
  const script = `${stdout}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _restorer; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const said = Bun.spawnSync(["bash", "-c", script, "bash", ...line]).stdout.toString();
  expect(said.trim().split("\n")).toEqual(expected);
});
