import { describe, expect, test } from "bun:test";
import { type OutcomeCode, outcomeCodes } from "../../lib/layers/outcomes.ts";
import { knownData } from "../../lib/toml/layer-data.ts";
import type { LayerMetadata } from "../../lib/toml/metadata.ts";
import { buildpack, image, layer, plan, shaA, shaB } from "./plan-fixture.ts";

test("the codes are these: programs rely on them, so one may be added, but none renamed or taken away", () => {
  expect(Object.keys(outcomeCodes).sort()).toEqual(
    [
      ...[
        "bad-digest",
        "bad-metadata",
        "blob-unavailable",
        "blob-unusable",
        "build-layer",
        "cache-false",
        "cache-unused",
      ],
      ...["cached", "exec-env"],
      ...[
        "launch-layer",
        "no-digest",
        "not-asked-for",
        "not-cached",
        "not-launch",
        "only-in-cache",
        "place-taken",
        "reserved-name",
      ],
      ...["same-place", "stale", "unsafe-name"],
    ].sort(),
  );
});

describe("a layer's code and sentence, where", () => {
  interface Situation {
    readonly app?: LayerMetadata;
    readonly cached?: LayerMetadata;
    readonly name?: string;
    readonly onDisk?: boolean;
    readonly platformApi?: number;
    readonly isCacheUsed?: boolean;
    readonly is: readonly [action: string, code: OutcomeCode, reason: string];
  }
  const launch = (others: Partial<LayerMetadata> = {}) => ({ ...layer({ launch: true }), ...others });
  const cached = (others: Partial<LayerMetadata> = {}) => ({ ...layer({ cache: true }), ...others });

  const situations: Readonly<Record<string, Situation>> = {
    "the cache has it": { cached: cached(), is: ["restore", "cached", "cached"] },
    "it is a launch layer": { app: launch(), is: ["metadata", "launch-layer", "launch layer"] },
    "the app image has it, but not for launch": {
      app: layer({ cache: true }),
      is: ["skip", "not-launch", "launch=false in the app image"],
    },
    "the buildpack makes it anew": {
      app: launch({ build: true }),
      is: ["skip", "build-layer", "build=true and cache=false in the app image, the buildpack makes it anew"],
    },
    "the app image says cache=true and the cache does not have it": {
      app: launch({ cache: true }),
      is: ["skip", "not-cached", "cache=true in the app image, but not in the cache"],
    },
    "the app image says cache=true and the cache was not used": {
      app: launch({ cache: true }),
      isCacheUsed: false,
      is: ["skip", "cache-unused", "cache=true in the app image, but the cache was not used"],
    },
    "it is a launch layer alone, and the cache was not used": {
      app: launch(),
      isCacheUsed: false,
      is: ["metadata", "launch-layer", "launch layer"],
    },
    "only the cache has it, with cache=false": {
      cached: layer({}),
      is: ["skip", "cache-false", "cache=false in the cache"],
    },
    "only the cache has it, for launch, before Platform API 0.14": {
      cached: cached({ launch: true }),
      platformApi: 13,
      is: ["skip", "only-in-cache", "launch=true in the cache, but not in the app image"],
    },
    "it stands, is cached, and the app image does not have it for launch": {
      app: layer({}),
      cached: cached({ launch: true }),
      onDisk: true,
      is: ["remove", "not-launch", "wrong sha: launch=false in the app image"],
    },
    "the cache has other contents": {
      app: launch({ cache: true, sha: shaB }),
      cached: cached({ launch: true }),
      is: ["remove", "stale", `wrong sha: the app image has "${shaB}", the cache "${shaA}"`],
    },
    "it is made for another execution environment": {
      cached: cached({ data: knownData({ "exec-env": ["test"] }) }),
      is: ["skip", "exec-env", 'made for other execution environments than "production"'],
    },
    "its name is not a safe one": {
      cached: cached(),
      name: "../x",
      is: ["refuse", "unsafe-name", "the layer name is not a safe file name"],
    },
    "its name is the place of something else": {
      cached: cached(),
      name: "store",
      is: ["refuse", "reserved-name", 'a layer may not be named "store"'],
    },
    "there is no digest": {
      cached: cached({ sha: undefined }),
      is: ["refuse", "no-digest", "the cache names no digest for it"],
    },
    "what the cache says of it is not of the right kind": {
      cached: cached({ sha: undefined, problem: "sha: expected a string, found a number" }),
      is: [
        "refuse",
        "bad-metadata",
        "the cache's metadata of it cannot be used: sha: expected a string, found a number",
      ],
    },
    "what the cache says of it is not of the right kind, but it is a launch layer": {
      app: launch({ cache: true }),
      cached: cached({ launch: true, problem: "x" }),
      onDisk: true,
      is: ["refuse", "bad-metadata", "the cache's metadata of it cannot be used: x"],
    },
    "what the app image says of it is not of the right kind": {
      app: launch({ problem: "x" }),
      cached: cached({ launch: true }),
      is: ["refuse", "bad-metadata", "the app image's metadata of it cannot be used: x"],
    },
    "what the app image says of it is not of the right kind, but it is the cache's alone": {
      app: launch({ problem: "x" }),
      cached: cached(),
      is: ["restore", "cached", "cached"],
    },
    "its digest is not one": {
      cached: cached({ sha: "sha1:1" }),
      is: ["refuse", "bad-digest", "what is recorded as its digest is not a sha256 digest"],
    },
  };
  test.each(Object.entries(situations))("%s", (_, { app, cached: inCache, name = "x", onDisk = false, ...rest }) => {
    const { platformApi = 15, isCacheUsed = true, is } = rest;
    const [only] = plan({
      platformApi,
      app: image(buildpack("bp", app === undefined ? {} : { [name]: app })),
      cache: isCacheUsed ? image(buildpack("bp", inCache === undefined ? {} : { [name]: inCache })) : undefined,
      layersOnDisk: () => new Set(onDisk ? [name] : []),
    }).layers;
    expect([only?.action, only?.code, only?.reason]).toEqual([...is]);
  });

  test("another layer has its place", () => {
    const cache = image(buildpack("bp", { x: cached(), "x.toml": cached() }));
    const reason = "another layer of this build has the same place";
    expect(plan({ cache }).layers.at(-1)).toMatchObject({ action: "refuse", code: "same-place", reason });
  });

  test.each(["cache", "app"] as const)("what is recorded of its buildpack cannot be used: %s", (where) => {
    const odd = image({ ...buildpack("bp", {}), problem: "layers: wrong" }, buildpack("other", { x: cached() }));
    const { refused, layers, unreadable } = plan({ [where]: odd });
    const source = where === "app" ? "app image" : "cache";
    const text = `What the ${source}'s metadata says of buildpack "bp" cannot be used: layers: wrong`;
    expect([refused, layers, unreadable]).toEqual([[], [], [{ buildpack: "bp", code: "bad-metadata", text }]]);
  });

  test.each([
    ["sbom", "reserved-name"],
    ["..", "unsafe-name"],
  ] as const)("its buildpack's id is %j", (id, code) => {
    expect(plan({ buildpacks: [{ id, api: 12 }] }).refused).toMatchObject([{ buildpack: id, code }]);
  });
});

describe("what is removed with a layer that is refused:", () => {
  const removes = (name: string, sha = shaA) => {
    const cache = image(buildpack("bp", { [name]: layer({ cache: true }, sha) }));
    return plan({ cache }).layers.map((planned) => planned.action === "refuse" && planned.removes);
  };

  test.each(["", ".", "..", "../x", "a/b", "a\0b", "store", "launch", "build"])(
    "nothing of one named %j, which leads elsewhere",
    (name) => {
      expect(removes(name)).toEqual([false]);
    },
  );

  test("what stands under its own name", () => {
    expect(removes("x", "")).toEqual([true]);
    expect(removes("x", "sha1:1")).toEqual([true]);
    expect(removes("x".repeat(251))).toEqual([true]);
  });
});
