import { describe, expect, test } from "bun:test";
import { startFaultRegistry } from "../support/fault-registry.ts";
import { runRestorer, tempDir } from "../support/harness.ts";
import { data, desk } from "./run.ts";

describe("a cache that is not there", () => {
  test("is not taken for a sound one, be it a directory or an image", async () => {
    using dir = tempDir("absent", { empty: {} });
    await using registry = await startFaultRegistry({});
    const places = [dir.join("nope"), `oci:${dir.join("nope")}`, `${registry.host}/nope`];
    for (const place of places) {
      for (const words of [
        ["verify", place],
        ["inspect", place],
        ["diff", place, place],
        ["verify", place, "layer"],
      ]) {
        const { exitCode, found } = await data(...words);
        expect({ words, exitCode, code: found.error?.code }).toEqual({ words, exitCode: 1, code: "no-cache" });
      }
    }
    const all = await data("verify", ...places.flatMap((place) => ["-cache-from", place]));
    expect(all).toMatchObject({ exitCode: 1, found: { error: { code: "no-cache" } } });
    expect((await data("verify", `oci:${dir.join("empty")}`)).exitCode).toBe(0);
  });

  test("is told to be no directory either, where one could be meant", async () => {
    await using registry = await startFaultRegistry({});
    using dir = tempDir("absent", { [registry.host]: {} });
    const word = `${registry.host}/none`;
    const { exitCode, stderr } = await runRestorer(["inspect", word], { cwd: dir.path });
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`There is no directory "${word}" either.`);
  });

  test("is told without the password of its name", async () => {
    for (const args of [["http://me:PASSWORD@host/x"], ["-cache-image", "me:PASSWORD@host/x"]]) {
      const { exitCode, stdout, stderr } = await desk("inspect", ...args, "-output", "json");
      expect(exitCode).toBe(1);
      expect(stdout + stderr).toContain("it holds a user or password");
      expect(stdout + stderr).not.toContain("PASSWORD");
      // Nor twice.
      expect(stdout.match(/cannot read cache image/g)).toHaveLength(1);
    }
  });
});
