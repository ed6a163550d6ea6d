import { type Bytes, type TarEntry, type TarOptions, tarOf } from "../../support/raw-tar.ts";

/** Where an attack stands: what the archive calls its layer, and what it must not reach. */
export interface Scene {
  /** `/layers/<bp>/<layer>`, the layer's place in the archive. */
  readonly at: string;
  /** `/layers/<bp>`. */
  readonly buildpack: string;
  readonly layer: string;
  /** The real layers directory. */
  readonly layersDir: string;
  /** A real directory outside of it, which holds `file` and `dir/inside`. */
  readonly canary: string;
}

/** One row: an archive, what has to come of it, and how other extractors decide. */
export interface Attack {
  readonly name: string;
  readonly archive: (scene: Scene) => Uint8Array;
  /** The restored layer in full, as `listing` shows it, or a part of the reason for which it is refused. */
  readonly outcome: readonly string[] | { readonly refused: string };
  readonly others: string;
}

type Contents = (scene: Scene) => readonly TarEntry[] | Uint8Array;

/** Entries follow the entries of the parents and the layer's own; bytes stand as they are. */
function archiveOf(contents: Contents, options: TarOptions): (scene: Scene) => Uint8Array {
  return (scene) => {
    const made = contents(scene);
    return made instanceof Uint8Array ? made : tarOf([...parents(scene), ...made], options);
  };
}

/** A row whose archive is restored; content may be entries behind those of parents and layer, or a whole archive. */
export function restores(
  name: string,
  others: string,
  contents: Contents,
  outcome: readonly string[],
  options: TarOptions = {},
): Attack {
  return { name, others, outcome: [...outcome].sort(), archive: archiveOf(contents, options) };
}

/** A row whose archive is refused, with a part of the reason. */
export function refuses(
  name: string,
  others: string,
  contents: Contents,
  reason: string,
  options: TarOptions = {},
): Attack {
  return { name, others, outcome: { refused: reason }, archive: archiveOf(contents, options) };
}

export const parents = ({ at, buildpack }: Scene): TarEntry[] => [dir("/layers"), dir(buildpack), dir(at)];
export const dir = (name: Bytes, mode = 0o755): TarEntry => ({ name, type: "directory", mode });
export const file = (name: Bytes, data: Bytes = "evil", more: Partial<TarEntry> = {}): TarEntry => ({
  name,
  data,
  ...more,
});
export const sym = (name: Bytes, linkname: Bytes): TarEntry => ({ name, type: "symlink", linkname });
export const hard = (name: Bytes, linkname: Bytes): TarEntry => ({ name, type: "link", linkname });
export const special = (name: Bytes, flag: string, data: Bytes = ""): TarEntry => ({ name, type: { flag }, data });
export const bytes = (...parts: (string | number[])[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from(part))));
export const ascii = (header: Buffer, at: number, text: string): void => {
  header.write(text, at, "latin1");
};

export const leadsOut = "leads out of the layer";
export const outside = "lies outside of the layer";
export const both = "both a directory and something else";
export const noEarlier = "which is not an earlier file of the layer";
export const noLayer = "which no layer may hold";
export const cutOff = "cut off";
export const allRefuse = "all refuse";
export const allAlike = "all alike";
