import type { Directory } from "../disk/directory.ts";
import { cannotWrite } from "../failures.ts";

/**
 * Names of the layers that stand below a buildpack's directory: what is there as such, and as `<layer>.toml`
 * (Buildpack spec, layers directory). A buildpack directory that is a link or a file holds none, and so does a layers
 * directory that does not exist. Throws a RestorerError (exit 42) where it cannot be read.
 */
export function layersOnDisk(layers: Directory | undefined, buildpackDirectory: string): ReadonlySet<string> {
  if (layers === undefined) return new Set();
  let directory: Directory | undefined;
  try {
    directory = layers.openIfThere(buildpackDirectory);
    const names = new Set<string>();
    for (const { name, isDirectory } of directory?.list() ?? []) {
      if (!isDirectory && name.endsWith(".toml")) names.add(name.slice(0, -".toml".length));
      else names.add(name);
    }
    return names;
  } catch (error) {
    throw cannotWrite(`${layers.path}/${buildpackDirectory}`, error);
  } finally {
    directory?.close();
  }
}
