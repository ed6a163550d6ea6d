// Runs alone: processes of it race each other on all cores.
import { describe, expect } from "bun:test";
import { chownSync, linkSync, lstatSync, renameSync, rmSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { stamps } from "../support/canary.ts";
import { directory, file, have, isRoot, link, skipUnless, snapshot, writeTree } from "../support/harness.ts";

import { plantingScene, restore } from "../support/planting-scene.ts";

const withRoot = skipUnless(isRoot, "root");
const nobody = 65534;

describe("ownership", () => {
  const asNobody = ["-uid", String(nobody), "-gid", String(nobody)];

  withRoot(
    "is changed for what stands in the layers directory, links themselves included, and for nothing they lead to",
    async () => {
      using here = plantingScene();
      writeTree(here.layers, {
        old: {
          out: link(here.canary),
          file: link(join(here.canary, "file")),
          dangling: link("nowhere"),
          self: link("."),
          loop: link("loop"),
          own: "x",
          closed: directory({ inside: file("x", 0) }, 0),
        },
      });
      Bun.spawnSync(["mkfifo", join(here.layers, "old/fifo")]);
      Bun.spawnSync(["mknod", join(here.layers, "old/null"), "c", "1", "3"]);
      const before = stamps(here.canary);
      const modes = (tree: ReturnType<typeof snapshot>) => [...tree].map(([name, { mode }]) => `${name} ${mode}`);
      const old = modes(snapshot(join(here.layers, "old")));
      expect(await restore(here, asNobody)).toMatchObject({ exitCode: 0 });
      expect(stamps(here.canary)).toEqual(before);
      for (const [name, { uid, gid }] of snapshot(here.layers))
        expect({ name, uid, gid }).toEqual({ name, uid: nobody, gid: nobody });
      expect(modes(snapshot(join(here.layers, "old")))).toEqual(old);
      expect(statSync(here.layers)).toMatchObject({ uid: nobody, gid: nobody });
    },
  );

  withRoot("of a file with other names outside stays as it is, with a warning", async () => {
    using here = plantingScene();
    linkSync(join(here.canary, "file"), join(here.layers, "hard"));
    const { exitCode, stderr } = await restore(here, asNobody);
    expect(exitCode).toBe(0);
    expect(stderr).toContain("hard");
    expect(statSync(join(here.canary, "file")).uid).toBe(0);
    expect(statSync(join(here.layers, "example_app/dist/data")).uid).toBe(nobody);
  });

  withRoot("is given where the layers directory is a link to a volume, and the link stays root's", async () => {
    using here = plantingScene();
    renameSync(here.layers, here.join("volume"));
    symlinkSync(here.join("volume"), here.layers);
    expect(await restore(here, asNobody)).toMatchObject({ exitCode: 0 });
    expect(lstatSync(here.layers).uid).toBe(0);
    expect(statSync(here.join("volume")).uid).toBe(nobody);
    expect(statSync(here.join("volume/example_app/dist/data")).uid).toBe(nobody);
  });

  withRoot("of the cache is never changed", async () => {
    using here = plantingScene();
    const before = stamps(here.join("cache"));
    expect(await restore(here, asNobody)).toMatchObject({ exitCode: 0 });
    expect(stamps(here.join("cache"))).toEqual(before);
  });

  withRoot("cannot be raced out of the tree by a directory that becomes a link and back", async () => {
    using here = plantingScene();
    const traps = Array.from({ length: 20 }, (_, index) => `trap-${index}`);
    const reset = () => {
      for (const trap of traps) {
        rmSync(join(here.layers, trap), { recursive: true, force: true });
        writeTree(here.layers, { [trap]: { file: "x", dir: { inside: "x" } } });
      }
      for (const path of [here.layers, ...traps.map((trap) => join(here.layers, trap))]) chownSync(path, 0, 0);
    };
    reset();
    const before = stamps(here.canary);
    const swap = `
      const { renameSync, symlinkSync, unlinkSync } = require("node:fs");
      const [layers, canary] = process.argv.slice(-2);
      for (;;) for (let i = 0; i < ${traps.length}; i++) {
        const trap = layers + "/trap-" + i, aside = canary + "-aside-" + i;
        try { renameSync(trap, aside); symlinkSync(canary, trap); unlinkSync(trap); renameSync(aside, trap); } catch {}
      }`;
    const swapper = Bun.spawn([process.execPath, "-e", swap, "--", here.layers, here.canary], { stderr: "inherit" });
    try {
      for (let round = 0; round < 12; round++) {
        // Losing the race may end the run, but with no more than an error.
        const { exitCode, signal } = await restore(here, asNobody);
        expect({ signal, known: [0, 1, 42].includes(exitCode ?? -1) }).toEqual({ signal: null, known: true });
        chownSync(here.layers, 0, 0);
      }
    } finally {
      swapper.kill("SIGKILL");
      await swapper.exited;
    }
    expect(stamps(here.canary)).toEqual(before);
  });

  skipUnless(isRoot && have("setpriv"), "root and setpriv")(
    "of nothing is changed for a user who is not root",
    async () => {
      using here = plantingScene();
      chownSync(here.layers, nobody, nobody);
      const { exitCode, stderr } = await restore(here, ["-uid", "12345", "-gid", "12345"], { uid: nobody });
      expect(exitCode).toBe(0);
      expect(stderr).toContain("Cannot become user 12345:12345");
      expect(statSync(join(here.layers, "example_app/dist/data")).uid).toBe(nobody);
      expect(statSync(join(here.layers, "group.toml")).uid).toBe(0);
    },
  );
});
