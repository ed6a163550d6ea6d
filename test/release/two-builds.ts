/** Part of `make test-release`: needs git, and the network where what a release takes is not in `tmp/downloads` yet. */
import { expect, test } from "bun:test";
import { cpSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { run } from "../support/docker-registry.ts";
import { tempDir } from "../support/harness.ts";

const project = resolve(import.meta.dir, "../..");

/** Somebody may commit while this runs. */
const commit = run("git", "-C", project, "rev-parse", "HEAD").trim();

/** Builds the commit in a directory of its own; the sums of all that a release consists of. */
function build(directory: string, { umask, TZ }: { umask: string; TZ: string }): string[] {
  mkdirSync(dirname(directory), { recursive: true });
  run("git", "clone", "--quiet", project, directory);
  run("git", "-C", directory, "checkout", "--quiet", "--detach", commit);
  cpSync(join(project, "node_modules"), join(directory, "node_modules"), { recursive: true, verbatimSymlinks: true });
  const argv = ["sh", "-c", `umask ${umask} && exec make dist image`];
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, TZ, DOWNLOADS: join(project, "tmp/downloads") };
  const { exitCode, stderr } = Bun.spawnSync(argv, { cwd: directory, env });
  expect([exitCode, stderr.toString()]).toEqual([0, expect.any(String)]);
  const image = join(directory, "dist/image");
  return [
    readFileSync(join(directory, "dist/SHA256SUMS"), "utf8"),
    readFileSync(join(image, "index.json"), "utf8"),
    ...readdirSync(join(image, "blobs/sha256")).sort(),
  ];
}

test("two builds of one commit in two directories are the same bytes", () => {
  using dir = tempDir("builds");
  const one = build(dir.join("one"), { umask: "022", TZ: "UTC" });
  const other = build(dir.join("deeper/in/another"), { umask: "077", TZ: "Asia/Tokyo" });
  expect(one.length).toBe(2 + 9);
  expect(other).toEqual(one);
  console.log(one[0]?.trimEnd());
});
