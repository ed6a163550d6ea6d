import { describe, expect, test } from "bun:test";
import type { LayerPlan, MetadataPlan, RestorePlan } from "../../lib/layers/layer-plan.ts";
import { isDigest } from "../../lib/oci/digest.ts";
import { knownData } from "../../lib/toml/layer-data.ts";
import type { LayerMetadata } from "../../lib/toml/metadata.ts";
import { actions, buildpack, image, layer, plan, shaA, shaB } from "./plan-fixture.ts";

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
    let chosen: { sha: string | undefined; from: string } | undefined;

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
  function outcome(planned: LayerPlan, { cached }: Case): string {
    switch (planned.action) {
      case "restore":
        if (planned.sha !== cached?.sha) return `contents of digest ${planned.sha}`;
        return `contents and metadata from ${origin(planned)}`;
      case "metadata":
        return `metadata from ${origin(planned)}`;
      case "remove":
        return planned.reason.startsWith("wrong sha") ? "removed, wrong sha" : `removed, ${planned.reason}`;
      case "skip":
        return planned.reason === "" ? "nothing, and no reason for it" : "nothing";
      case "refuse":
        return `refused, ${planned.reason}`;
    }
  }

  function origin({ source, data }: RestorePlan | MetadataPlan): string {
    const from = { "app image": "app", cache: "cache" }[source];
    return JSON.stringify(data.read()) === JSON.stringify({ from }) ? source : `what is not the ${source}'s`;
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
              layersOnDisk: () => new Set(standing ? ["x"] : []),
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
    expect(plan({ layersOnDisk: () => new Set(["x"]) }).layers).toEqual([]);
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

describe("buildpacks and stores", () => {
  const cached = layer({ cache: true });

  test("a buildpack outside of the group leaves no trace", () => {
    const app = image({ ...buildpack("other", { y: layer({ launch: true }) }), store: knownData({ a: 1n }) });
    const planned = plan({ app, cache: image(buildpack("other", { x: cached })) });
    expect(planned).toMatchObject({ layers: [], stores: [], refused: [] });
  });

  test("a buildpack that the group names twice is planned once", () => {
    const twice = { id: "bp", api: 12 };
    const app = image({ ...buildpack("bp", {}), store: knownData({ a: 1n }) });
    const planned = plan({ buildpacks: [twice, twice], app, cache: image(buildpack("bp", { x: cached })) });
    expect(actions(planned)).toEqual(["bp:x restore"]);
    expect(planned.stores).toHaveLength(1);
  });

  test("of two entries for a buildpack in the cache, the first one counts", () => {
    const cache = image(buildpack("bp", { x: cached }), buildpack("bp", { y: cached }));
    expect(actions(plan({ cache }))).toEqual(["bp:x restore"]);
  });

  test("the store of each buildpack of the group comes from the app image, with skipped layers too", () => {
    const [a, empty] = [knownData({ a: 1n }), knownData({})];
    const app = image(
      { ...buildpack("bp", { x: layer({ launch: true }) }), store: a },
      { ...buildpack("empty", {}), store: empty },
    );
    const buildpacks = [
      { id: "bp", api: 12 },
      { id: "empty", api: 12 },
      { id: "none", api: 12 },
    ];
    const cache = image({ ...buildpack("none", {}), store: knownData({ not: "this" }) });
    const stores = [
      { buildpack: "bp", directory: "bp", data: a },
      { buildpack: "empty", directory: "empty", data: empty },
    ];
    expect(plan({ buildpacks, app, cache }).stores).toEqual(stores);
    const skipping = plan({ buildpacks, app, cache, skipLayers: true, layersOnDisk: () => new Set(["x"]) });
    expect(skipping).toMatchObject({ layers: [], stores, refused: [] });
  });

  test("buildpacks of the cache that the group lacks are named once each, with the layers that the cache has of them", () => {
    const cache = image(
      buildpack("bp", { x: cached }),
      buildpack("other", { y: cached, z: cached, gone: layer({}) }),
      buildpack("other", { more: cached }),
      buildpack("empty", {}),
    );
    const { strangers } = plan({ cache });
    expect(strangers).toEqual([
      { buildpack: "other", layers: 2 },
      { buildpack: "empty", layers: 0 },
    ]);
    expect(plan({ cache: undefined }).strangers).toEqual([]);
  });

  test("the layers that stand are asked for by directory", () => {
    const asked: string[] = [];
    plan({
      buildpacks: [{ id: "a/b", api: 12 }],
      layersOnDisk: (directory) => {
        asked.push(directory);
        return new Set();
      },
    });
    expect(asked).toEqual(["a_b"]);
  });
});
