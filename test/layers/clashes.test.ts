import { describe, expect, test } from "bun:test";
import { actions, buildpack, image, layer, plan } from "./plan-fixture.ts";

describe("layers that would take one another's place", () => {
  const cached = layer({ cache: true });

  const table: readonly [string[], string[]][] = [
    [
      ["x", "x.toml"],
      ["bp:x restore", "bp:x.toml refuse"],
    ],
    [
      ["x", "x.sbom.cdx.json"],
      ["bp:x restore", "bp:x.sbom.cdx.json restore"],
    ],
    [["x.toml"], ["bp:x.toml restore"]],
    [["x.sbom.cdx.json"], ["bp:x.sbom.cdx.json restore"]],
    [
      ["x", "x.sha"],
      ["bp:x restore", "bp:x.sha restore"],
    ],
    [
      ["x", "x.sbom"],
      ["bp:x restore", "bp:x.sbom restore"],
    ],
    [
      ["x", "xtoml", "y.toml"],
      ["bp:x restore", "bp:xtoml restore", "bp:y.toml restore"],
    ],
  ];
  test.each(table)("of %p, one that is named like the toml of another is refused", (names, expected) => {
    const cache = image(buildpack("bp", Object.fromEntries(names.map((name) => [name, cached]))));
    expect(actions(plan({ cache }))).toEqual(expected);
  });

  test("a directory x.toml is refused also where x has nothing but its toml", () => {
    const app = image(buildpack("bp", { x: layer({ launch: true }) }));
    const cache = image(buildpack("bp", { "x.toml": cached }));
    expect(actions(plan({ app, cache }))).toEqual(["bp:x metadata", "bp:x.toml refuse"]);
  });

  test("a layer x.toml without contents has another place than x", () => {
    const app = image(buildpack("bp", { x: layer({ launch: true }), "x.toml": layer({ launch: true }) }));
    expect(actions(plan({ app }))).toEqual(["bp:x metadata", "bp:x.toml metadata"]);
  });

  test("of buildpacks whose ids escape alike, the first one's layer counts", () => {
    const buildpacks = [
      { id: "a/b", api: 12 },
      { id: "a_b", api: 12 },
    ];
    const cache = image(buildpack("a_b", { x: cached, y: cached }), buildpack("a/b", { x: cached }));
    expect(actions(plan({ buildpacks, cache }))).toEqual(["a/b:x restore", "a_b:x refuse", "a_b:y restore"]);
  });

  test("layers of the same name in two buildpacks are two layers", () => {
    const buildpacks = [
      { id: "a", api: 12 },
      { id: "b", api: 12 },
    ];
    const cache = image(buildpack("a", { x: cached }), buildpack("b", { x: cached }));
    expect(actions(plan({ buildpacks, cache }))).toEqual(["a:x restore", "b:x restore"]);
  });
});
