import { expect, describe as group, test } from "bun:test";
import { cacheReferences } from "../../lib/caches/place.ts";
import { daemonImages, imagesInUse, planImages } from "../../lib/images/plan.ts";
import { otherNames } from "../../lib/images/run-image-names.ts";
import { readRunToml } from "../../lib/toml/run-toml.ts";
import { tempDir } from "../support/harness.ts";
import { inputsOf, rememberingLog } from "../support/image-fixture.ts";
import { plan, runOf, type Setup } from "../support/images-scene.ts";

group("what is planned", () => {
  const byDigest = `r/x@sha256:${"a".repeat(64)}`;
  const known = 'target = { os = "linux" }';
  const completion = (name: string, reference: boolean, target: boolean) => ({
    runImage: { action: "keep", completion: { name, reference, target } },
  });
  const cases: [what: string, analyzed: string, setup: Setup, expected: object | undefined][] = [
    ["nothing without extensions before 0.12", runOf("r/x"), { api: 11 }, undefined],
    ["what is missing from 0.12 on", runOf("r/x"), { api: 12 }, completion("r/x", true, true)],
    ["a missing digest alone", runOf("r/x", known), {}, completion("r/x", true, false)],
    ["a missing target of the very image", runOf(byDigest), {}, completion(byDigest, false, true)],
    ["nothing where digest and target are there", runOf(byDigest, known), {}, undefined],
    ["nothing where no image is named", runOf(""), {}, undefined],
    [
      "a missing target alone from a daemon",
      runOf("r/x"),
      { inputs: { daemon: true } },
      completion("r/x", false, true),
    ],
    ["nothing from a daemon but a target", runOf("r/x", known), { inputs: { daemon: true } }, undefined],
    [
      "a missing target alone from a layout",
      runOf("r/x"),
      { inputs: { layout: true } },
      completion("r/x", false, true),
    ],
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
    [
      "no saving from layouts",
      runOf("r/x", "extend = true"),
      { inputs: { layout: true } },
      completion("r/x", false, true),
    ],
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
      "the digest alone where the target is known",
      runOf("r/x", known),
      { hasExtensions: true },
      completion("r/x", true, false),
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
    ["no check before 0.14", runOf(byDigest, known), { api: 13, runToml: [{ image: "r/x", mirrors: [] }] }, undefined],
    [
      "a check of what run.toml lists",
      runOf("r/x"),
      { runToml: [{ image: "r/x", mirrors: ["m/x"] }] },
      { runImage: { action: "keep", mirrors: ["m/x"] } },
    ],
    [
      "no check of what it does not list",
      runOf(byDigest, known),
      { runToml: [{ image: "r/y", mirrors: [] }] },
      undefined,
    ],
    [
      "no check with a daemon",
      runOf("r/x", known),
      { inputs: { daemon: true }, runToml: [{ image: "r/x", mirrors: [] }] },
      undefined,
    ],
    [
      "no check with layouts",
      runOf("r/x", known),
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
    return {
      remote: imagesInUse(cacheReferences(inputs), planned),
      local: planned === undefined ? [] : daemonImages(planned),
    };
  };

  test("are those that will be contacted, and no others", () => {
    const all = { cacheImage: "c", buildImage: "b", appImage: "a" };
    const runToml = [{ image: "r/p", mirrors: ["r/x", "m/x"] }];
    expect(inUse(runOf("r/x"), { inputs: all, runToml }).remote).toEqual(["c", "b", "r/x", "r/p", "m/x"]);
    expect(inUse(runOf("r/x"), { inputs: all }).remote).toEqual(["c", "b", "r/x"]);
    const complete = runOf(`r/x@sha256:${"a".repeat(64)}`, 'target = { os = "linux" }');
    expect(inUse(complete, { inputs: all }).remote).toEqual(["c", "b"]);
    expect(inUse(undefined, { inputs: all }).remote).toEqual(["c", "b", "a"]);
    expect(inUse(runOf("r/x"), { api: 11, inputs: { cacheImage: "c", skipLayers: true } }).remote).toEqual([]);
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
