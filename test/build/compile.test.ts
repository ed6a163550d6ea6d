import { expect, test } from "bun:test";
import { cpSync, existsSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { tempDir } from "../support/harness.ts";

const root = dirname(dirname(import.meta.dir));

test("a build that fails names the file and the line, and leaves no executable", () => {
  using dir = tempDir("compile");
  for (const name of ["build", "lib", "restorer.ts", "package.json", "tsconfig.json"]) {
    cpSync(join(root, name), dir.join(name), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), dir.join("node_modules"));
  writeFileSync(dir.join("lib/text.ts"), "\nexport const = 1;\n");
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, "build/compile.ts", "restorer"], {
    cwd: dir.path,
    stderr: "pipe",
  });
  expect(exitCode).not.toBe(0);
  expect(stderr.toString()).toContain("lib/text.ts:2:");
  expect(existsSync(dir.join("restorer"))).toBe(false);
});
