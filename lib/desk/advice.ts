import type { OutcomeCode } from "../layers/outcomes.ts";

/** Which rule decides, and what a buildpack author, or whoever runs the build, can change: for each outcome. */
export const advice: Readonly<Record<OutcomeCode, { readonly rule: string; readonly change: string }>> = {
  "not-launch": {
    rule: "Of the app image, only launch layers leave metadata for the next build.",
    change: "Write cache = true into the [types] of <layer>.toml, and the layer comes back from the cache.",
  },
  "build-layer": {
    rule: "A layer that is needed at build time, but not cached, has no contents in the next build: it must be made anew.",
    change: "Write cache = true into the [types] of <layer>.toml, and its contents come back.",
  },
  "not-cached": {
    rule: "A layer that is to be cached comes back only with its contents, and the cache does not hold it.",
    change: "See that the cache of the build that exported this app image is the one that is given here.",
  },
  "cache-unused": {
    rule: "A layer that is to be cached comes back only with its contents, and no cache was used.",
    change: "Name the cache with -cache-dir or -cache-image; a cache that could not be read has a warning above.",
  },
  "cache-false": {
    rule: "What the cache records with cache = false has no contents there, and the app image does not have the layer.",
    change: "Write cache = true into the [types] of <layer>.toml.",
  },
  "only-in-cache": {
    rule: "Before Platform API 0.14, a launch layer that the app image does not have is not restored.",
    change: "Follow Platform API 0.14 or newer, or export an app image that has the layer.",
  },
  "exec-env": {
    rule: "A layer may name the execution environments that it is made for in its metadata's exec-env.",
    change: "Add the environment of CNB_EXEC_ENV to that list, or leave the list out.",
  },
  "unsafe-name": {
    rule: "A layer's name must be the name of one file or directory in its buildpack's directory.",
    change: "Give the layer another name.",
  },
  "reserved-name": {
    rule: "Some names have a place of their own in the layers directory, such as store, launch, build and sbom.",
    change: "Give the layer another name.",
  },
  "launch-layer": {
    rule: "The contents of a launch layer that is not cached stay in the app image; only its metadata comes back.",
    change:
      "If the buildpack needs its contents in the next build, write cache = true into the [types] of <layer>.toml.",
  },
  "no-digest": {
    rule: "Contents are found by the digest that is recorded for them, and none is.",
    change: "The exporter writes it: export the cache anew.",
  },
  "bad-digest": {
    rule: "Contents are found by the sha256 digest that is recorded for them.",
    change: "The exporter writes it: export the cache anew.",
  },
  stale: {
    rule: "App image and cache must have been exported by the same build: the digests of the layer are compared.",
    change: "Use the cache that was exported with this app image; a cache that two apps share does this all the time.",
  },
  cached: {
    rule: "App image and cache agree on the digest; or the cache alone counts, for only it has the layer, or has it with launch=false.",
    change: "Nothing needs to change. `restorer verify` tells whether its blob is sound.",
  },
  "same-place": {
    rule: "Two layers would take the same place below the layers directory.",
    change: "Give one of them another name; ids of buildpacks that differ only in / and _ share a directory.",
  },
  "not-asked-for": {
    rule: "With -only, the other layers are left as they are.",
    change: "Name it with -only, too.",
  },
  "blob-unavailable": {
    rule: "The cache names the layer, but does not hold its contents, or does not let them be read.",
    change: "Look with `restorer inspect`; export the cache anew, or let the user read it.",
  },
  "blob-unusable": {
    rule: "What the cache holds for the layer is not what its digest says, or not a layer.",
    change: "Look with `restorer verify`; export the cache anew.",
  },
  "bad-metadata": {
    rule: "What a buildpack wrote as the layer's metadata must fit into TOML, and into the bounds of the contract.",
    change: "Write less, or other, metadata into <layer>.toml.",
  },
  "place-taken": {
    rule: "Nothing that is mounted below the layers directory is replaced, nor where the cache lies.",
    change: "Unmount what stands in the layer's place, or have the cache elsewhere.",
  },
};
