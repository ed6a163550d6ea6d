// Runs alone: it kills hundreds of runs, and keeps all cores busy.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { hangMs, type RunResult, runRestorer, startRestorer, tempDir, writeTree } from "../support/harness.ts";
import { all, Caches, clean, directory, layerNames, layersDir, leftovers, type Version } from "./versions.ts";

/** How many times the kill test kills: KILLS=1000 for the long run. */
const kills = Number(process.env.KILLS ?? 16);

describe("a restorer that is killed", () => {
  let caches: Caches;
  beforeAll(() => {
    caches = new Caches(5000);
  });
  afterAll(() => caches[Symbol.dispose]());

  test(
    `leaves every layer old, new or absent, at ${kills} random moments, and the next run mends all`,
    async () => {
      using dir = tempDir("kill");
      const layers = layersDir(dir);
      const began = Bun.nanoseconds();
      expect((await runRestorer(caches.args(layers, "red"))).exitCode).toBe(0);
      const full = (Bun.nanoseconds() - began) / 1e6;
      expect(caches.states(layers)).toEqual(all("red"));

      const seen = new Map<string, number>();
      for (let round = 1; round <= kills; round++) {
        const version: Version = round % 2 === 1 ? "blue" : "red";
        const run = startRestorer(caches.args(layers, version));
        if (round % 4 < 2) await Bun.sleep(Math.random() * full);
        else await publishing(layers, run.result);
        run.kill("SIGKILL");
        await run.result;
        const states = caches.states(layers);
        for (const state of states) seen.set(state, (seen.get(state) ?? 0) + 1);
        expect(states.filter((state) => !["red", "blue", "absent"].includes(state))).toEqual([]);

        expect(await runRestorer(caches.args(layers, version))).toMatchObject({ exitCode: 0, stderr: "" });
        expect(caches.states(layers)).toEqual(all(version));
        expect(readdirSync(layers).sort()).toEqual(clean);
      }
      console.log(`after ${kills} kills: ${JSON.stringify(Object.fromEntries(seen))}`);
    },
    hangMs * Math.max(1, kills / 50),
  );

  test("and whose staging nobody vouches for is swept, another one's is not", async () => {
    using dir = tempDir("sweep");
    const layers = layersDir(dir);
    const now = Date.now() / 1000;
    // Of another machine or PID namespace; only the heartbeat tells. A time far ahead is a clock that jumped back.
    const staged = { silent: now - 3600, beating: now, ahead: now + 3600 };
    const name = (index: number) => `.restorer-0123456789ab-1-1-00000000000${index}`;
    for (const [index, time] of Object.values(staged).entries()) {
      mkdirSync(join(layers, name(index), "s1"), { recursive: true });
      utimesSync(join(layers, name(index)), time, time);
    }
    writeTree(layers, { ".restorer-is-not-ours": { keep: "1" } });
    expect((await runRestorer(caches.args(layers, "red"))).exitCode).toBe(0);
    expect(caches.states(layers)).toEqual(all("red"));
    expect(leftovers(layers).sort()).toEqual(
      [name(1), `${name(1)}/s1`, ".restorer-is-not-ours", ".restorer-is-not-ours/keep"].sort(),
    );
  });
});

/** Resolves at a random moment soon after the first old layer is gone, when layers are on their way to their places. */
async function publishing(layers: string, result: Promise<RunResult>): Promise<void> {
  let ended = false;
  result.then(() => {
    ended = true;
  });
  const tomls = layerNames.map((layer) => join(layers, directory, `${layer}.toml`));
  while (!ended && tomls.every((path) => existsSync(path))) await Bun.sleep(1);
  if (!ended) await Bun.sleep(Math.random() * 10);
}
