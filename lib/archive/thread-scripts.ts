/**
 * Where the code of the threads lies. Compiled, a module's own address says nothing: bundling moves it to the root of the
 * executable's file system, where only entry points (see build/compile.ts) keep their paths.
 */
const compiledRoot = "file:///$bunfs/root/";
const here = import.meta.url.startsWith(compiledRoot) ? `${compiledRoot}lib/archive/` : import.meta.url;

/** The script of each kind of thread. */
interface ThreadScripts {
  readonly blob: URL;
  readonly layer: URL;
  readonly small: URL;
}

/** As the program uses them. */
export const threadScripts: ThreadScripts = {
  blob: new URL("blob-thread.ts", here),
  layer: new URL("layer-thread.ts", here),
  small: new URL("small-thread.ts", here),
};
