import { describe, expect } from "bun:test";
import { have, isRoot, skipUnless } from "../support/harness.ts";
import { describeInjection } from "./calls.ts";
import { injectAll, injections, sample } from "./run.ts";
import { InjectionScene, type Variant } from "./scene.ts";

/** Of each variant, out of some thousand; `make inject` is the long run. */
const count = Number(process.env.SAMPLE ?? 80);
const seed = Number(process.env.SEED ?? 11);

describe("a system call that fails, whichever it is", () => {
  for (const variant of ["root", "dropped"] satisfies Variant[]) {
    skipUnless(isRoot && have("strace"), "root, and strace")(
      `leaves no layer half and no message raw, and the next run restores all: ${variant}`,
      async () => {
        using scene = await InjectionScene.make(variant);
        const wrong: string[] = [];
        await injectAll(scene, sample(injections(await scene.calls()), count, seed), (injection, found) => {
          wrong.push(...found.map((what) => `${describeInjection(injection)}: ${what}`));
        });
        expect(wrong).toEqual([]);
        expect(scene.killed).toBeGreaterThan(0);
      },
    );
  }
});
