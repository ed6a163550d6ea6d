import { join } from "node:path";
import type { Directory } from "../disk/directory.ts";
import { describe } from "../errors.ts";
import type { Buildpack } from "../toml/group.ts";
import { type LayerFile, readLayerFile } from "../toml/layer-file.ts";

/** What an exporter makes of a layer that stands in a layers directory: a stable code beside the sentence. */
export const exportCodes = {
  packed: "cache=true: the exporter writes its contents to the cache",
  "asked-for": "named by -only, whatever its types say",
  "cache-false": "cache=false in its toml: nothing of it goes to the cache",
  "no-types": "its toml has no [types], as a restore leaves it: no buildpack of this build has asked for it",
  "no-contents": "there is a toml, but no directory",
  "no-toml": "there is a directory, but no toml: an exporter takes it for no layer",
  "bad-toml": "its toml cannot be read",
  "not-asked-for": "-only names other layers",
} as const;

export type ExportCode = keyof typeof exportCodes;

/** A layer as it stands below a buildpack's directory. */
export interface StandingLayer {
  readonly buildpack: string;
  readonly version: string | undefined;
  /** Of the buildpack, below the layers directory. */
  readonly directory: string;
  readonly layer: string;
  readonly code: ExportCode;
  readonly reason: string;
  /** Whether the layer has a directory, and so contents to pack. */
  readonly hasContents: boolean;
  /** Undefined where there is none, or none that can be read. */
  readonly file: LayerFile | undefined;
}

/** Files of a buildpack's directory that are not a layer's. */
const otherFiles: ReadonlySet<string> = new Set(["store", "launch", "build"]);

/** The layers of a buildpack, by name, and what an exporter makes of each. Throws the system's errors. */
export function standingLayers(layers: Directory, { id, version }: Buildpack, directory: string): StandingLayer[] {
  const found = layers.openIfThere(directory);
  if (found === undefined) return [];
  const directories = new Set<string>();
  const tomls = new Set<string>();
  for (const { name, isDirectory } of found.list()) {
    if (isDirectory) directories.add(name);
    else if (name.endsWith(".toml")) tomls.add(name.slice(0, -".toml".length));
  }
  found.close();
  const names = [...new Set([...directories, ...tomls])].filter(
    (name) => directories.has(name) || !otherFiles.has(name),
  );
  return names.sort().map((layer): StandingLayer => {
    const subject = { buildpack: id, version, directory, layer, hasContents: directories.has(layer) };
    if (!tomls.has(layer)) return { ...subject, ...because("no-toml"), file: undefined };
    try {
      const file = readLayerFile(join(layers.path, directory, `${layer}.toml`));
      return { ...subject, ...because(codeOf(file, subject.hasContents)), file };
    } catch (error) {
      return { ...subject, code: "bad-toml", reason: describe(error), file: undefined };
    }
  });
}

function codeOf({ types }: LayerFile, hasContents: boolean): ExportCode {
  if (!hasContents) return "no-contents";
  if (types === undefined) return "no-types";
  return types.cache ? "packed" : "cache-false";
}

/** A code with its sentence. */
export function because(code: ExportCode): Pick<StandingLayer, "code" | "reason"> {
  return { code, reason: exportCodes[code] };
}

/** Whether a layer's contents go to the cache. */
export function isPacked({ code }: StandingLayer): boolean {
  return code === "packed" || code === "asked-for";
}
