import type { WorkerScripts } from "./workers.ts";

/**
 * Where the scripts of the threads are: beside this file or, in the executable, at the paths by which the Makefile names
 * them. There all other code lies at the root, whatever file it comes from.
 */
const folder = import.meta.url.startsWith("file:///$bunfs/") ? "./lib/archive/" : "./";

export const threadScripts: WorkerScripts = {
  blob: new URL(`${folder}blob-thread.ts`, import.meta.url),
  layer: new URL(`${folder}layer-thread.ts`, import.meta.url),
};
