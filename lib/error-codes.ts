/**
 * Why a run, or a command, ends: a stable code beside the sentence, for the report and `-output json`. A code keeps its
 * meaning.
 */
export const errorCodes = {
  ok: "nothing went wrong",
  failed: "any other reason",
  interrupted: "a signal asked it to stop",
  "invalid-arguments": "the command line, or a variable, is wrong",
  "platform-api-unsupported": "the Platform API is malformed, or not supported",
  "buildpack-api-unsupported": "a Buildpack API is missing, or not supported",
  "restore-failed": "layers cannot be restored",
  "layers-not-writable": "the layers directory cannot be written",
  "thread-failed": "a thread died, or was refused",
  "few-descriptors": "the process may not open as many files as a run needs",
  "cache-trouble": "trouble with the cache, and the run is strict",
  "no-cache": "there is no such cache",
  "cache-unusable": "the cache cannot be used",
  "no-such-layer": "no layer, or more than one, has that name",
  "no-such-file": "the layer has no such file",
  "no-digest": "the cache records no digest for the layer",
  "blob-unavailable": "the cache cannot open the layer's blob",
  "blob-unusable": "the layer's blob is cut off, corrupt, or not a layer",
  "layer-not-packed": "a layer cannot be packed",
  "cache-not-empty": "the directory to make a cache in holds something",
  "in-layers": "the directory to make a cache in lies in the layers directory",
  "cache-not-writable": "the cache cannot be made",
} as const;

export type ErrorCode = keyof typeof errorCodes;
