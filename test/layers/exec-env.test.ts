import { describe, expect, test } from "bun:test";
import type { TomlValue } from "../../lib/toml/values.ts";
import { actions, buildpack, image, layer, plan, shaA } from "./plan-fixture.ts";

describe("execution environments", () => {
  const cachedFor = (metadata: TomlValue) => image(buildpack("bp", { x: layer({ cache: true }, shaA, metadata) }));

  const table: readonly [TomlValue | undefined, string, "restore" | "skip"][] = [
    [["production"], "production", "restore"],
    [["test"], "production", "skip"],
    [["test"], "test", "restore"],
    [["test", "production"], "production", "restore"],
    [["*"], "anything", "restore"],
    [["test", "*"], "production", "restore"],
    [["Production"], "production", "skip"],
    [[""], "production", "skip"],
    // Not what the spec describes, and so the buildpack's own.
    [[], "production", "restore"],
    ["test", "production", "restore"],
    [["test", 1n], "production", "restore"],
    [{ test: true }, "production", "restore"],
    [undefined, "production", "restore"],
  ];
  test.each(table)("a layer made for %p is, in %s, planned to %s", (environments, execEnv, action) => {
    const metadata: TomlValue = environments === undefined ? {} : { "exec-env": environments };
    const [only] = plan({ execEnv, cache: cachedFor(metadata) }).layers;
    expect(only?.action).toBe(action);
    if (action === "skip") expect(only?.reason).toContain(JSON.stringify(execEnv));
  });

  test.each([
    { platformApi: 14, api: 12 },
    { platformApi: 15, api: 11 },
  ])("they do not matter before both APIs know them: %p", ({ platformApi, api }) => {
    const cache = cachedFor({ "exec-env": ["test"] });
    expect(actions(plan({ platformApi, buildpacks: [{ id: "bp", api }], cache }))).toEqual(["bp:x restore"]);
  });

  test("a layer of the app image alone is held to them as well", () => {
    const app = image(buildpack("bp", { x: layer({ launch: true }, shaA, { "exec-env": ["test"] }) }));
    expect(actions(plan({ app }))).toEqual(["bp:x skip"]);
    expect(actions(plan({ app, execEnv: "test" }))).toEqual(["bp:x metadata"]);
  });

  test("a standing copy of a layer made for another one goes", () => {
    const cache = cachedFor({ "exec-env": ["test"] });
    expect(actions(plan({ cache, layersOnDisk: () => new Set(["x"]) }))).toEqual(["bp:x remove"]);
  });
});
