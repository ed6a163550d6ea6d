import { expect, describe as group, test } from "bun:test";
import { existsSync } from "node:fs";
import type { Inputs } from "../../lib/cli/inputs.ts";
import { ExitCode, RestorerError } from "../../lib/errors.ts";
import { type Images, openImages } from "../../lib/images/images.ts";
import { daemonImages, imagesInUse, type PlanOptions, planImages } from "../../lib/images/plan.ts";
import { otherNames, readRunToml } from "../../lib/toml/run-toml.ts";
import { formatToml } from "../../lib/toml/toml.ts";
import type { TomlTable } from "../../lib/toml/values.ts";
import { type FaultRegistry, startFaultRegistry, testImage, testIndex } from "../support/fault-registry.ts";
import { type TempDir, tempDir } from "../support/harness.ts";
import { analyzedOf, anonymousRegistry, inputsOf, rejection, rememberingLog } from "../support/image-fixture.ts";

const labels = {
  "io.buildpacks.base.id": "base",
  "io.buildpacks.base.distro.name": "debian",
  "io.buildpacks.base.distro.version": "12",
};
const runImage = testImage({ layers: [Buffer.from("run")], labels });
const otherImage = testImage({ layers: [Buffer.from("other")], labels: { "io.buildpacks.base.id": "other" } });
const debian = { id: "base", os: "linux", arch: "amd64", distro: { name: "debian", version: "12" } };

interface Setup {
  readonly api?: number;
  readonly inputs?: Partial<Inputs>;
  readonly hasExtensions?: boolean;
  readonly runToml?: PlanOptions["runToml"];
}

/** Plans with an analyzed.toml; `kaniko` below `dir` is the kaniko directory. */
function plan(dir: TempDir, analyzed: string | undefined, setup: Setup = {}) {
  const { api = 15, hasExtensions = false, runToml = [] } = setup;
  const inputs = inputsOf(api, { kanikoDir: dir.join("kaniko"), ...setup.inputs });
  return { inputs, planned: planImages({ inputs, hasExtensions, analyzed: analyzedOf(dir, analyzed), runToml }) };
}

async function open(dir: TempDir, analyzed: string | undefined, setup: Setup = {}, signal?: AbortSignal) {
  const { log, lines } = rememberingLog();
  const { inputs, planned } = plan(dir, analyzed, setup);
  if (planned === undefined) throw new Error("nothing to do");
  const run = { inputs, env: {}, log, signal: signal ?? new AbortController().signal, umask: 0o022 };
  const images: Images = await openImages(planned, run, await anonymousRegistry(log, run.signal));
  return { images, lines };
}

const runOf = (name: string, more = "") => `[run-image]\nreference = "${name}"\nimage = "${name}"\n${more}`;
const runTableOf = (table: TomlTable | undefined) => table?.["run-image"];

async function registryWith(...names: string[]): Promise<FaultRegistry> {
  const registry = await startFaultRegistry();
  for (const name of names) registry.push(name, "latest", name.startsWith("other") ? otherImage : runImage);
  return registry;
}

