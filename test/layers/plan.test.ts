import { describe, expect, test } from "bun:test";
import { escapeId, type LayerPlan, type Plan, type PlanInputs, planLayers } from "../../lib/layers/plan.ts";
import { isDigest } from "../../lib/oci/reference.ts";
import type { BuildpackMetadata, ImageMetadata, LayerMetadata } from "../../lib/toml/metadata.ts";
import type { TomlValue } from "../../lib/toml/values.ts";

const shaA = `sha256:${"a".repeat(64)}`;
const shaB = `sha256:${"b".repeat(64)}`;

type Types = Pick<LayerMetadata, "launch" | "build" | "cache">;

function layer(types: Partial<Types>, sha = shaA, metadata: TomlValue = { from: "nowhere" }): LayerMetadata {
  return { launch: false, build: false, cache: false, ...types, sha, metadata };
}

function buildpack(id: string, layers: Readonly<Record<string, LayerMetadata>>): BuildpackMetadata {
  return { id, layers: new Map(Object.entries(layers)), store: undefined };
}

function image(...buildpacks: readonly BuildpackMetadata[]): ImageMetadata {
  return { buildpacks, sbom: "" };
}

function plan(inputs: Partial<PlanInputs>): Plan {
  return planLayers({
    platformApi: 15,
    execEnv: "production",
    skipLayers: false,
    buildpacks: [{ id: "bp", api: 12 }],
    app: image(),
    cache: image(),
    standing: () => new Set(),
    ...inputs,
  });
}

/** What is planned, in short: `bp:layer` and the action. */
function actions({ layers }: Plan): string[] {
  return layers.map(({ buildpack, layer, action }) => `${buildpack}:${layer} ${action}`);
}

describe("every combination of types, digests and Platform API", () => {
  interface Case {
    readonly app: LayerMetadata | undefined;
    readonly cached: LayerMetadata | undefined;
    readonly standing: boolean;
    readonly platformApi: number;
  }

  const everyType = [...Array(8).keys()].map((bits) => ({
    launch: (bits & 4) !== 0,
    build: (bits & 2) !== 0,
    cache: (bits & 1) !== 0,
  }));
  const everyApp = [undefined, ...everyType.map((types) => layer(types, shaA, { from: "app" }))];
  const everyCached = [
    undefined,
    ...everyType.flatMap((types) => [shaA, shaB].map((sha) => layer(types, sha, { from: "cache" }))),
  ];

  /** The contract's prose (section 3), word by word. `trace`: what is there of the layer in the end. */
  function oracle({ app, cached, standing, platformApi }: Case): string {
    let chosen: { sha: string; from: string } | undefined;

    // App pass, each app layer.
    if (app !== undefined) {
      if (!app.launch) {
        // launch=false: nothing
      } else if (app.build && !app.cache) {
        // build && !cache: nothing
      } else if (app.cache && cached?.cache !== true) {
        // cache, but not cache=true in cached: nothing
      } else chosen = { sha: app.sha, from: "app image" };
    }

    // Cache pass, each cached layer.
    if (cached !== undefined) {
      if (!cached.cache) {
        // cache=false: nothing
      } else if (cached.launch && (app !== undefined || platformApi < 14)) {
        // launch=true and (present in app, or Platform API < 0.14): nothing more
      } else chosen = { sha: cached.sha, from: "cache" };
    }

    // Data pass, each layer present in the layers directory or chosen above whose cached entry has cache=true.
    if ((standing || chosen !== undefined) && cached?.cache === true) {
      if (chosen === undefined || chosen.sha !== cached.sha) return "removed, wrong sha";
      return `contents and metadata from ${chosen.from}`;
    }
    return chosen === undefined ? "nothing" : `metadata from ${chosen.from}`;
  }

  /** The same of a plan, with its metadata looked at where it says it comes from. */
  function outcome({ action, source, reason, sha, metadata }: LayerPlan, { cached }: Case): string {
    const from = source === undefined ? undefined : { "app image": "app", cache: "cache" }[source];
    const origin = JSON.stringify(metadata) === JSON.stringify({ from }) ? source : `what is not the ${source}'s`;
    switch (action) {
      case "restore":
        return sha === cached?.sha ? `contents and metadata from ${origin}` : `contents of digest ${sha}`;
      case "metadata":
        return `metadata from ${origin}`;
      case "remove":
        return reason.startsWith("wrong sha") ? "removed, wrong sha" : `removed, ${reason}`;
      case "skip":
        return reason === "" ? "nothing, and no reason for it" : "nothing";
      case "refuse":
        return `refused, ${reason}`;
    }
  }

  for (const platformApi of [7, 13, 14, 15]) {
    test(`at Platform API 0.${platformApi} each of them has the outcome that the contract's prose gives it`, () => {
      const wrong: string[] = [];
      const outcomes = new Set<string>();
      for (const app of everyApp) {
        for (const cached of everyCached) {
          for (const standing of [false, true]) {
            if (app === undefined && cached === undefined) continue;
            const combination = { app, cached, standing, platformApi };
            const planned = plan({
              platformApi,
              app: image(buildpack("bp", app === undefined ? {} : { x: app })),
              cache: image(buildpack("bp", cached === undefined ? {} : { x: cached })),
              standing: () => new Set(standing ? ["x"] : []),
            });
            const [only, ...others] = planned.layers;
            const is = only === undefined || others.length > 0 ? "not one layer" : outcome(only, combination);
            const should = oracle(combination);
            outcomes.add(should);
            if (is !== should) wrong.push(`${JSON.stringify(combination)}: is ${is}, should be ${should}`);
          }
        }
      }
      expect(wrong).toEqual([]);
      expect([...outcomes].sort()).toEqual([
        "contents and metadata from app image",
        "contents and metadata from cache",
        "metadata from app image",
        "nothing",
        "removed, wrong sha",
      ]);
    });
  }

  test("a layer that neither the app image nor the cache knows is left alone, though it stands", () => {
    expect(plan({ standing: () => new Set(["x"]) }).layers).toEqual([]);
  });
});

