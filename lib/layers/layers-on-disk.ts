import type { Directory } from "../disk/directory.ts";
import { cannotWrite } from "../failures.ts";
import { listLayerFiles } from "./layer-files.ts";

/**
 * Names of the layers that stand below a buildpack's directory: what is there as such, and as `<layer>.toml`
 * (Buildpack spec, layers directory). A buildpack directory that is a link or a file holds none, and so does a layers
 * directory that does not exist. Throws a RestorerError (exit 42) where it cannot be read.
 */
export function layersOnDisk(layers: Directory | undefined, buildpackDirectory: string): ReadonlySet<string> {
  const names = new Set<string>();
  lookInto(layers, buildpackDirectory, (directory) => {
    for (const { name, isDirectory } of directory.list()) {
      if (!isDirectory && name.endsWith(".toml")) names.add(name.slice(0, -".toml".length));
      else names.add(name);
    }
  });
  return names;
}

/** Names of the files that stand beside these layers and go with them, by layer. Throws as `layersOnDisk` does. */
export function layerFilesOnDisk(
  layers: Directory | undefined,
  buildpackDirectory: string,
): ReadonlyMap<string, ReadonlySet<string>> {
  return lookInto(layers, buildpackDirectory, listLayerFiles) ?? new Map<string, Set<string>>();
}

/** What `look` gives; undefined where no directory stands there. Throws as `layersOnDisk` does. */
export function lookInto<T>(
  layers: Directory | undefined,
  name: string,
  look: (directory: Directory) => T,
): T | undefined {
  if (layers === undefined) return undefined;
  let directory: Directory | undefined;
  try {
    directory = layers.openIfThere(name);
    return directory && look(directory);
  } catch (error) {
    throw cannotWrite(`${layers.path}/${name}`, error);
  } finally {
    directory?.close();
  }
}