group("what is planned", () => {
  const cases: [what: string, analyzed: string, setup: Setup, expected: object | undefined][] = [
    ["nothing without extensions", runOf("r/x"), {}, undefined],
    ["nothing about a build image before 0.10", "", { api: 9, inputs: { buildImage: "b" } }, undefined],
    ["a build image from 0.10 on", "", { api: 10, inputs: { buildImage: "b" } }, { buildImage: "b" }],
    ["nothing to extend before 0.12", runOf("r/x", "extend = true"), { api: 11 }, undefined],
    ["saving from 0.12 on", runOf("r/x", "extend = true"), { api: 12 }, { runImage: { action: "save", target: true } }],
    [
      "saving from the registry even with a daemon",
      runOf("r/x", "extend = true"),
      { inputs: { daemon: true } },
      { source: "daemon", runImage: { action: "save" } },
    ],
    ["no saving from layouts", runOf("r/x", "extend = true"), { inputs: { layout: true } }, undefined],
    [
      "recording from layouts where there are extensions",
      runOf("r/x", "extend = true"),
      { inputs: { layout: true }, hasExtensions: true },
      { source: "layout", runImage: { action: "record" } },
    ],
    ["nothing for extensions before 0.10", runOf("r/x"), { api: 9, hasExtensions: true }, undefined],
    [
      "the digest alone before 0.12",
      runOf("r/x"),
      { api: 11, hasExtensions: true },
      { runImage: { action: "record", target: false } },
    ],
    [
      "nothing where the target is known",
      runOf("r/x", 'target = { os = "linux" }'),
      { hasExtensions: true },
      undefined,
    ],
    [
      "recording where the target has no os",
      runOf("r/x", 'target = { arch = "amd64" }'),
      { hasExtensions: true },
      { runImage: { action: "record", target: true } },
    ],
    [
      "the reference as name where there is no image",
      '[run-image]\nreference = "r/x"',
      { hasExtensions: true },
      { runImage: { selected: "r/x" } },
    ],
    ["no check before 0.14", runOf("r/x"), { api: 13, runToml: [{ image: "r/x", mirrors: [] }] }, undefined],
    [
      "a check of what run.toml lists",
      runOf("r/x"),
      { runToml: [{ image: "r/x", mirrors: ["m/x"] }] },
      { runImage: { action: "keep", mirrors: ["m/x"] } },
    ],
    ["no check of what it does not list", runOf("r/x"), { runToml: [{ image: "r/y", mirrors: [] }] }, undefined],
    [
      "no check with a daemon",
      runOf("r/x"),
      { inputs: { daemon: true }, runToml: [{ image: "r/x", mirrors: [] }] },
      undefined,
    ],
    [
      "no check with layouts",
      runOf("r/x"),
      { inputs: { layout: true }, runToml: [{ image: "r/x", mirrors: [] }] },
      undefined,
    ],
    ["no app image beside an analyzed.toml", "", { inputs: { appImage: "a" } }, undefined],
  ];
  for (const [what, analyzed, setup, expected] of cases) {
    test(what, () => {
      using dir = tempDir();
      const { planned } = plan(dir, analyzed, setup);
      if (expected === undefined) expect(planned).toBeUndefined();
      else expect(planned).toMatchObject(expected);
    });
  }

  test("nothing at all where analyzed.toml cannot be used", () => {
    const inputs = inputsOf(15, { buildImage: "b", appImage: "a" });
    expect(planImages({ inputs, hasExtensions: true, analyzed: undefined, runToml: [] })).toBeUndefined();
  });

  test("an app image stands in for a missing analyzed.toml", () => {
    using dir = tempDir();
    expect(plan(dir, undefined, { inputs: { appImage: "a" } }).planned).toMatchObject({ appImage: "a" });
  });
});

group("the images that registries are asked for", () => {
  const inUse = (analyzed: string | undefined, setup: Setup) => {
    using dir = tempDir();
    const { inputs, planned } = plan(dir, analyzed, setup);
    return { remote: imagesInUse(inputs, planned), local: planned === undefined ? [] : daemonImages(planned) };
  };

  test("are those that will be contacted, and no others", () => {
    const all = { cacheImage: "c", buildImage: "b", appImage: "a" };
    const runToml = [{ image: "r/p", mirrors: ["r/x", "m/x"] }];
    expect(inUse(runOf("r/x"), { inputs: all, runToml }).remote).toEqual(["c", "b", "r/x", "r/p", "m/x"]);
    expect(inUse(runOf("r/x"), { inputs: all }).remote).toEqual(["c", "b"]);
    expect(inUse(undefined, { inputs: all }).remote).toEqual(["c", "b", "a"]);
    expect(inUse(runOf("r/x"), { inputs: { cacheImage: "c", skipLayers: true } }).remote).toEqual([]);
  });

  test("do not include what the daemon or a layout has", () => {
    const extended = runOf("r/x", "extend = true");
    const daemon = { inputs: { daemon: true, appImage: "a" }, hasExtensions: true };
    expect(inUse(runOf("r/x"), daemon)).toEqual({ remote: [], local: ["r/x"] });
    expect(inUse(extended, daemon)).toEqual({ remote: ["r/x"], local: [] });
    expect(inUse(undefined, daemon)).toEqual({ remote: [], local: ["a"] });
    expect(inUse(extended, { inputs: { layout: true }, hasExtensions: true })).toEqual({ remote: [], local: [] });
  });
});

