/** The README's example of a private registry, run as it is written. */
import { expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { have, restorerPath, skipUnless, snapshot, type TempDir, tempDir } from "../support/harness.ts";

const project = resolve(import.meta.dir, "../..");
const tools = ["docker-registry", "skopeo", "htpasswd", "make"];
const withTools = skipUnless(tools.every(have), tools.join(", "));

/** The indented blocks of a section, without their indentation. */
function blocksOf(markdown: string, heading: string): string[] {
  const section = markdown.split(`\n### ${heading}\n`)[1]?.split(/\n##/)[0] ?? "";
  const blocks = section.match(/^ {4}.*(?:\n(?: {4}.*|(?=\n {4})))*/gm) ?? [];
  return blocks.map((block) => block.replace(/^ {4}/gm, ""));
}

/** As much of the project as `make demo` takes where everything is built: packages stand for larger ones. */
function copyProject(dir: TempDir): void {
  const packages = ["bun-types", "smol-toml", "valibot", "yargs", ".package-lock.json"];
  const paths = ["Makefile", "package.json", "package-lock.json", "restorer.ts", "lib", "test"];
  for (const path of [...paths, ...packages.map((name) => join("node_modules", name))]) {
    if (!existsSync(join(project, path))) continue;
    mkdirSync(dirname(dir.join(path)), { recursive: true });
    cpSync(join(project, path), dir.join(path), { recursive: true, preserveTimestamps: true });
  }
  symlinkSync(join(project, "node_modules", "@oven"), dir.join("node_modules", "@oven"));
  // What dist/restorer is made from must be there, and older.
  mkdirSync(dir.join("dist", "plain"), { recursive: true });
  cpSync(restorerPath(), dir.join("dist", "plain", "restorer"));
  // The copy is newer than every source, so that make leaves it as it is.
  cpSync(restorerPath(), dir.join("dist", "restorer"));
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

withTools("a private registry in three minutes works as written", async () => {
  const port = `${await freePort()}`;
  const readme = readFileSync(join(project, "README.md"), "utf8").replaceAll("127.0.0.1:5000", `127.0.0.1:${port}`);
  const [commands = "", warning = ""] = blocksOf(readme, "A private registry in three minutes");
  const restore = commands.trimEnd().split("\n").at(-1) ?? "";
  expect(commands).toStartWith("make demo");
  expect(restore).toContain("-cache-image");

  using dir = tempDir("readme", { home: {} });
  copyProject(dir);
  // The registry ends with the script; what the script's last lines print is told apart by their marks.
  const script = `trap 'kill $!' EXIT; set -e; echo 'mark'; ${commands}\necho 'mark'; unset CNB_REGISTRY_AUTH; ${restore} 2>&1`;
  const child = Bun.spawn(["sh", "-c", script], {
    cwd: dir.path,
    env: { PATH: process.env.PATH, HOME: dir.join("home"), CNB_PLATFORM_API: "0.15" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (exitCode !== 0) throw new Error(`the commands ended with ${exitCode}:\n${stdout}\n${stderr}`);
  const [, warm = "", cold = ""] = stdout.split("mark\n");

  expect(warm).toMatch(/Restored 3 layers .*\n$/);
  for (const path of ["demo_node/node_modules.toml", "demo_node/node_modules.sbom.cdx.json", "demo_compiler/stdlib"]) {
    expect(snapshot(dir.join("tmp", "demo", "layers")).has(path)).toBe(true);
  }
  // What the README shows of the warning, each part after the other.
  const parts = warning
    .trim()
    .split("…")
    .map((part) => RegExp.escape(part.trim()));
  expect(cold).toMatch(new RegExp(parts.join(".*")));
  expect(cold).toContain("Restored 0 layers");
  expect(`${warm}${cold}${stderr}`).not.toContain(Buffer.from("me:secret").toString("base64"));
});

test("the README's example is found, whole", () => {
  const blocks = blocksOf("\n### A\n\ntext\n\n    a\n      b\n\n    c\n\ntext\n\n    d\n\n## B\n\n    e\n", "A");
  expect(blocks).toEqual(["a\n  b\n\nc", "d"]);
});
