import { analyzedToml, diffId, groupToml, metadataName } from "../support/cache-fixture.ts";
import { canaryTree } from "../support/canary.ts";
import { directory, file, link, type Tree } from "../support/harness.ts";
import { tarOf } from "../support/raw-tar.ts";

/** Who attacks, and who the restorer becomes in a hand-over. */
export const attacker = 65534;
export const user = 12345;

/** What a race goes on in: absolute paths, the same in each round but for `round`. */
export interface Ground {
  readonly round: string;
  readonly canary: string;
  readonly cache: string;
  /** A directory of OCI layouts, where the run image `host.test/run` is. */
  readonly layouts: string;
  /** `host:port` of a registry with the image `build`. */
  readonly registry: string;
}

/** Where something is swapped: a directory below the round's, and pairs of names. */
interface Swaps {
  readonly place: string;
  /** The other one is below the round's directory, or beside the first one where it begins with `./`. */
  readonly pairs: readonly (readonly [name: string, other: string])[];
  /** A directory that takes the place of the private directory that the run makes; the pairs are of names in it. */
  readonly lure?: string;
}

/** One way to attack a run. */
export interface Kind {
  readonly name: string;
  /** What stands in the round's directory before, beside what stands there always. The attacker owns all of it. */
  tree(ground: Ground): Tree;
  readonly swaps: readonly Swaps[];
  args?(ground: Ground): string[];
  /**
   * A system call whose answer comes late, in every second round and where there is strace, as on a slow machine: what the
   * run does between this call and the next is over too soon to be met often.
   */
  readonly slow?: string;
  /** A file below the round's directory that only comes of what root alone may read. */
  readonly reveals?: string;
  /** The modes of the layers directory and of the kaniko directory, 0777 by default. */
  readonly mode?: number;
}

const traps = Array.from({ length: 24 }, (_, index) => `trap${index}`);

/** Directories that hold the same names as the canary; and, aside, links to it to swap them for. */
const trapTree: Tree = Object.fromEntries(
  traps.map((name) => [
    name,
    { file: "x", closed: "x", link: link("x"), dir: { inside: "x", more: "x" }, a: "x", b: "x", c: "x" },
  ]),
);
const linksTo = (target: string, set = "links"): Tree => ({
  [set]: Object.fromEntries(traps.map((name) => [name, link(target)])),
});
const trapSwaps = (place: string, set = "links"): Swaps => ({
  place,
  pairs: traps.map((name) => [name, `${set}/${name}`] as const),
});

const stale = ".restorer-000000000000-1-1-000000000000";
/** What the first things are called that a run makes in its private directory. */
const slots = ["s1", "s2", "s3", "s4"];
/** A moment that comes once in a run takes more than one adversary, or all of them sleep while it passes. */
const severalOf = (swaps: Swaps): Swaps[] => [swaps, swaps, swaps];
/** A link into the layers directory takes turns with one out of it, and now and then with a file. */
const fileSwaps = (name: string): Swaps => ({
  place: "layers",
  pairs: [...Array.from({ length: 9 }, () => [name, "links/out"] as const), [name, "links/file"]],
});
/** The link into the layers directory leads there by long ways, so that whoever looks where it leads takes a while. */
const fileTree = (name: string, content: string, { round, canary }: Ground): Tree => {
  const longWay = (to: string) => link(`/proc/${"1/../".repeat(700)}..${round}/layers/${to}`);
  const ways = Array.from({ length: linksFollowed - 1 }, (_, index) => [`in${index}`, longWay(`in${index + 1}`)]);
  return {
    layers: { [name]: longWay("in0"), ...Object.fromEntries(ways), [`in${ways.length}`]: content },
    links: { out: link(`${canary}/closed`), file: content },
  };
};
/** Linux follows 40 in a row. */
const linksFollowed = 38;

/** A layer that root alone may read, and the metadata by which somebody else would have it. */
const secretBlob = tarOf([{ name: "/layers/example_app/dist/secret", data: "secret" }]);
const secretSha = diffId(secretBlob);
const secretMetadata = { buildpacks: [{ key: "example/app", layers: { dist: { sha: secretSha, cache: true } } }] };

const runImage = { reference: "host.test/run", image: "host.test/run" };
const analyzed = analyzedToml({ runImage });
const secretAnalyzed = analyzedToml({ runImage, buildpacks: [{ id: "example/app", store: { kept: "secret" } }] });

