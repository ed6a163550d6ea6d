import { describe, expect } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { have, type RunResult, restorerPath, runRestorer, skipUnless, writeTree } from "../support/harness.ts";
import { type PlantingScene, plantingScene } from "../support/planting-scene.ts";

const metadataName = "cache/committed/io.buildpacks.lifecycle.cache.metadata";
const shorter = "became shorter while it was read";

/** A file that is cut off in the moment after its size was asked for: where it is, and what comes of the run. */
interface Input {
  readonly path: (here: PlantingScene) => string;
  readonly exitCode: number;
  readonly says: string;
  /** Whether layer `dist` of the cache comes back. */
  readonly isWarm: boolean;
}

const inputs: Readonly<Record<string, Input>> = {
  "group.toml": { path: ({ layers }) => join(layers, "group.toml"), exitCode: 1, says: shorter, isWarm: false },
  "analyzed.toml": { path: ({ layers }) => join(layers, "analyzed.toml"), exitCode: 0, says: shorter, isWarm: true },
  "run.toml": { path: ({ layers }) => join(layers, "run.toml"), exitCode: 1, says: shorter, isWarm: false },
  "the cache's metadata": { path: (here) => here.join(metadataName), exitCode: 0, says: shorter, isWarm: false },
  "a blob of the cache": { path: blobOf, exitCode: 0, says: 'Not restoring "example/app:dist": ', isWarm: false },
};

/** The blob of layer `dist`. */
function blobOf(here: PlantingScene): string {
  const sha = /"dist":\{"sha":"(sha256:[0-9a-f]+)"/.exec(readFileSync(here.join(metadataName), "utf8"))?.[1];
  return here.join("cache/committed", `${sha}.tar`);
}

/** Runs with strace, which has a file's reads say that it ended. */
function runCutOff(here: PlantingScene, file: string): Promise<RunResult> {
  const inject = "inject=read,pread64:retval=0:when=1+";
  const strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", file, "-e", "trace=read,pread64", "-e", inject];
  const args = ["-layers", here.layers, "-cache-dir", here.join("cache"), "-run", join(here.layers, "run.toml")];
  return runRestorer(args, { command: [...strace, restorerPath()] });
}

describe("a file that is cut off while it is read does not count as empty:", () => {
  for (const [what, { path, exitCode, says, isWarm }] of Object.entries(inputs)) {
    skipUnless(have("strace"), "strace")(what, async () => {
      using here = plantingScene();
      writeTree(here.layers, { "run.toml": '[[images]]\nimage = "host.test/run"\n' });
      const result = await runCutOff(here, path(here));
      expect(result.exitCode).toBe(exitCode);
      expect(result.stderr).toContain(says);
      expect(existsSync(join(here.layers, "example_app/dist"))).toBe(isWarm);
      expect(existsSync(join(here.layers, "example_app/dist.toml"))).toBe(isWarm);
    });
  }
});
