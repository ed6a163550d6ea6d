import { expect, describe as group, test } from "bun:test";
import { describe, ExitCode } from "../../lib/errors.ts";
import { isNotFound } from "../../lib/images/known-image.ts";
import { layoutPath, readLayoutImage } from "../../lib/images/layout.ts";
import { planImages } from "../../lib/images/plan.ts";
import { openImages } from "../../lib/images/resolve.ts";
import { type TestImage, testImage, testIndex } from "../support/fault-registry.ts";
import { type Tree, tempDir } from "../support/harness.ts";
import { analyzedOf, inputsOf, rememberingLog } from "../support/image-fixture.ts";

const architecture = process.arch === "x64" ? "amd64" : process.arch;
const labels = { "io.buildpacks.base.distro.name": "alpine" };
const image = testImage({ architecture, labels, variant: "v9" });
const other = testImage({ architecture: "riscv64" });
const platform = (name: string) => ({ os: "linux", architecture: name });
const hex = "a".repeat(64);

/** An OCI layout with images, and an index over them. */
function layoutOf(index: Uint8Array | string, ...images: TestImage[]): Tree {
  const all = images.flatMap((each) => [each, ...each.members]);
  const blobs = all.flatMap((each) => [[each.digest, each.bytes] as const, ...each.blobs]);
  const sha256 = Object.fromEntries(blobs.map(([digest, bytes]) => [digest.replace("sha256:", ""), bytes]));
  return { "oci-layout": '{"imageLayoutVersion":"1.0.0"}', "index.json": index, blobs: { sha256 } };
}

const single = layoutOf(testIndex([{ image, platform: platform(architecture) }]).bytes, image);

group("the path of an image in a layout directory", () => {
  const cases: [name: string, path: string][] = [
    ["ubuntu", "/l/index.docker.io/library/ubuntu/latest"],
    ["docker.io/org/app:v1", "/l/index.docker.io/org/app/v1"],
    ["host:5000/a/bb:v1", "/l/host:5000/a/bb/v1"],
    [`host:5000/a/bb:v1@sha256:${hex}`, `/l/host:5000/a/bb/sha256/${hex}`],
    ["/l/any/where", "/l/any/where"],
  ];
  for (const [name, path] of cases) {
    test(`of ${name}`, () => expect(layoutPath("/l", name)).toBe(path));
  }

  test("never leads out of it", () => {
    for (const name of ["/l/../x", "/lx/y", "../x", "/l", ""]) {
      expect(() => layoutPath("/l", name)).toThrow(/invalid image reference/);
    }
  });

  test("needs a layout directory", () => expect(() => layoutPath("", "ubuntu")).toThrow(/-layout/));
});

group("an image in a layout directory", () => {
  const read = (tree: Tree) => {
    const dir = tempDir("layout", { "host.test": { app: { v1: tree } } });
    return { dir, read: () => readLayoutImage(dir.path, "host.test/app:v1") };
  };

  test("has its path with the manifest's digest as reference, and gives its config", async () => {
    const setup = read(single);
    using dir = setup.dir;
    const found = setup.read();
    expect(found.reference).toBe(`${dir.join("host.test", "app", "v1")}@${image.digest}`);
    expect(await found.config()).toMatchObject({
      os: "linux",
      architecture,
      variant: "v9",
      labels: new Map(Object.entries(labels)),
    });
  });

  test("counts whatever its platform when it is the only one", () => {
    const setup = read(layoutOf(testIndex([{ image: other, platform: platform("riscv64") }]).bytes, other));
    using _ = setup.dir;
    expect(setup.read().reference).toEndWith(other.digest);
  });

  test("is the one for this machine among several, also in a nested index", () => {
    const both = testIndex([
      { image: other, platform: platform("riscv64") },
      { image, platform: platform(architecture) },
    ]);
    for (const tree of [layoutOf(both.bytes, both), layoutOf(testIndex([{ image: both, platform: {} }]).bytes, both)]) {
      const setup = read(tree);
      using _ = setup.dir;
      expect(setup.read().reference).toEndWith(image.digest);
    }
  });

  test("that does not exist is told apart from one that cannot be read", () => {
    using dir = tempDir("layout", { "host.test": { bad: { v1: { "index.json": "{" } } } });
    for (const [name, missing] of [
      ["host.test/gone:v1", true],
      ["host.test/bad:v1", false],
    ] as const) {
      try {
        readLayoutImage(dir.path, name);
        throw new Error("it was read");
      } catch (error) {
        expect(error).toMatchObject({ exitCode: ExitCode.failed });
        expect(describe(error)).toContain(name.replace(":", "/"));
        expect(isNotFound(error)).toBe(missing);
      }
    }
  });

  const config = [...image.blobs.keys()][0]?.replace("sha256:", "") ?? "";
  const damages: [what: string, damaged: string, says: RegExp][] = [
    ["manifest", image.digest.replace("sha256:", ""), /digest/],
    ["config", config, /digest/],
  ];
  for (const [what, damaged, says] of damages) {
    test(`is refused when its ${what} is not what its digest says`, async () => {
      const setup = read(single);
      using dir = setup.dir;
      const path = dir.join("host.test", "app", "v1", "blobs", "sha256", damaged);
      await Bun.write(path, Buffer.alloc((await Bun.file(path).bytes()).length, " "));
      const config = async () => setup.read().config();
      expect(describe(await config().catch((error: unknown) => error))).toMatch(says);
    });
  }

  test("is refused when its index lists nothing, too much inside, or is none", () => {
    let nested = testIndex([{ image, platform: platform(architecture) }]);
    const all = [nested];
    for (let level = 0; level < 3; level++) {
      nested = testIndex([{ image: nested, platform: {} }]);
      all.push(nested);
    }
    for (const tree of [layoutOf('{"manifests":[]}'), layoutOf(nested.bytes, ...all), layoutOf(image.bytes, image)]) {
      const setup = read(tree);
      using _ = setup.dir;
      expect(setup.read).toThrow(/OCI layout/);
    }
  });
});

test("with -layout, extensions get the run image's path and digest, and its target", async () => {
  using dir = tempDir("layout", { layouts: { "host.test": { run: { latest: single } } } });
  const { log } = rememberingLog();
  const inputs = inputsOf(15, { layout: true, layoutDir: dir.join("layouts"), kanikoDir: dir.join("kaniko") });
  const analyzed = analyzedOf(
    dir,
    '[run-image]\nimage = "host.test/run"\nreference = "host.test/run"\nextend = true\n',
  );
  const plan = planImages({ inputs, hasExtensions: true, analyzed, runToml: [] });
  if (plan === undefined) throw new Error("nothing to do");
  const run = { inputs, env: {}, log, signal: new AbortController().signal, umask: 0o022 };
  const table = await (await openImages(plan, run, undefined)).resolve();
  expect(table?.["run-image"]).toEqual({
    image: "host.test/run",
    reference: `${dir.join("layouts", "host.test", "run", "latest")}@${image.digest}`,
    extend: true,
    target: { os: "linux", arch: architecture, "arch-variant": "v9", distro: { name: "alpine" } },
  });
});
