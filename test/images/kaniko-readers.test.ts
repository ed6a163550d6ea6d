import { expect, describe as group } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { digestOf, startFaultRegistry, testImage } from "../support/fault-registry.ts";
import { file, have, isRoot, skipUnless, tempDir } from "../support/harness.ts";
import { kanikoIn, placeOf, runImage, served } from "../support/kaniko-scene.ts";

group("a saved image is valid", () => {
  const run = (...argv: string[]) => {
    const { exitCode, stdout, stderr } = Bun.spawnSync(argv, { stderr: "pipe" });
    return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
  };
  const tarball = () => {
    using dir = tempDir("tar", { root: { hello: file("world", 0o644) } });
    return Bun.spawnSync(["tar", "-C", dir.join("root"), "-cf", "-", "."]).stdout;
  };

  skipUnless(have("skopeo"), "skopeo")("for skopeo, which finds the digest unchanged", async () => {
    await using server = await served();
    using dir = tempDir();
    const { save } = await kanikoIn(dir, server);
    await save("run");
    // The tag is separated by a colon, and so cannot be looked for in a path that has one.
    const moved = dir.join("layout");
    expect(run("cp", "-r", placeOf(dir, runImage), moved).exitCode).toBe(0);
    const raw = run("skopeo", "inspect", "--raw", `oci:${moved}`);
    expect(raw.stderr).toBe("");
    expect(digestOf(Buffer.from(raw.stdout))).toBe(runImage.digest);
    const copied = run(
      "skopeo",
      "--insecure-policy",
      "copy",
      "--preserve-digests",
      `oci:${moved}`,
      `dir:${dir.join("copy")}`,
    );
    expect([copied.exitCode, copied.stderr]).toEqual([0, ""]);
  });

  skipUnless(have("umoci") && have("tar") && isRoot, "umoci, tar, root")("for umoci, which unpacks it", async () => {
    await using server = await startFaultRegistry();
    const editConfig = (config: Record<string, unknown>) => ({ ...config, history: [{ created_by: "test" }] });
    const image = testImage({ layers: [tarball()], editConfig });
    server.push("app", "latest", image);
    using dir = tempDir();
    await (await kanikoIn(dir, server)).save("app");
    const moved = dir.join("layout");
    expect(run("cp", "-r", placeOf(dir, image), moved).exitCode).toBe(0);
    // umoci finds images by tag only; one is added to the copy.
    const index = JSON.parse(readFileSync(`${moved}/index.json`, "utf8"));
    index.manifests[0].annotations = { "org.opencontainers.image.ref.name": "latest" };
    writeFileSync(`${moved}/index.json`, JSON.stringify(index));
    const unpacked = run("umoci", "unpack", "--image", `${moved}:latest`, dir.join("bundle"));
    expect([unpacked.exitCode, unpacked.stderr]).toEqual([0, expect.any(String)]);
    expect(readFileSync(dir.join("bundle", "rootfs", "hello"), "utf8")).toBe("world");
  });
});
