/**
 * Examples of docs/: blocks of `console`, whose lines with `$ ` are commands for a shell, and whose other lines are what they
 * print. A comment before a block names the scene that it runs in. `bun test/docs/examples.ts` writes what is printed now.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { version } from "../../lib/cli/version.ts";
import { docsScene } from "./scene.ts";

export const documents = ["debugging-a-cache.md", "scripts.md"].map((name) =>
  resolve(import.meta.dir, "../../docs", name),
);

/** Where examples seem to be run. */
const shownPlace = "/build";

interface Example {
  readonly scene: string;
  readonly commands: readonly string[];
  /** The text between the fences. */
  readonly text: string;
}

const block = /(?:<!-- scene: ([\w-]+) -->\n)?```console\n([\s\S]*?)```/g;

export function examplesOf(document: string): Example[] {
  return [...readFileSync(document, "utf8").matchAll(block)].map(([, scene = "healthy", text = ""]) => {
    const commands = text.match(/^\$ (?:.*\\\n)*.*/gm) ?? [];
    return { scene, commands: commands.map((command) => command.slice(2)), text };
  });
}

/** Runs an example's commands; gives the text that belongs between the fences. */
export async function run({ scene, commands }: Example): Promise<string> {
  using dir = docsScene(scene);
  let text = "";
  for (const command of commands) {
    const child = Bun.spawn(["sh", "-c", `{ ${command}\n} 2>&1`], {
      cwd: dir.path,
      env: { PATH: `${dir.join("bin")}:${process.env.PATH}`, HOME: dir.path, CNB_PLATFORM_API: "0.13" },
      stdin: "ignore",
      stdout: "pipe",
    });
    text += `$ ${command}\n${await child.stdout.text()}`;
    await child.exited;
  }
  return text.replaceAll(dir.path, shownPlace).replaceAll(/0\.1\.0\+[0-9a-f]+/g, version);
}

/** What is the same in every run: no digests, times, and sizes of archives, whose names hold the place where they were made. */
export function steady(text: string): string {
  return text
    .replace(/\b[0-9a-f]{12}(?:[0-9a-f]{52})?\b/g, "<digest>")
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
    .replace(/\bin \d+\.\d s\b/g, "in <seconds>")
    .replace(/"(ageSeconds|milliseconds|seconds)": [\d.]+/g, '"$1": <number>')
    .replace(/\b[\d.]+ kB\b/g, "<size>")
    .replace(/ {2,}/g, "  ");
}

if (import.meta.main) {
  for (const path of documents) {
    const printed: string[] = [];
    for (const example of examplesOf(path)) printed.push(await run(example));
    const text = readFileSync(path, "utf8").replace(block, (whole, _, old: string) =>
      whole.replace(old, () => printed.shift() ?? ""),
    );
    await Bun.write(path, text);
  }
}
