import { expect, describe as group } from "bun:test";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { groupToml } from "../support/cache-fixture.ts";
import { isRoot, restorerPath, runRestorer, skipUnless, snapshot, type TempDir, tempDir } from "../support/harness.ts";
import { buildImage, expectComplete, kanikoIn, large, placeOf, runImage, served } from "../support/kaniko-scene.ts";
import { bindfs, type Calls, canBindfs, canInject, withInjected } from "../support/refusing.ts";
import { digestOf } from "../support/test-image.ts";

const mounting = skipUnless(canBindfs, "root, bindfs and /dev/fuse");
const injecting = skipUnless(isRoot && canInject, "root and strace");

group("where directories cannot be renamed a layout is made in its place", () => {
  for (const options of [["--rename-deny"], ["--rename-deny", "--chmod-ignore"]]) {
    mounting(`on a file system with ${options.join(" ")}, fetched once, over what stands there`, async () => {
      await using server = await served();
      using dir = tempDir("kaniko", { kaniko: {} });
      using _ = bindfs(dir.join("kaniko"), ...options);
      mkdirSync(placeOf(dir, buildImage), { recursive: true, mode: 0o755 });
      writeFileSync(`${placeOf(dir, buildImage)}/index.json`, "{}");
      const { save } = await kanikoIn(dir, server);
      await save("build");
      await save("run");
      expectComplete(dir, buildImage, runImage);
      for (const [path, { type, mode }] of snapshot(dir.join("kaniko"))) {
        expect([path, mode]).toEqual([path, type === "directory" ? "0755" : "0644"]);
      }
      await save("build");
      expect(server.count(new RegExp(digestOf(large)))).toBe(1);
    });
  }

  const base = (dir: TempDir) => dir.join("kaniko/cache/base");

  async function restore(dir: TempDir, host: string, ...injections: [Calls, string][]) {
    const places = ["-layers", dir.join("layers"), "-kaniko-dir", dir.join("kaniko")];
    const options = injections.length > 0 ? { command: withInjected(injections, restorerPath()) } : {};
    return runRestorer([...places, "-build-image", `${host}/build`], { umask: 0o022, ...options });
  }

  for (const code of ["EPERM", "EXDEV", "ENOSYS", "EMFILE"]) {
    injecting(`rename answers ${code}, hard links or not`, async () => {
      await using server = await served();
      for (const more of [[], [["link", "error=EPERM"]]] satisfies [Calls, string][][]) {
        using dir = tempDir("kaniko", { layers: { "group.toml": groupToml([]) } });
        const { exitCode, stderr } = await restore(dir, server.host, ["rename", `error=${code}`], ...more);
        expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: expect.not.stringContaining("rename") });
        expectComplete(dir, buildImage);
      }
    });
  }

  injecting("what a killed run left of it is no layout, and goes with the next run", async () => {
    await using server = await served();
    for (const when of [1, 2, 3, 4, 5, 6]) {
      using dir = tempDir("kaniko", { layers: { "group.toml": groupToml([]) } });
      const killed = await restore(dir, server.host, ["rename", "error=EPERM"], ["link", `signal=KILL:when=${when}`]);
      expect(killed.signal).toBe("SIGKILL");
      expect(existsSync(`${placeOf(dir, buildImage)}/index.json`)).toBe(false);
      expect(readdirSync(base(dir))).toContain(buildImage.digest);
      // The next one wants another image.
      const { save } = await kanikoIn(dir, server);
      await save("run");
      expectComplete(dir, runImage);
    }
  });
});
