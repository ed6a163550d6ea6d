// Runs alone: a run that is asked to stop has less than a second to clean up.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, existsSync, ftruncateSync, openSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { makeCache } from "../support/cache-fixture.ts";
import {
  have,
  isRoot,
  restorerPath,
  skipUnless,
  startRestorer,
  type TempDir,
  tempDir,
  writeTree,
} from "../support/harness.ts";
import { tarOf } from "../support/raw-tar.ts";
import { buildpack, clean, directory, layersDir, leftovers } from "./versions.ts";

describe("a restorer that is asked to stop", () => {
  // Reading its blob takes longer than any test may, though it holds little and takes no room on the disk: only a run that
  // stops in the middle ends.
  let dir: TempDir;
  let cache = "";
  beforeAll(() => {
    dir = tempDir("signals");
    cache = dir.join("cache");
    const at = `/layers/${directory}`;
    const entries = [{ name: `${at}/endless/file`, data: "new" }];
    const made = makeCache(cache, [{ id: buildpack, layers: [{ name: "endless", tar: tarOf(entries) }] }]);
    const blob = openSync(made.blob(buildpack, "endless"), "r+");
    ftruncateSync(blob, 2 ** 42);
    closeSync(blob);
  });
  afterAll(() => dir[Symbol.dispose]());

  function standing(): { place: TempDir; layers: string } {
    const place = tempDir("stop");
    const layers = layersDir(place);
    writeTree(layers, { [directory]: { endless: { file: "old" }, "endless.toml": "[metadata]\nold = true\n" } });
    return { place, layers };
  }

  /** Resolves when a file of the layer is staged. */
  async function extracting(layers: string, end: Promise<unknown>): Promise<void> {
    let isOver = false;
    const over = end.finally(() => {
      isOver = true;
    });
    while (!leftovers(layers).some((name) => name.endsWith("/file"))) {
      if (isOver) throw new Error(`it ended before it was asked to stop: ${JSON.stringify(await over)}`);
      await Bun.sleep(2);
    }
  }

  function expectOld(layers: string): void {
    expect(readdirSync(layers).sort()).toEqual(clean);
    expect(readdirSync(join(layers, directory)).sort()).toEqual(["endless", "endless.toml"]);
    expect(readFileSync(join(layers, directory, "endless", "file"), "utf8")).toBe("old");
  }

  for (const [signal, number] of [
    ["SIGINT", 2],
    ["SIGTERM", 15],
    ["SIGHUP", 1],
  ] as const) {
    test(`by ${signal} exits with ${128 + number}, without staging and with the old layer whole`, async () => {
      const { place, layers } = standing();
      using _ = place;
      const run = startRestorer(["-layers", layers, "-cache-dir", cache]);
      await extracting(layers, run.result);
      run.kill(signal);
      const { exitCode, stderr } = await run.result;
      expect(exitCode).toBe(128 + number);
      expect(stderr).toContain(`stopped by ${signal}`);
      expectOld(layers);
    });
  }

  const sandboxes: Readonly<Record<string, (layers: string) => string[]>> = {
    unshare: (layers) => ["unshare", "-pf", "--mount-proc", restorerPath(), "-layers", layers, "-cache-dir", cache],
    bwrap: (layers) => [
      ...["bwrap", "--unshare-pid", "--as-pid-1", "--proc", "/proc", "--dev", "/dev"],
      ...["/usr", "/lib", "/lib64"].flatMap((path) => (existsSync(path) ? ["--ro-bind", path, path] : [])),
      ...["--ro-bind", restorerPath(), "/restorer", "--ro-bind", cache, "/cache", "--bind", layers, "/layers"],
      ...["--remount-ro", "/", "--chdir", "/", "/restorer", "-cache-dir", "/cache"],
    ],
  };
  for (const [tool, command] of Object.entries(sandboxes)) {
    const works =
      isRoot &&
      have(tool) &&
      Bun.spawnSync([
        ...(tool === "unshare"
          ? ["unshare", "-pf", "--mount-proc"]
          : ["bwrap", "--ro-bind", "/", "/", "--unshare-pid"]),
        "true",
      ]).exitCode === 0;
    const what = tool === "bwrap" ? " on a read-only root without /tmp" : "";
    skipUnless(works, `${tool} as root`)(`as PID 1${what} (${tool}) stops just as well`, async () => {
      const { place, layers } = standing();
      using _ = place;
      const child = Bun.spawn(command(layers), {
        env: { PATH: process.env.PATH, HOME: "/", CNB_PLATFORM_API: "0.15" },
        stdout: "ignore",
        stderr: "pipe",
      });
      await extracting(layers, child.exited);
      process.kill(descendant(child.pid), "SIGTERM");
      const stderr = await child.stderr.text();
      expect(await child.exited).toBe(143);
      expect(stderr).toContain("stopped by SIGTERM");
      expectOld(layers);
    });
  }
});

/** The last process of a chain of wrappers. */
function descendant(pid: number): number {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
  return child === undefined ? pid : descendant(Number(child));
}