const staging: Kind = {
  name: "staging",
  // All beside what it takes the place of: nobody may move root's directories to another one.
  tree: ({ canary }) => ({
    layers: {
      lure: directory(Object.fromEntries(slots.map((name) => [`to-${name}`, link(`${canary}/dir`)])), 0o777),
    },
  }),
  swaps: [{ place: "layers", pairs: slots.map((name) => [name, `./to-${name}`] as const), lure: "layers/lure" }],
  slow: "mkdir",
};

export const kinds: readonly Kind[] = [
  {
    name: "sweep",
    tree: ({ canary }) => ({ layers: { [stale]: { s1: trapTree } }, ...linksTo(canary) }),
    swaps: [trapSwaps(`layers/${stale}/s1`)],
  },
  {
    name: "layer",
    tree: ({ canary }) => ({
      layers: {
        example_app: {
          ...{ dist: { traps: trapTree }, "dist.toml": "[types]\ncache = true\n" },
          ...{ gone: { traps: trapTree }, "gone.toml": "[types]\ncache = true\n" },
        },
      },
      ...linksTo(canary, "links"),
      ...linksTo(canary, "more-links"),
    }),
    swaps: [trapSwaps("layers/example_app/dist/traps"), trapSwaps("layers/example_app/gone/traps", "more-links")],
  },
  {
    name: "sbom",
    tree: ({ canary }) => ({
      layers: { sbom: { traps: trapTree, launch: { example_app: { dist: { "sbom.cdx.json": '"x"' } } } } },
      ...linksTo(canary),
      top: { sbom: link(canary) },
    }),
    swaps: [trapSwaps("layers/sbom/traps"), { place: "layers", pairs: [["sbom", "top/sbom"]] }],
  },
  {
    name: "report",
    tree: (ground) => fileTree("report.json", "{}", ground),
    swaps: severalOf(fileSwaps("report.json")),
    slow: "readlink",
    args: ({ round }) => ["-report", `${round}/layers/report.json`],
  },
  {
    name: "analyzed",
    tree: (ground) => fileTree("analyzed.toml", analyzed, ground),
    swaps: severalOf(fileSwaps("analyzed.toml")),
    slow: "readlink",
    args: ({ layouts }) => ["-layout", "-layout-dir", layouts],
  },
  {
    name: "kaniko",
    tree: ({ canary }) => ({
      kaniko: { cache: { base: {} } },
      links: { cache: link(canary), base: link(`${canary}/dir`) },
    }),
    swaps: [
      { place: "kaniko", pairs: [["cache", "links/cache"]] },
      { place: "kaniko/cache", pairs: [["base", "links/base"]] },
    ],
    args: ({ registry }) => ["-build-image", `${registry}/build`],
  },
  staging,
  // Below a setgid directory what root makes gets a group, and modes that a umask does not tell.
  { ...staging, name: "setgid", mode: 0o2777 },
  {
    name: "hand-over",
    tree: ({ canary }) => ({
      ...{ layers: { traps: trapTree }, kaniko: { traps: trapTree } },
      ...linksTo(canary, "links"),
      ...linksTo(canary, "more-links"),
    }),
    swaps: [trapSwaps("layers/traps"), trapSwaps("kaniko/traps", "more-links")],
    args: () => ["-uid", String(user), "-gid", String(user)],
    mode: 0o755,
  },
  {
    name: "blob",
    tree: ({ canary }) => ({
      own: { committed: { [metadataName]: JSON.stringify(secretMetadata), [`${secretSha}.tar`]: "x" } },
      links: { blob: link(`${canary}/blob`) },
    }),
    swaps: severalOf({ place: "own/committed", pairs: [[`${secretSha}.tar`, "links/blob"]] }),
    args: ({ round }) => ["-cache-dir", `${round}/own`],
    slow: "statx",
    reveals: "layers/example_app/dist/secret",
  },
  {
    name: "input",
    tree: ({ canary }) => ({ layers: { "analyzed.toml": "" }, links: { out: link(`${canary}/closed`) } }),
    swaps: severalOf({ place: "layers", pairs: [["analyzed.toml", "links/out"]] }),
    args: ({ layouts }) => ["-layout", "-layout-dir", layouts],
    slow: "statx",
    reveals: "layers/example_app/store.toml",
  },
];

/** What stands in every round's directory. */
export const roundTree: Tree = {
  kaniko: {},
  layers: { "group.toml": groupToml([{ id: "example/app" }], [{ id: "example/extension" }]) },
};

/** What nothing may touch: as everywhere, and its closed file is one that a run would take for analyzed.toml. */
export const raceCanary: Tree = {
  ...canaryTree,
  closed: file(secretAnalyzed, 0o600),
  blob: file(secretBlob, 0o600),
  base: directory({ kept: "x" }),
};