group("run.toml", () => {
  test("offers other names of an image, whatever its digest, those in its registry first", () => {
    const offered = [
      { image: "ubuntu", mirrors: [] },
      { image: "one.test/run", mirrors: ["two.test/aa", "three.test/bb:v1", "two.test/cc"] },
    ];
    const digest = `sha256:${"a".repeat(64)}`;
    expect(otherNames(offered, `two.test/cc:latest@${digest}`)).toEqual([
      "two.test/aa",
      "one.test/run",
      "three.test/bb:v1",
    ]);
    expect(otherNames(offered, "docker.io/library/ubuntu:latest")).toEqual([]);
    expect(otherNames(offered, "three.test/bb")).toBeUndefined();
    expect(otherNames(offered, "")).toBeUndefined();
  });

  test("is read, may be missing, and is refused with its place when malformed", () => {
    using dir = tempDir("run", {
      "run.toml": '[[images]]\nimage = "a"\nmirrors = ["b"]\n',
      "bad.toml": "[[images\n",
      "type.toml": "images = [{ mirrors = 3 }]\n",
    });
    const { log, lines } = rememberingLog();
    expect(readRunToml(dir.join("run.toml"), log)).toEqual([{ image: "a", mirrors: ["b"] }]);
    expect(readRunToml(dir.join("none.toml"), log)).toEqual([]);
    expect(lines.join()).toStartWith("debug: ");
    expect(() => readRunToml(dir.join("bad.toml"), log)).toThrow(/bad\.toml:1:9/);
    expect(() => readRunToml(dir.join("type.toml"), log)).toThrow(/images\.0\.mirrors/);
  });
});

