import { expect, test } from "bun:test";
import { runWrapped } from "../cli/scene.ts";
import { have, restorerPath, runRestorer, skipUnless, tempDir } from "../support/harness.ts";
import { desk } from "./run.ts";

test("a layers directory in the place of a cache is told from an image of that name", async () => {
  for (const command of ["inspect", "verify"]) {
    const { exitCode, stderr } = await desk(command, "layers:nowhere");
    expect(exitCode).toBe(3);
    expect(stderr).toContain('"layers:nowhere" is a layers directory, not a cache; diff compares a cache with one\n');
  }
});

test("a directory that is an OCI layout is told with the word that names it as one", async () => {
  using dir = tempDir("words", { layout: { "oci-layout": "{}", "index.json": "{}" } });
  const { stdout, stderr } = await desk("inspect", dir.join("layout"));
  expect(stdout + stderr).toContain(`it is an OCI image layout: name it oci:${dir.join("layout")}, for a restore with`);
});

test("a word that was taken for an image, and may be a path, is told as both", async () => {
  // Nobody answers there.
  const env = { CNB_PLATFORM_API: undefined, HTTPS_PROXY: "http://127.0.0.1:1" };
  const { exitCode, stderr } = await runRestorer(["inspect", "nosuch/dir"], { env });
  expect(exitCode).toBe(1);
  expect(stderr).toEndWith('\nThere is no directory "nosuch/dir" either.\n');
});

skipUnless(have("script"), "script (util-linux)")(
  "further lines of what is above a table begin where its text does",
  async () => {
    using dir = tempDir("narrow", { ["long-name-".repeat(9)]: { layers: {}, cache: {} } });
    const place = dir.join("long-name-".repeat(9));
    const run = async (line: string) => {
      const script = `stty cols 60; exec ${restorerPath()} ${line}`;
      return (await runWrapped(["script", "-qec", script, "/dev/null"], { TERM: "xterm" })).stdout.replaceAll("\r", "");
    };
    expect(await run(`inspect ${place}/cache`)).toMatch(/^Cache: \S+\n {7}\S/m);
    expect(await run(`explain -layers ${place}/layers -cache-dir ${place}/cache`)).toMatch(/^Cache: {8}\S+\n {14}\S/m);
  },
);
