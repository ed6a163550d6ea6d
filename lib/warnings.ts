/**
 * What warnings are about: a stable code beside each sentence, for the report (D26). A code keeps its meaning; new ones may
 * come.
 */
export const warningCodes = {
  input: "a variable or flag that is not used as it is given, or is missing",
  runtime: "a variable of the runtime that was not followed, or is a danger",
  user: "another user cannot be become",
  group: "group.toml lists no buildpacks",
  analyzed: "analyzed.toml is not there, or cannot be used",
  "app-image": "layer metadata of the app image cannot be used",
  "run-image": "the run image is read elsewhere than selected, or cannot be completed",
  credentials: "a source of credentials cannot be used",
  certificates: "certificates cannot be used",
  "no-cache": "no cache is given, so none is used",
  "two-caches": "a cache image and a cache directory are given: the image is used",
  "cache-absent": "there is no cache, in a way that should be looked at",
  "cache-unusable": "a cache cannot be used",
  "other-architecture": "the cache image is for another architecture",
  "layer-refused": "a layer does not come back; its record in the report has the code of the reason",
  "buildpack-refused": "no layer of a buildpack comes back",
  "bad-metadata": "metadata of a buildpack, or an entry of nobody's, is not of the right kind",
  "store-refused": "store.toml of a buildpack does not come back",
  sbom: "SBOM files do not come back",
  "fallback-used": "contents came from a cache to fall back on",
  "dangling-links": "links into the layers directory of another build lead nowhere",
  "not-removed": "something that should go cannot be removed",
  "link-replaced": "a link stood in the place of a directory, and was removed",
  "special-file-replaced": "a fifo, socket or device stood in the place of a directory, and was removed",
  ownership: "something is not given to the user",
  "empty-cache": "a cache was made that holds no layer",
  report: "the report cannot be written",
  interrupted: "the run was asked to stop",
} as const;

export type WarningCode = keyof typeof warningCodes;

/** What a warning is about. */
export interface WarningSubject {
  readonly buildpack?: string;
  readonly layer?: string;
}

/** A warning as data. */
export interface Warning extends WarningSubject {
  readonly code: WarningCode;
  readonly text: string;
}