group("the run image", () => {
  test("is recorded by digest with its target; everything else stays as it is", async () => {
    await using registry = await registryWith("run");
    using dir = tempDir();
    const name = `${registry.host}/run`;
    const text = `${runOf(name, 'unknown = 1.0\ntarget = { arch = "x", "arch-variant" = "v", later = 2 }')}\n[later]\nn = 9007199254740993\nf = 2.0\n`;
    const { images } = await open(dir, text, { hasExtensions: true });
    const table = await images.resolve();
    expect(formatToml(table ?? {})).toBe(
      formatToml({
        "run-image": {
          reference: `${name}@${runImage.digest}`,
          image: name,
          unknown: 1,
          target: { later: 2n, ...debian },
        },
        later: { n: 9007199254740993n, f: 2 },
      }),
    );
    expect(registry.count(/manifests/)).toBe(1);
    expect(registry.count(/blobs/)).toBe(1);
    expect(existsSync(dir.join("kaniko"))).toBeFalse();
  });

  test("is recorded by digest alone before Platform API 0.12, without a look at its config", async () => {
    await using registry = await registryWith("run");
    using dir = tempDir();
    const { images } = await open(dir, runOf(`${registry.host}/run`), { api: 11, hasExtensions: true });
    expect(runTableOf(await images.resolve())).toEqual({
      reference: `${registry.host}/run@${runImage.digest}`,
      image: `${registry.host}/run`,
    });
    expect(registry.count(/blobs/)).toBe(0);
  });

  test("to be extended is saved, and recorded by the digest of its platform's manifest", async () => {
    await using registry = await startFaultRegistry();
    const platform = (architecture: string) => ({ os: "linux", architecture });
    const index = testIndex([
      { image: otherImage, platform: platform("riscv64") },
      { image: runImage, platform: platform("amd64") },
    ]);
    registry.push("run", "latest", index);
    using dir = tempDir();
    const { images } = await open(dir, runOf(`${registry.host}/run`, "extend = true"));
    expect(runTableOf(await images.resolve())).toEqual({
      reference: `${registry.host}/run@${runImage.digest}`,
      image: `${registry.host}/run`,
      extend: true,
      target: debian,
    });
    expect(existsSync(dir.join("kaniko", "cache", "base", runImage.digest, "index.json"))).toBeTrue();
  });

  test("that can be read changes nothing where only that is asked", async () => {
    await using registry = await registryWith("run", "other");
    using dir = tempDir();
    const [name, mirror] = [`${registry.host}/run`, `${registry.host}/other`];
    const { images, lines } = await open(dir, runOf(name), { runToml: [{ image: mirror, mirrors: [name] }] });
    expect(await images.resolve()).toBeUndefined();
    expect(registry.count(/other/)).toBe(0);
    expect(lines.filter((line) => line.startsWith("warn"))).toEqual([]);
  });

  test("that cannot be read is replaced by the first mirror that can, with a warning", async () => {
    await using registry = await registryWith("other");
    registry.rules.push({ path: /denied/, fault: { kind: "status", status: 403 } });
    using dir = tempDir();
    const at = (name: string) => `${registry.host}/${name}`;
    const runToml = [{ image: at("denied"), mirrors: [at("gone"), "not a reference!", at("other")] }];
    const text = runOf(at("gone"), 'target = { os = "linux", arch = "amd64", id = "old", distro = { name = "old" } }');
    const { images, lines } = await open(dir, text, { runToml });
    expect(runTableOf(await images.resolve())).toEqual({
      reference: `${at("other")}@${otherImage.digest}`,
      image: at("other"),
      target: { id: "other", os: "linux", arch: "amd64" },
    });
    const order = registry.requests.map(({ path }) => path.split("/")[2]);
    expect([...new Set(order)]).toEqual(["gone", "denied", "other"]);
    const [warning = ""] = lines.filter((line) => line.startsWith("warn"));
    for (const part of ["/gone", "404", "/denied", "403", "/other"]) expect(warning).toContain(part);
  });

  test("whose mirror has the same digest keeps its target", async () => {
    await using registry = await registryWith("run");
    using dir = tempDir();
    const [name, mirror] = [`${registry.host}/gone`, `${registry.host}/run`];
    const text = `[run-image]\nimage = "${name}"\nreference = "${name}@${runImage.digest}"\ntarget = { os = "kept" }\n`;
    const { images } = await open(dir, text, { runToml: [{ image: name, mirrors: [mirror] }] });
    expect(runTableOf(await images.resolve())).toEqual({
      image: mirror,
      reference: `${mirror}@${runImage.digest}`,
      target: { os: "kept" },
    });
    expect(registry.count(/blobs/)).toBe(0);
  });

  test("that cannot be read under any name fails the run, with each name and its cause", async () => {
    await using registry = await registryWith();
    registry.rules.push({ path: /denied/, fault: { kind: "status", status: 403 } });
    using dir = tempDir();
    const at = (name: string) => `${registry.host}/${name}`;
    const { images } = await open(dir, runOf(at("gone")), {
      runToml: [{ image: at("gone"), mirrors: ["not a name!", at("denied")] }],
    });
    const error = await rejection(images.resolve());
    expect(error).toBeInstanceOf(RestorerError);
    expect(error).toMatchObject({ exitCode: ExitCode.failed });
    expect(error.message).toMatch(/\/gone.*404[\s\S]*\/denied.*403[\s\S]*"not a name!": invalid image reference/);
  });

  test("that is gone fails the run with the registry's diagnosis", async () => {
    await using registry = await registryWith();
    using dir = tempDir();
    for (const setup of [{ hasExtensions: true }, { runToml: [{ image: `${registry.host}/gone`, mirrors: [] }] }]) {
      const { images } = await open(dir, runOf(`${registry.host}/gone`), setup);
      const error = await rejection(images.resolve());
      expect(error).toMatchObject({ exitCode: ExitCode.failed, hint: expect.stringContaining("Check the name") });
      expect(error.message).toContain("404");
    }
  });

  test("is left when the run is asked to stop, mirrors or not", async () => {
    await using registry = await registryWith();
    registry.rules.push({ path: /run/, fault: { kind: "stall" } });
    using dir = tempDir();
    const name = `${registry.host}/run`;
    for (const setup of [{ hasExtensions: true }, { runToml: [{ image: name, mirrors: [`${registry.host}/m`] }] }]) {
      const aborter = new AbortController();
      const reason = new Error("stop");
      const { images } = await open(dir, runOf(name), setup, aborter.signal);
      const failed = rejection(images.resolve());
      while (registry.requests.length === 0) await Bun.sleep(1);
      aborter.abort(reason);
      expect(await failed).toBe(reason);
      registry.requests.length = 0;
    }
  });
});

