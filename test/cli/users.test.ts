import { describe, expect } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { isRoot, skipUnless, snapshot } from "../support/harness.ts";
import { asUser, canBeOther, expectWhole, give, other, plainUser, scene } from "./scene.ts";

describe("what is restored", () => {
  asUser("belongs to whoever runs; another user asked for by one who is not root is a warning", async () => {
    using made = scene();
    give(made.layers);
    const { exitCode, stderr } = await made.run(["-uid", "12345", "-gid", "12345"], plainUser);
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/^Warning: Cannot become user 12345:12345, only root can/);
    expectWhole(made);
  });

  skipUnless(isRoot && canBeOther, "root")("belongs to the user that root is asked to become", async () => {
    using made = scene();
    mkdirSync(join(made.layers, "bp"));
    const { exitCode, stderr } = await made.run(["-uid", String(other), "-gid", String(other)]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expectWhole(made);
    for (const [path, { uid, gid }] of snapshot(made.layers))
      expect({ path, uid, gid }).toEqual({ path, uid: other, gid: other });
  });
});
