import type { Directory } from "../disk/directory.ts";
import { sbomFileOf } from "./names.ts";

/**
 * The files beside layers in a buildpack's directory that belong to them: SBOM files, and the `.sha` of old lifecycles. The
 * directory is listed again only where somebody else has changed it: for each of thousands of layers that would take longer
 * than all the rest.
 */
export class LayerFiles {
  readonly #directory: Directory;
  #byLayer: Map<string, Set<string>> | undefined;
  /** When the directory was changed last, as far as is known here. */
  #changed: bigint | undefined;

  constructor(directory: Directory) {
    this.#directory = directory;
  }

  /** The names of what may stand of a layer. */
  ofLayer(layer: string): readonly string[] {
    this.#byLayer ??= listLayerFiles(this.#directory);
    return [...(this.#byLayer.get(layer) ?? [])];
  }

  /** Takes in that a file stands there now. */
  add(name: string): void {
    if (this.#byLayer !== undefined) note(this.#byLayer, name);
  }

  /** Does something in the directory, of whose files `add` is told. */
  changing<T>(act: () => T): T {
    if (this.#directory.changed !== this.#changed) this.#byLayer = undefined;
    try {
      return act();
    } finally {
      this.#changed = this.#directory.changed;
    }
  }
}

/** The names of such files in a buildpack's directory, by layer. */
export function listLayerFiles(directory: Directory): Map<string, Set<string>> {
  const byLayer = new Map<string, Set<string>>();
  // A directory of such a name is a layer of its own.
  for (const { name, isDirectory } of directory.list()) if (!isDirectory) note(byLayer, name);
  return byLayer;
}

function note(byLayer: Map<string, Set<string>>, name: string): void {
  const layer = sbomFileOf(name)?.layer ?? (name.endsWith(".sha") ? name.slice(0, -".sha".length) : undefined);
  if (layer === undefined) return;
  const names = byLayer.get(layer) ?? new Set();
  byLayer.set(layer, names.add(name));
}