group("the build image", () => {
  test("is saved and recorded by digest, also without an analyzed.toml", async () => {
    await using registry = await registryWith("build");
    using dir = tempDir();
    const { images } = await open(dir, undefined, { inputs: { buildImage: `${registry.host}/build` } });
    const reference = `${registry.host}/build@${runImage.digest}`;
    expect(await images.resolve()).toEqual({ "build-image": { reference } });
    expect(existsSync(dir.join("kaniko", "cache", "base", runImage.digest, "oci-layout"))).toBeTrue();
  });

  test("that is recorded already changes nothing", async () => {
    await using registry = await registryWith("build");
    using dir = tempDir();
    const text = `[build-image]\nreference = "${registry.host}/build@${runImage.digest}"\n`;
    const { images } = await open(dir, text, { inputs: { buildImage: `${registry.host}/build` } });
    expect(await images.resolve()).toBeUndefined();
  });

  test("that is gone fails the run, names the image, and leaves no trace", async () => {
    await using registry = await registryWith();
    using dir = tempDir();
    const { images } = await open(dir, "", { inputs: { buildImage: `${registry.host}/gone` } });
    const error = await rejection(images.resolve());
    expect(error).toMatchObject({
      exitCode: ExitCode.failed,
      message: expect.stringContaining(`${registry.host}/gone`),
    });
    expect(existsSync(dir.join("kaniko"))).toBeFalse();
  });
});

group("an app image in place of analyzed.toml", () => {
  const label = "io.buildpacks.lifecycle.metadata";
  const read = async (metadata: string | undefined, rules: FaultRegistry["rules"] = []) => {
    await using registry = await startFaultRegistry({ rules });
    registry.push("app", "latest", testImage({ labels: metadata === undefined ? {} : { [label]: metadata } }));
    using dir = tempDir();
    const { images, lines } = await open(dir, undefined, { inputs: { appImage: `${registry.host}/app` } });
    return { found: await images.appMetadata(), lines: lines.filter((line) => !line.startsWith("debug")) };
  };

  test("gives the layer metadata of its label", async () => {
    const layers = { constructor: { sha: "sha256:1", launch: true, data: { n: 1 } } };
    const { found, lines } = await read(JSON.stringify({ buildpacks: [{ key: "a/b", version: "1", layers }] }));
    expect(found?.buildpacks[0]?.layers.get("constructor")).toMatchObject({ sha: "sha256:1", metadata: { n: 1n } });
    expect(lines).toEqual([]);
  });

  test("costs nothing but reuse when it is absent, unreadable, or without usable metadata", async () => {
    const status = (code: number) => [{ path: /manifests/, fault: { kind: "status", status: code } as const }];
    const cases: [metadata: string | undefined, rules: FaultRegistry["rules"], line: RegExp][] = [
      ["{}", status(404), /^info: .*not found/],
      ["{}", status(403), /^warn: .*403/],
      ["{}", [{ path: /blobs/, fault: { kind: "corrupt" } }], /^warn: .*digest/],
      [undefined, [], /^warn: .*no label/],
      ["{", [], /^warn: .*label/],
      ['{"buildpacks": 3}', [], /^warn: .*buildpacks/],
    ];
    for (const [metadata, rules, line] of cases) {
      const { found, lines } = await read(metadata, rules);
      expect(found).toEqual({ buildpacks: [], sbom: "" });
      expect(lines).toHaveLength(1);
      expect(lines[0]).toMatch(line);
    }
  });
});
