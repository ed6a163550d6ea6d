import { afterAll, beforeAll, expect, describe as group, test } from "bun:test";
import { randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { describe } from "../../lib/errors.ts";
import { ExitCode, RestorerError } from "../../lib/failures.ts";
import { openKaniko } from "../../lib/images/kaniko.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import { type FaultRegistry, startFaultRegistry, type TestImage, testImage } from "../support/fault-registry.ts";
import {
  file,
  have,
  isRoot,
  link,
  removeTree,
  skipUnless,
  snapshot,
  type TempDir,
  tempDir,
} from "../support/harness.ts";
import { anonymousRegistry, rejection, rememberingLog } from "../support/image-fixture.ts";

const [shared, large, small] = [randomBytes(40_000), randomBytes(300_000), randomBytes(100)];
const buildImage = testImage({ layers: [shared, large, small, small], compression: "none" });
const runImage = testImage({ layers: [shared], compression: "none", format: "docker", labels: { run: "yes" } });
const digestOf = (bytes: Uint8Array) => `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;

// As in a run: modes are given exactly.
let umask = 0;
beforeAll(() => {
  umask = process.umask(0);
});
afterAll(() => void process.umask(umask));

async function served(): Promise<FaultRegistry> {
  const registry = await startFaultRegistry();
  registry.push("build", "latest", buildImage);
  registry.push("run", "latest", runImage);
  return registry;
}

interface Setup {
  readonly umask?: number;
  readonly signal?: AbortSignal;
}

/** A kaniko directory below `dir`, and how to save images there. */
async function kanikoIn(dir: TempDir, server: FaultRegistry, { umask = 0o022, signal }: Setup = {}) {
  const { log, lines } = rememberingLog();
  const aborter = new AbortController();
  const registry = await anonymousRegistry(log, signal ?? aborter.signal);
  const kaniko = openKaniko({ kanikoDir: dir.join("kaniko"), umask, log, signal: signal ?? aborter.signal });
  const save = async (name: string) =>
    kaniko.save(await registry.image(parseReference(`${server.host}/${name}`)), registry);
  return { save, lines };
}

const placeOf = (dir: TempDir, image: TestImage) => dir.join("kaniko", "cache", "base", image.digest);
const blobOf = (dir: TempDir, image: TestImage, digest: string) =>
  `${placeOf(dir, image)}/blobs/sha256/${digest.replace("sha256:", "")}`;

/** What is below `cache/base`: complete layouts, and nothing else. */
function expectComplete(dir: TempDir, ...images: TestImage[]): void {
  expect(readdirSync(dir.join("kaniko", "cache", "base")).sort()).toEqual(images.map(({ digest }) => digest).sort());
  for (const image of images) {
    const blobs = new Map([...image.blobs, [image.digest, image.bytes]]);
    const names = [...blobs.keys()].map((digest) => digest.replace("sha256:", ""));
    expect(readdirSync(`${placeOf(dir, image)}/blobs/sha256`).sort()).toEqual(names.sort());
    for (const [digest, bytes] of blobs) {
      expect(readFileSync(blobOf(dir, image, digest)).equals(bytes)).toBeTrue();
    }
    const index = JSON.parse(readFileSync(`${placeOf(dir, image)}/index.json`, "utf8"));
    const { mediaType, digest, bytes } = image;
    expect(index.manifests).toEqual([{ mediaType, digest, size: bytes.length }]);
  }
}

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
    while (server.count(new RegExp(digestOf(large))) === 0) await Bun.sleep(1);
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
      ...real,
      async *blob(from, descriptor) {
        most = Math.max(most, ++open);
        await Bun.sleep(1);
        yield* real.blob(from, descriptor);
        open--;
      },
    };
    using dir = tempDir();
    const signal = new AbortController().signal;
    const kaniko = openKaniko({ kanikoDir: dir.join("kaniko"), umask: 0o022, log, signal });
    await kaniko.save(await real.image(parseReference(`${server.host}/many`)), counting);
    expectComplete(dir, image);
    expect(most).toBe(3);
  });
});

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
