import { expect } from "bun:test";
import {
  cacheImage,
  expectCold,
  expectLayers,
  expectNeighbour,
  expectWarm,
  expectWarning,
  healthy,
  layersOf,
  names,
  type Outcome,
  restore,
  restoreTest,
} from "../support/cache-faults.ts";
import { type TestImage, testImage, testIndex } from "../support/fault-registry.ts";

const own = process.arch === "x64" ? "amd64" : process.arch;
const other = own === "arm64" ? "amd64" : "arm64";
const linux = (architecture: string) => ({ os: "linux", architecture });

/** A cache image whose config names an architecture, "" for none. */
const imageFor = (architecture: string): TestImage =>
  cacheImage({ editConfig: (config) => ({ ...config, architecture }) });
/** An image that restores nothing: whoever takes it is cold. */
const wrong = cacheImage({ labels: {}, architecture: other });

function expectWarmWithWarning({ exitCode, stderr, after }: Outcome): void {
  expect(exitCode).toBe(0);
  expectWarning(stderr, `is for the architecture "${other}", not for this machine's, ${own}`);
  expectLayers(after, names);
}

const cases: readonly [what: string, image: TestImage, expectOutcome: (outcome: Outcome) => void][] = [
  [
    "an index's member for this machine, wherever it stands",
    testIndex([
      { image: wrong, platform: linux(other) },
      { image: imageFor(own), platform: linux(own) },
    ]),
    expectWarm,
  ],
  [
    "a member without a platform, by its config",
    testIndex([{ image: wrong }, { image: wrong, platform: linux(other) }, { image: imageFor(own) }]),
    expectWarm,
  ],
  [
    "a member of which nothing is known, before one for another machine",
    testIndex([{ image: wrong, platform: linux(other) }, { image: imageFor("") }]),
    expectWarm,
  ],
  [
    "the only member, for another machine",
    testIndex([{ image: healthy, platform: linux(other) }]),
    expectWarmWithWarning,
  ],
  ["the only member, whose config says so", testIndex([{ image: imageFor(other) }]), expectWarmWithWarning],
  [
    "a member for another machine, beside what is not an image",
    testIndex([
      { image: wrong, platform: { os: "unknown", architecture: "unknown" } },
      { image: wrong, platform: { os: "windows", architecture: own } },
      { image: imageFor(other), platform: linux(other) },
    ]),
    expectWarmWithWarning,
  ],
  ["a single manifest for this machine", imageFor(own), expectWarm],
  ["a single manifest for no machine", imageFor(""), expectWarm],
  ["a single manifest for another machine", imageFor(other), expectWarmWithWarning],
];
for (const [what, image, expectOutcome] of cases) {
  restoreTest(`taken of a cache image: ${what}`, async () => expectOutcome(await restore({ image })));
}

const spoilt: readonly [what: string, spoil: (layer: object) => unknown, words: string][] = [
  [
    "is foreign",
    (layer) => ({ ...layer, mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" }),
    "foreign",
  ],
  [
    "may not be distributed",
    (layer) => ({ ...layer, mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar" }),
    "foreign",
  ],
  [
    "has a digest of another kind",
    (layer) => ({ ...layer, digest: `sha512:${"a".repeat(128)}` }),
    "expected a sha256 digest",
  ],
  ["has no size", (layer) => ({ ...layer, size: null }), "size"],
  ["is null", () => null, "malformed"],
];
for (const [what, spoil, words] of spoilt) {
  const edit = (which: number) =>
    cacheImage({
      editManifest: (manifest) => ({
        ...manifest,
        layers: layersOf(manifest).map((layer, n) => (n === which ? spoil(layer) : layer)),
      }),
    });
  restoreTest(`a cache image's layer that ${what} costs itself`, async () => {
    expectNeighbour(await restore({ image: edit(0) }), words);
  });
}

restoreTest("a layer that nothing wants costs nothing, whatever it is", async () => {
  const foreign = { mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar", digest: "x", size: -1 };
  const image = cacheImage({
    editManifest: (manifest) => ({ ...manifest, layers: [foreign, ...layersOf(manifest), null] }),
    editConfig: (config) => {
      const { diff_ids } = config["rootfs"] as { diff_ids: string[] };
      return { ...config, rootfs: { diff_ids: ["sha512:x", ...diff_ids, 5] } };
    },
  });
  expectWarm(await restore({ image }));
});

for (const junk of ["sha512:x", "", 7, null]) {
  restoreTest(`a wanted layer whose diffID cannot be read is told so: ${JSON.stringify(junk)}`, async () => {
    const image = cacheImage({
      editConfig: (config) => {
        const { diff_ids } = config["rootfs"] as { diff_ids: string[] };
        return { ...config, rootfs: { diff_ids: [junk, ...diff_ids.slice(1)] } };
      },
    });
    expectNeighbour(
      await restore({ image }),
      /has no layer sha256:\w+; of the \d diffIDs of its config 1 cannot be read/,
    );
  });
}

restoreTest("a layer of a media type that nobody knows is what its content says", async () => {
  const image = cacheImage({
    editManifest: (manifest) => ({
      ...manifest,
      layers: layersOf(manifest).map((layer) => ({ ...layer, mediaType: "application/vnd.example.layer.v9+tar" })),
    }),
  });
  expectWarm(await restore({ image }));
});

const others: readonly [what: string, labels: Record<string, string>, words: string][] = [
  ["an app image", { "io.buildpacks.lifecycle.metadata": "{}" }, "it looks like an app image"],
  ["a builder", { "io.buildpacks.builder.metadata": "{}" }, "it looks like a builder"],
  ["a run image", { "io.buildpacks.stack.id": "x" }, "it looks like a build or run image"],
  ["something else", {}, "io.buildpacks.lifecycle.cache.metadata"],
];
for (const [what, labels, words] of others) {
  restoreTest(`an image that is ${what} is not a cache`, async () => {
    const image = cacheImage({ labels });
    expectCold(await restore({ image }), "is not a cache image: it has no label", words);
    expect((await restore({ image, args: ["-strict"] })).exitCode).toBe(42);
  });
}

restoreTest("an image of nothing at all is a first build", async () => {
  const first = await restore({ image: testImage({ layers: [] }), args: ["-strict"] });
  expect(first).toMatchObject({ exitCode: 0, stderr: "" });
});
