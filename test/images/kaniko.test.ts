import { expect, describe as group, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, statSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { describe } from "../../lib/errors.ts";
import { ExitCode, RestorerError } from "../../lib/failures.ts";
import { openKaniko } from "../../lib/images/kaniko.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import { eventually } from "../support/eventually.ts";
import { digestOf, type FaultRegistry, startFaultRegistry, testImage } from "../support/fault-registry.ts";
import { link, removeTree, snapshot, type TempDir, tempDir } from "../support/harness.ts";
import { anonymousRegistry, rejection, rememberingLog } from "../support/image-fixture.ts";
import {
  blobOf,
  buildImage,
  expectComplete,
  kanikoIn,
  large,
  placeOf,
  runImage,
  served,
  shared,
} from "../support/kaniko-scene.ts";

group("saving for kaniko", () => {
  test("makes a complete layout, the manifest unchanged, with the modes of the umask", async () => {
    await using server = await served();
    using dir = tempDir();
    const { save } = await kanikoIn(dir, server, { umask: 0o027 });
    await save("build");
    expectComplete(dir, buildImage);
    for (const [path, { type, mode }] of snapshot(dir.join("kaniko"))) {
      expect([path, mode]).toEqual([path, type === "directory" ? "0750" : "0640"]);
    }
  });

  test("fetches a blob once, be it twice in a manifest or in both images", async () => {
    await using server = await served();
    using dir = tempDir();
    const { save } = await kanikoIn(dir, server);
    await save("build");
    await save("run");
    expectComplete(dir, buildImage, runImage);
    for (const digest of [...buildImage.blobs.keys(), ...runImage.blobs.keys()]) {
      expect(server.count(new RegExp(digest))).toBe(1);
    }
  });

  test("uses what is complete already", async () => {
    await using server = await served();
    using dir = tempDir();
    await (await kanikoIn(dir, server)).save("build");
    const before = snapshot(dir.path);
    const inode = statSync(placeOf(dir, buildImage)).ino;
    server.requests.length = 0;
    const { save, lines } = await kanikoIn(dir, server);
    await save("build");
    await save("build");
    expect(snapshot(dir.path)).toEqual(before);
    expect(statSync(placeOf(dir, buildImage)).ino).toBe(inode);
    expect(server.count(new RegExp(digestOf(large)))).toBe(0);
    expect(lines.join("\n")).toContain("already");
  });

  const config = JSON.parse(Buffer.from(buildImage.bytes).toString()).config.digest;
  const damages: [what: string, damage: (dir: TempDir) => void][] = [
    ["a missing layer", (dir) => removeTree(blobOf(dir, buildImage, digestOf(large)))],
    ["a layer cut short", (dir) => truncateSync(blobOf(dir, buildImage, digestOf(large)), 10)],
    [
      "an altered config of the same size",
      (dir) => {
        const path = blobOf(dir, buildImage, config);
        writeFileSync(path, Buffer.alloc(statSync(path).size));
      },
    ],
    ["an altered manifest", (dir) => writeFileSync(blobOf(dir, buildImage, buildImage.digest), "{}")],
    ["no oci-layout", (dir) => removeTree(`${placeOf(dir, buildImage)}/oci-layout`)],
    ["an empty index", (dir) => writeFileSync(`${placeOf(dir, buildImage)}/index.json`, '{"manifests":[]}')],
    [
      "an empty directory",
      (dir) => {
        removeTree(placeOf(dir, buildImage));
        mkdirSync(placeOf(dir, buildImage));
      },
    ],
    [
      "a file in its place",
      (dir) => {
        removeTree(placeOf(dir, buildImage));
        writeFileSync(placeOf(dir, buildImage), "");
      },
    ],
  ];
  for (const [what, damage] of damages) {
    test(`replaces a layout with ${what}`, async () => {
      await using server = await served();
      using dir = tempDir();
      await (await kanikoIn(dir, server)).save("build");
      damage(dir);
      await (await kanikoIn(dir, server)).save("build");
      expectComplete(dir, buildImage);
    });
  }

  test("does not follow a link planted in its place", async () => {
    await using server = await served();
    using dir = tempDir("kaniko", {
      kaniko: { cache: { base: { [buildImage.digest]: link("../../../victim") } } },
      victim: { kept: "yes" },
    });
    await (await kanikoIn(dir, server)).save("build");
    expectComplete(dir, buildImage);
    expect(readdirSync(dir.join("victim"))).toEqual(["kept"]);
  });

  const faults: [what: string, fault: FaultRegistry["rules"][number]["fault"], says: string][] = [
    ["corrupt", { kind: "corrupt" }, "has the digest"],
    ["missing", { kind: "status", status: 404 }, "404"],
    ["forbidden", { kind: "status", status: 403 }, "403"],
    ["too short", { kind: "short" }, "bytes"],
    ["too long", { kind: "trailing", announced: false }, "bytes"],
  ];
  for (const [what, fault, says] of faults) {
    test(`leaves nothing behind when a blob is ${what}`, async () => {
      await using server = await served();
      server.rules.push({ path: new RegExp(digestOf(large)), fault });
      using dir = tempDir();
      const { save } = await kanikoIn(dir, server);
      const error = await rejection(save("build"));
      expect(error).toBeInstanceOf(RestorerError);
      expect(error).toMatchObject({ exitCode: ExitCode.failed });
      expect(describe(error)).toContain(digestOf(large));
      expect(describe(error)).toContain(says);
      expectComplete(dir);
    });
  }

  test("a blob that fails does not wait for one that stalls, and keeps what stood there", async () => {
    await using server = await served();
    using dir = tempDir("kaniko", { kaniko: { cache: { base: { [buildImage.digest]: { stale: "" } } } } });
    server.rules.push(
      { path: new RegExp(digestOf(shared)), fault: { kind: "stall", at: 100 } },
      { path: new RegExp(digestOf(large)), fault: { kind: "corrupt" } },
    );
    const { save } = await kanikoIn(dir, server);
    await rejection(save("build"));
    expect(readdirSync(dir.join("kaniko", "cache", "base"))).toEqual([buildImage.digest]);
    expect(existsSync(`${placeOf(dir, buildImage)}/stale`)).toBeTrue();
  });

  test("leaves nothing behind when the run is asked to stop", async () => {
    await using server = await served();
    server.rules.push({ path: new RegExp(digestOf(large)), fault: { kind: "stall", at: 1000 } });
    using dir = tempDir();
    const aborter = new AbortController();
    const reason = new Error("stop");
    const { save } = await kanikoIn(dir, server, { signal: aborter.signal });
    const failed = rejection(save("build"));
    await eventually("a request for the large blob", () =>
      server.requests.find(({ path, status }) => status === 200 && path.endsWith(digestOf(large))),
    );
    aborter.abort(reason);
    expect(await failed).toBe(reason);
    expectComplete(dir);
  });

  test("sweeps what a killed run left, and leaves what is not its own", async () => {
    await using server = await served();
    const dead = `.restorer-${"0".repeat(12)}-1-1-${"0".repeat(12)}`;
    using dir = tempDir("kaniko", { kaniko: { cache: { base: { [dead]: { s1: {} }, other: "" } } } });
    const past = new Date(Date.now() - 3_600_000);
    utimesSync(dir.join("kaniko", "cache", "base", dead), past, past);
    await (await kanikoIn(dir, server)).save("run");
    expect(readdirSync(dir.join("kaniko", "cache", "base")).sort()).toEqual(["other", runImage.digest]);
  });

  test("two at once end well", async () => {
    await using server = await served();
    using dir = tempDir();
    const [one, two] = await Promise.all([kanikoIn(dir, server), kanikoIn(dir, server)]);
    await Promise.all([one.save("build"), two.save("build"), one.save("run"), two.save("run")]);
    expectComplete(dir, buildImage, runImage);
  });

  test("says where it cannot write, and what to do", async () => {
    await using server = await served();
    using dir = tempDir("kaniko", { kaniko: "a file" });
    const { save } = await kanikoIn(dir, server);
    const error = await rejection(save("run"));
    expect(error).toMatchObject({ exitCode: ExitCode.failed, hint: expect.stringContaining("-kaniko-dir") });
    expect(describe(error)).toContain(dir.join("kaniko"));
  });

  test("fetches a few blobs at a time", async () => {
    const layers = Array.from({ length: 10 }, () => randomBytes(50));
    const image = testImage({ layers, compression: "none" });
    const { log } = rememberingLog();
    await using server = await startFaultRegistry();
    server.push("many", "latest", image);
    const real = await anonymousRegistry(log);
    let [open, most] = [0, 0];
    const counting: typeof real = {
      check: (reference) => real.check(reference),
      image: (...asked) => real.image(...asked),
      config: (from) => real.config(from),
      async *blob(from, descriptor) {
        most = Math.max(most, ++open);
        await Bun.sleep(1);
        yield* real.blob(from, descriptor);
        open--;
      },
      endingWith: () => counting,
    };
    using dir = tempDir();
    const signal = new AbortController().signal;
    const kaniko = openKaniko({
      kanikoDir: dir.join("kaniko"),
      layersDir: dir.join("layers"),
      umask: 0o022,
      log,
      signal,
    });
    await kaniko.save(await real.image(parseReference(`${server.host}/many`)), counting);
    expectComplete(dir, image);
    expect(most).toBe(3);
  });
});
