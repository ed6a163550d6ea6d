import { describe, expect, test } from "bun:test";
import { escapeId } from "../../lib/layers/names.ts";
import { knownData } from "../../lib/toml/layer-data.ts";
import { actions, buildpack, image, layer, plan } from "./plan-fixture.ts";

describe("names", () => {
  const cachedAs = (name: string, id = "bp") => image(buildpack(id, { [name]: layer({ cache: true }) }));

  test.each([
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/etc",
    "a\0b",
    ".restorer-0",
    "store",
    "launch",
    "build",
    "x".repeat(251),
    "é".repeat(126),
  ])("a layer named %j is refused, wherever it comes from", (name) => {
    expect(actions(plan({ cache: cachedAs(name) }))).toEqual([`bp:${name} refuse`]);
    const app = image(buildpack("bp", { [name]: layer({ launch: true }) }));
    expect(actions(plan({ app }))).toEqual([`bp:${name} refuse`]);
  });

  test("an unsafe name of a layer that would not come back anyway is no trouble", () => {
    const cache = image(buildpack("bp", { "../x": layer({ cache: false }) }));
    expect(actions(plan({ cache }))).toEqual(["bp:../x skip"]);
  });

  test.each([
    "toString",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "a.b",
    "a b",
    "...",
    ".hidden",
    "-x",
    "a\nb",
    "a\\b",
    "ü",
    "sbom",
    "store.toml",
    "Store",
    "x".repeat(241),
    "x".repeat(250),
  ])("a layer named %j is like any other", (name) => {
    const layers = new Map([[name, layer({ cache: true })]]);
    const cache = image({ id: "bp", layers, version: undefined, store: undefined });
    expect(actions(plan({ cache }))).toEqual([`bp:${name} restore`]);
  });

  test.each(["", ".", "..", "sbom", "a\0b", ".restorer-0", "x".repeat(256)])(
    "a buildpack whose id is %j is refused with all its layers and its store",
    (id) => {
      const app = image({ ...buildpack(id, { y: layer({ launch: true }) }), store: knownData({ a: 1n }) });
      const planned = plan({ buildpacks: [{ id, api: 12 }], app, cache: cachedAs("x", id) });
      expect(planned.refused.map(({ buildpack }) => buildpack)).toEqual([id]);
      expect(planned.refused.every(({ reason }) => reason !== "")).toBe(true);
      expect(planned.layers).toEqual([]);
      expect(planned.stores).toEqual([]);
    },
  );

  test.each([
    ["a/b", "a_b"],
    ["../x", ".._x"],
    ["/", "_"],
    ["a//b/", "a__b_"],
    ["constructor", "constructor"],
    ["a.b c", "a.b c"],
  ])("a buildpack whose id is %j has the directory %j", (id, directory) => {
    expect(escapeId(id)).toBe(directory);
    const [only] = plan({ buildpacks: [{ id, api: 12 }], cache: cachedAs("x", id) }).layers;
    expect(only).toMatchObject({ buildpack: id, directory, layer: "x", action: "restore" });
  });

  test.each(["__proto__", "toString"])("a buildpack whose id is %j has only the layers recorded for it", (id) => {
    expect(plan({ buildpacks: [{ id, api: 12 }], cache: cachedAs("x") }).layers).toEqual([]);
  });
});