describe("execution environments", () => {
  const cachedFor = (metadata: TomlValue) => image(buildpack("bp", { x: layer({ cache: true }, shaA, metadata) }));

  const table: readonly [unknown, string, "restore" | "skip"][] = [
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
    const metadata = (environments === undefined ? {} : { "exec-env": environments }) as TomlValue;
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
    expect(actions(plan({ cache, standing: () => new Set(["x"]) }))).toEqual(["bp:x remove"]);
  });
});

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
    "x".repeat(241),
    "é".repeat(121),
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
    "x".repeat(240),
  ])("a layer named %j is like any other", (name) => {
    const layers = new Map([[name, layer({ cache: true })]]);
    const cache = image({ id: "bp", layers, store: undefined });
    expect(actions(plan({ cache }))).toEqual([`bp:${name} restore`]);
  });

  test.each(["", ".", "..", "sbom", "a\0b", ".restorer-0", "x".repeat(241)])(
    "a buildpack whose id is %j is refused with all its layers and its store",
    (id) => {
      const app = image({ ...buildpack(id, { y: layer({ launch: true }) }), store: { a: 1n } });
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

describe("digests", () => {
  test.each([
    "",
    "sha256:",
    `sha256:${"A".repeat(64)}`,
    `sha256:${"a".repeat(63)}`,
    `sha256:${"a".repeat(65)}`,
    `sha512:${"a".repeat(128)}`,
    "a".repeat(64),
    `sha256:../${"a".repeat(61)}`,
    `${shaA}\n`,
    "sha256:../../etc/passwd",
  ])("%j never becomes part of a path: the layer is refused", (sha) => {
    expect(isDigest(sha)).toBe(false);
    const cache = image(buildpack("bp", { x: layer({ cache: true }, sha) }));
    expect(actions(plan({ cache }))).toEqual(["bp:x refuse"]);
  });

  test("one that is not a digest matters only where contents would come back", () => {
    const app = image(buildpack("bp", { x: layer({ launch: true }, "") }));
    expect(actions(plan({ app }))).toEqual(["bp:x metadata"]);
  });
});

describe("layers that would take one another's place", () => {
  const cached = layer({ cache: true });

  const table: readonly [string[], string[]][] = [
    [
      ["x", "x.toml"],
      ["bp:x restore", "bp:x.toml refuse"],
    ],
    [
      ["x", "x.sbom.cdx.json"],
      ["bp:x restore", "bp:x.sbom.cdx.json refuse"],
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
  test.each(table)("of %p, one that is named like a file of another is refused", (names, expected) => {
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

describe("buildpacks and stores", () => {
  const cached = layer({ cache: true });

  test("a buildpack outside of the group leaves no trace", () => {
    const app = image({ ...buildpack("other", { y: layer({ launch: true }) }), store: { a: 1n } });
    const planned = plan({ app, cache: image(buildpack("other", { x: cached })) });
    expect(planned).toEqual({ layers: [], stores: [], refused: [] });
  });

  test("a buildpack that the group names twice is planned once", () => {
    const twice = { id: "bp", api: 12 };
    const app = image({ ...buildpack("bp", {}), store: { a: 1n } });
    const planned = plan({ buildpacks: [twice, twice], app, cache: image(buildpack("bp", { x: cached })) });
    expect(actions(planned)).toEqual(["bp:x restore"]);
    expect(planned.stores).toHaveLength(1);
  });

  test("of two entries for a buildpack in the cache, the first one counts", () => {
    const cache = image(buildpack("bp", { x: cached }), buildpack("bp", { y: cached }));
    expect(actions(plan({ cache }))).toEqual(["bp:x restore"]);
  });

  test("the store of each buildpack of the group comes from the app image, with skipped layers too", () => {
    const app = image(
      { ...buildpack("bp", { x: layer({ launch: true }) }), store: { a: 1n } },
      { ...buildpack("empty", {}), store: {} },
    );
    const buildpacks = [
      { id: "bp", api: 12 },
      { id: "empty", api: 12 },
      { id: "none", api: 12 },
    ];
    const cache = image({ ...buildpack("none", {}), store: { not: "this" } });
    const stores = [
      { buildpack: "bp", directory: "bp", metadata: { a: 1n } },
      { buildpack: "empty", directory: "empty", metadata: {} },
    ];
    expect(plan({ buildpacks, app, cache }).stores).toEqual(stores);
    const skipping = plan({ buildpacks, app, cache, skipLayers: true, standing: () => new Set(["x"]) });
    expect(skipping).toEqual({ layers: [], stores, refused: [] });
  });

  test("the layers that stand are asked for by directory", () => {
    const asked: string[] = [];
    plan({
      buildpacks: [{ id: "a/b", api: 12 }],
      standing: (directory) => {
        asked.push(directory);
        return new Set();
      },
    });
    expect(asked).toEqual(["a_b"]);
  });
});
