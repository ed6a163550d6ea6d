/**
 * Why a layer ends as it does: a stable code beside the sentence, for the report and everything that looks at it (D26).
 * A code keeps its name and meaning; new ones may come. Listed in the order in which they are decided.
 */
export const outcomeCodes = {
  "not-launch": "launch=false in the app image, so its metadata is not for the next build",
  "build-layer": "build=true and cache=false in the app image: the buildpack makes it anew",
  "not-cached": "cache=true in the app image, but not in the cache: its contents would be missing",
  "cache-unused": "cache=true in the app image, but no cache was given, or none that can be used: nobody looked",
  "cache-false": "cache=false in the cache, and the app image does not have it",
  "only-in-cache": "launch=true in the cache, but not in the app image (before Platform API 0.14)",
  "exec-env": "made for other execution environments than this build's (D15)",
  "unsafe-name": "its name cannot be the name of a file, or would be taken for something else (D11)",
  "reserved-name": "its name is the place of something else, such as store.toml (D11)",
  "launch-layer": "metadata only: the contents of a launch layer stay in the app image",
  "no-digest": "there is no digest to find its contents by",
  "bad-digest": "what is recorded as the digest of its contents is not one",
  stale: "the cache holds other contents than those of the metadata: wrong sha",
  cached: "contents and metadata are restored",
  "same-place": "another layer of this build has the same place",
  "not-asked-for": "-only names other layers: what stands of it is left as it is",
  "blob-unavailable":
    "the cache cannot open its blob: it is missing, may not be read, or the registry does not give it",
  "blob-unusable": "its blob is of another size, cut off or corrupt, or holds what a layer may not hold (D4, D11)",
  "bad-metadata":
    "what is recorded of it is not of the right kind, cannot be written as TOML, or is far too much (D24)",
  "place-taken": "something stands in its place that cannot be replaced, such as a mount point",
} as const;

export type OutcomeCode = keyof typeof outcomeCodes;

/** Why, for programs and for people. */
export interface Reason {
  readonly code: OutcomeCode;
  /** A clause that follows "Not restoring <layer>: ". */
  readonly reason: string;
}
