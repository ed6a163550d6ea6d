import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { analyzedToml, groupToml, makeCache } from "../support/cache-fixture.ts";
import { tempDir, writeTree } from "../support/harness.ts";

const program = join(import.meta.dir, "../../restorer.ts");

test("`bun restorer.ts` restores as the executable does, from any directory, threads included", async () => {
  using dir = tempDir("from-source", { tree: { file: "text" }, home: {} });
  makeCache(dir.join("cache"), [{ id: "bp", layers: [{ name: "deps", tree: dir.join("tree") }] }]);
  writeTree(dir.path, { layers: { "group.toml": groupToml([{ id: "bp" }]), "analyzed.toml": analyzedToml() } });
  const args = ["-layers", dir.join("layers"), "-cache-dir", dir.join("cache")];
  const child = Bun.spawn([process.execPath, program, ...args], {
    cwd: dir.join("home"),
    env: { PATH: process.env.PATH, HOME: dir.join("home"), CNB_PLATFORM_API: "0.15" },
    stdout: "ignore",
    stderr: "pipe",
  });
  const [stderr, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(readFileSync(dir.join("layers/bp/deps/file"), "utf8")).toBe("text");
  expect(existsSync(dir.join("layers/bp/deps.toml"))).toBe(true);
});
