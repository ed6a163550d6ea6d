import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { analyzedToml, metadataName } from "../support/cache-fixture.ts";
import { type FaultRegistry, startFaultRegistry, testImage } from "../support/fault-registry.ts";
import { type RunResult, restorerPath, runRestorer, tempDir } from "../support/harness.ts";
import { all, Caches, layersDir } from "./versions.ts";

describe("a limit on open files:", () => {
  let caches: Caches;
  let registry: FaultRegistry;
  beforeAll(async () => {
    // With layers that take threads.
    caches = new Caches(200, 100 * 1024);
    const { committed, metadataPath } = caches.cache("red");
    const blobs = readdirSync(committed).filter((name) => name.endsWith(".tar"));
    const layers = blobs.map((name) => readFileSync(join(committed, name)));
    registry = await startFaultRegistry();
    registry.push(
      "cache",
      "latest",
      testImage({ layers, labels: { [metadataName]: readFileSync(metadataPath, "utf8") } }),
    );
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    caches[Symbol.dispose]();
  });

  // Only root can become another one.
  const user = process.getuid?.() === 0 ? "65534" : String(process.getuid?.());
  const ways: Readonly<Record<string, (layers: string) => string[]>> = {
    "a volume cache": (layers) => caches.args(layers, "red"),
    "a cache image": (layers) => [
      "-layers",
      layers,
      "-cache-image",
      `${registry.host}/cache`,
      "-blob-connections",
      "8",
    ],
    "no cache": (layers) => ["-layers", layers],
    "no cache where something stands": (layers) => {
      mkdirSync(join(layers, "sbom", "launch", "deep"), { recursive: true });
      return ["-layers", layers];
    },
    "no cache and a record of an earlier build": (layers) => {
      const earlier = join(layers, "earlier.toml");
      writeFileSync(earlier, analyzedToml({ buildpacks: [{ id: "bp", layers: [{ name: "site" }] }] }));
      return ["-layers", layers, "-analyzed", earlier];
    },
    "no cache and a user": (layers) => ["-layers", layers, "-uid", user],
  };
  for (const [what, argsFor] of Object.entries(ways)) {
    test(`64 open files are enough for ${what}`, async () => {
      using dir = tempDir("emfile");
      const layers = layersDir(dir);
      const { exitCode, stderr } = await runLimited(64, argsFor(layers));
      expect({ exitCode, stderr: stderr.replace(/^Warning: No cached data .*\n/, "") }).toEqual({
        exitCode: 0,
        stderr: "",
      });
      if (!what.startsWith("no cache")) expect(caches.states(layers)).toEqual(all("red"));
    });

    test(`fewer end with what is needed before anything is done, or well, with ${what}`, async () => {
      using dir = tempDir("emfile");
      const ends = new Set<string>();
      for (const count of counts) {
        const layers = layersDir(dir, `layers-${count}`);
        const args = argsFor(layers);
        const before = contentOf(layers);
        ends.add(judge(await runLimited(count, args), before, layers, what));
      }
      const told = what.startsWith("no cache") ? ["told"] : [];
      expect([...ends].filter((end) => !["cannot start", "refused", "well", ...told].includes(end))).toEqual([]);
      expect(ends).toContain(what === "no cache" ? "well" : "refused");
    });
  }

  /** How a run ended, in a word where that is as promised. */
  function judge({ exitCode, stdout, stderr }: RunResult, before: string, layers: string, what: string): string {
    const isUntouched = contentOf(layers) === before;
    const error = stderr.replace(/^Warning: No cached data .*\n/, "");
    if (exitCode === 0 && (what.startsWith("no cache") || caches.states(layers).join() === all("red").join()))
      return "well";
    if (exitCode === 127 && stderr === cannotStart && isUntouched && stdout === "") return "cannot start";
    if (exitCode === 1 && refused.test(error) && isUntouched && stdout === "") return "refused";
    if (exitCode !== 0 && tooMany.test(error) && isUntouched && stdout === "") return "told";
    return `${exitCode}, ${stderr}`;
  }

  test("the report has a code for that", async () => {
    using dir = tempDir("emfile");
    const layers = layersDir(dir);
    const { stdout } = await runLimited(40, [...caches.args(layers, "red"), "-report", "-"]);
    expect(JSON.parse(stdout)).toMatchObject({ exitCode: 1, error: { code: "few-descriptors" } });
    const { exitCode } = await runLimited(40, ["-version"]);
    expect(exitCode).toBe(0);
  });
});

/** Below 5 the runtime of the plain executable speaks for itself, which may be the one that is given. */
const counts = Array.from({ length: 61 }, (_, index) => index + 3).filter(
  (count) => (count >= 5 || process.env.RESTORER === undefined) && (count < 24 || count % 6 === 0 || count > 54),
);

const cannotStart = "ERROR: restorer cannot start: this process may not open any more files (see ulimit -n)\n";
const refused =
  /^ERROR: this process may open \d+ more files?, and a run needs 48\nRaise the limit on open files \(`ulimit -n`\): 64 are enough where the restorer is given none that are open already\.\n$/;
/** Of the first files and directories that are opened. */
const tooMany = /^ERROR: (read group file|write) .*: too many open files in this process \(raise `ulimit -n`\)\n/;

function contentOf(layers: string): string {
  return readdirSync(layers, { recursive: true }).toSorted().join();
}

/** Runs the executable with no more than so many open files. */
function runLimited(count: number, args: readonly string[]): Promise<RunResult> {
  return runRestorer(args, { command: ["sh", "-c", `ulimit -n ${count} && exec "$@"`, "sh", restorerPath()] });
}
