import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { runRestorer } from "../support/harness.ts";
import { restorerPath } from "../support/restorer-path.ts";
import { tempDir } from "../support/tree.ts";
import { all, Caches, directory, layersDir } from "./versions.ts";

test("a limit on the size of files (ulimit -f) ends with exit 42 and a reason, and no layer is half there", async () => {
  using caches = new Caches(20, 4 << 20);
  using dir = tempDir("efbig");
  const layers = layersDir(dir);
  // Blocks of 512 bytes: 3 MB, less than a file of a layer and more than the libraries that start the executable.
  const limited = ["sh", "-c", 'ulimit -f 6000; exec "$@"', "sh", restorerPath()];
  const { exitCode, signal, stderr } = await runRestorer(caches.args(layers, "red"), { command: limited });
  expect({ exitCode, signal }).toEqual({ exitCode: 42, signal: null });
  expect(stderr).toContain("file too large");
  expect(caches.states(layers).filter((state) => state !== "red" && state !== "absent")).toEqual([]);
  expect(readdirSync(layers).filter((name) => name.startsWith(".restorer-"))).toEqual([]);
  expect((await runRestorer(caches.args(layers, "red"))).exitCode).toBe(0);
  expect(caches.states(layers)).toEqual(all("red"));
  expect(existsSync(join(layers, directory))).toBe(true);
});
