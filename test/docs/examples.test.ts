import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import { parseCommandLine } from "../../lib/cli/command-line.ts";
import { commands, splitCommand } from "../../lib/cli/commands.ts";
import { readInputs } from "../../lib/cli/inputs.ts";
import { have, skipUnless } from "../support/harness.ts";
import { documents, examplesOf, run, steady } from "./examples.ts";
import { docsScene } from "./scene.ts";

const withJq = skipUnless(have("jq"), "jq");

for (const document of documents) {
  describe(`docs/${basename(document)} shows what is printed (bun test/docs/examples.ts)`, () => {
    const examples = examplesOf(document);
    test("has examples", () => expect(examples.length).toBeGreaterThan(5));
    for (const [at, example] of examples.entries()) {
      const testOne = example.text.includes("jq ") ? withJq : test;
      testOne(`${at + 1}: ${example.commands[0]}`, async () =>
        expect(steady(await run(example))).toBe(steady(example.text)),
      );
    }
  });
}

describe("examples of the help run", () => {
  // These need a registry, or another user.
  const elsewhere = /registry\.example|-uid/;
  const lines = commands.flatMap(({ examples }) => examples.map(([, line]) => line));
  test.each(lines.filter((line) => !elsewhere.test(line)))("%s", async (line) => {
    using dir = docsScene("rebuilt");
    const env = { PATH: `${dir.join("bin")}:${process.env.PATH}`, HOME: dir.path, CNB_PLATFORM_API: "0.13" };
    // What other shells do with it, test/desk/completion.test.ts tries.
    const [command = line] = /restorer completion \w+/.exec(line) ?? [];
    const { exitCode, stdout } = Bun.spawnSync(["sh", "-c", command], { cwd: dir.path, env });
    expect({ exitCode, isSilent: stdout.length === 0 }).toEqual({ exitCode: 0, isSilent: false });
  });
});

test("every command line of README.md is one that is understood", () => {
  const text = readFileSync(resolve(import.meta.dir, "../../README.md"), "utf8");
  const lines = text.match(/^ {4}(?:\S+=\S+ )*restorer .*(?:\\\n.*)*/gm) ?? [];
  expect(lines.length).toBeGreaterThan(8);
  for (const line of lines) {
    const [words = ""] = line.replace(/\\\n/g, " ").split(/ +#|[|>;&]/);
    const argv = words.trim().split(/\s+/).slice(1);
    const { command, rest } = splitCommand(argv);
    const read = () => (command === "restore" ? readInputs(rest, {}) : parseCommandLine(command, rest));
    expect(read, line).not.toThrow();
  }
});
