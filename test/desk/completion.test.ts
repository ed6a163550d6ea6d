import { expect, test } from "bun:test";
import { commands } from "../../lib/cli/commands.ts";
import { have, skipUnless, tempDir } from "../support/harness.ts";
import { desk } from "./run.ts";

const files = ["cache-of-today", "notes"];
const scene = { home: {}, here: Object.fromEntries(files.map((name) => [name, ""])) };

/** What is typed behind `restorer`, its last word unfinished, and what may stand there. */
const table: readonly [typed: string[], offered: readonly string[]][] = [
  [[""], commands.map(({ name }) => name)],
  [["ins"], ["inspect"]],
  [["-cache-v"], ["-cache-volume"]],
  [["inspect", "-dep"], ["-depth"]],
  [["inspect", "notes", "-tr"], ["-tree"]],
  [["verify", "-tr"], []],
  [["inspect", ""], files],
  [["verify", "no"], ["notes"]],
  [["diff", "notes", ""], files],
  [["explain", ""], []],
  [["make-cache", ""], []],
  [["-report", ""], files],
  [["inspect", "-cache-dir", "ca"], ["cache-of-today"]],
  [["-uid", ""], []],
  [
    ["inspect", "-output", ""],
    ["text", "json"],
  ],
  [["verify", "-log-level", "w"], ["warn"]],
  [
    ["completion", ""],
    ["bash", "zsh", "fish"],
  ],
  [["help", "ex"], ["explain"]],
  // A command is the first word only.
  [["-log-level", "debug", "expl"], []],
];

/** How each shell tells, one a line, what it offers for the arguments of the script, which is its standard input. */
const drivers: Readonly<Record<string, string[]>> = {
  bash: [
    "bash",
    "-c",
    `source /dev/stdin; COMP_WORDS=(restorer "$@"); COMP_CWORD=$#; _restorer; printf '%s\\n' "\${COMPREPLY[@]}"`,
    "bash",
  ],
  fish: ["fish", "-c", "source -; complete -C (string join ' ' -- restorer $argv)", "--"],
  zsh: [
    "zsh",
    "-f",
    "-c",
    `compdef() {}; _message() {}
    matching() { local word; for word; do [[ $word == $PREFIX* ]] && print -r -- $word; done; return 0; }
    compadd() { shift; matching $@; }
    _describe() { matching \${choices%%:*}; }
    _files() { matching *; }
    source /dev/stdin; words=(restorer "$@"); CURRENT=$#words; PREFIX=$words[-1]; _restorer`,
    "zsh",
  ],
};

for (const [shell, driver] of Object.entries(drivers)) {
  skipUnless(have(shell), shell)(`${shell} completes commands, flags behind a dash, values, and files`, async () => {
    using dir = tempDir("completion", scene);
    const { stdout: script } = await desk("completion", shell);
    for (const [typed, offered] of table) {
      const { stdout, stderr } = Bun.spawnSync([...driver, ...typed], {
        cwd: dir.join("here"),
        env: { PATH: process.env.PATH, HOME: dir.join("home") },
        stdin: Buffer.from(script),
      });
      const found = stdout
        .toString()
        .split("\n")
        .map((line) => line.replace(/\t.*/, ""))
        .filter((line) => line !== "");
      expect({ typed, found: found.sort(), said: stderr.toString() }).toEqual({
        typed,
        found: offered.toSorted(),
        said: "",
      });
    }
  });
}

test("completion scripts of zsh and fish describe the flags", async () => {
  const described = "whole digests, and lines as long as they are";
  for (const shell of ["zsh", "fish"]) expect((await desk("completion", shell)).stdout).toContain(described);
});

test.each([
  [["-output", "=", "j"], ["json"]],
  [["inspect", "-cache-dir", "=", ""], files],
  [["inspect", "oci", ":", "no"], ["notes"]],
  [["inspect", "--dep"], ["--depth"]],
])("bash completes %j, as it parts words", async (typed, offered) => {
  using dir = tempDir("completion", scene);
  const { stdout: script } = await desk("completion", "bash");
  const { stdout } = Bun.spawnSync([...(drivers["bash"] ?? []), ...typed], {
    cwd: dir.join("here"),
    stdin: Buffer.from(script),
  });
  expect(stdout.toString().trim().split("\n").sort()).toEqual(offered);
});
