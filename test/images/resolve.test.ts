import { expect, describe as group, test } from "bun:test";
import { existsSync } from "node:fs";
import { ExitCode, RestorerError } from "../../lib/failures.ts";
import { openImages } from "../../lib/images/resolve.ts";
import { formatToml } from "../../lib/toml/toml.ts";
import { eventually } from "../support/eventually.ts";
import { type FaultRegistry, startFaultRegistry, testImage, testIndex } from "../support/fault-registry.ts";
import { tempDir } from "../support/harness.ts";
import { anonymousRegistry, rejection, rememberingLog } from "../support/image-fixture.ts";
import { debian, open, otherImage, plan, registryWith, runImage, runOf, runTableOf } from "../support/images-scene.ts";

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
    const text = `[run-image]\nreference = "${name}@${runImage.digest}"\nimage = "${name}"\ntarget = { os = "linux" }`;
    const { images, lines } = await open(dir, text, { runToml: [{ image: mirror, mirrors: [name] }] });
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
      await eventually("a request", () => registry.requests[0]);
      aborter.abort(reason);
      expect(await failed).toBe(reason);
      registry.requests.length = 0;
    }
  });
});

group("a run image that no phase asks about", () => {
  test("gets its digest and target, from the manifest that is checked anyway", async () => {
    await using registry = await registryWith("run");
    using dir = tempDir();
    const name = `${registry.host}/run`;
    const complete = { reference: `${name}@${runImage.digest}`, image: name, target: debian };
    for (const setup of [{ api: 12 }, { runToml: [{ image: name, mirrors: [] }] }]) {
      registry.requests.length = 0;
      const { images, lines } = await open(dir, runOf(name), setup);
      expect(runTableOf(await images.resolve())).toEqual(complete);
      expect(registry.count(/manifests/)).toBe(1);
      expect(lines.filter((line) => line.startsWith("warn"))).toEqual([]);
    }
  });

  test("keeps the digest it has, and gets that image's target", async () => {
    await using registry = await registryWith("other");
    registry.push("run", "latest", otherImage);
    registry.push("run", "old", runImage);
    using dir = tempDir();
    const name = `${registry.host}/run`;
    const reference = `${name}@${runImage.digest}`;
    const { images } = await open(dir, `[run-image]\nreference = "${reference}"\nimage = "${name}"\n`);
    expect(runTableOf(await images.resolve())).toEqual({ reference, image: name, target: debian });
  });

  test("that is not there in time costs a warning, and is not asked for any more", async () => {
    using dir = tempDir();
    const { log, lines } = rememberingLog();
    const { inputs, planned } = plan(dir, runOf("reg.io/run"));
    if (planned === undefined) throw new Error("nothing to do");
    const asked: AbortSignal[] = [];
    const registry = await anonymousRegistry(log, new AbortController().signal);
    registry.endingWith = (signal) => {
      asked.push(signal);
      return { ...registry, image: () => new Promise(() => {}) };
    };
    const run = { inputs, env: {}, log, signal: new AbortController().signal, umask: 0o022 };
    const images = await openImages(planned, run, registry, 1);
    expect(await images.resolve()).toBeUndefined();
    expect(asked.map(({ aborted }) => aborted)).toEqual([true]);
    expect(lines).toContain(
      'warn: Not recording digest and target of run image "reg.io/run": no answer within 0.001 s',
    );
  });

  test("whose mirror has the same digest, but no config that can be read, costs a warning", async () => {
    await using registry = await registryWith("run");
    registry.rules.push({ path: /run\/blobs/, fault: { kind: "status", status: 403 } });
    using dir = tempDir();
    const [name, mirror] = [`${registry.host}/gone`, `${registry.host}/run`];
    const text = `[run-image]\nimage = "${name}"\nreference = "${name}@${runImage.digest}"\n`;
    const { images, lines } = await open(dir, text, { runToml: [{ image: name, mirrors: [mirror] }] });
    expect(runTableOf(await images.resolve())).toEqual({ image: mirror, reference: `${mirror}@${runImage.digest}` });
    expect(lines.filter((line) => line.includes("Not recording the target of run image"))).toHaveLength(1);
  });

  test("that is gone, not to be read, or no name at all costs a warning, and changes nothing", async () => {
    await using registry = await registryWith("corrupt");
    registry.rules.push({ path: /denied/, fault: { kind: "status", status: 403 } });
    registry.rules.push({ path: /corrupt\/blobs/, fault: { kind: "corrupt" } });
    using dir = tempDir();
    for (const name of ["gone", "denied", "corrupt", "NOT A NAME"]) {
      const { images, lines } = await open(dir, runOf(`${registry.host}/${name}`));
      expect(await images.resolve()).toBeUndefined();
      const warnings = lines.filter((line) => line.startsWith("warn"));
      expect(warnings).toEqual([
        expect.stringContaining(`Not recording digest and target of run image "${registry.host}`),
      ]);
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
    const layer = found?.buildpacks[0]?.layers.get("constructor");
    expect(layer?.sha).toBe("sha256:1");
    expect(layer?.data.read()).toEqual({ n: 1 });
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
      expect(found).toEqual({ buildpacks: [], sbom: undefined, problems: [] });
      expect(lines).toHaveLength(1);
      expect(lines[0]).toMatch(line);
    }
  });
});
