import { count } from "./text.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

/** Bounds on files, archives and metadata, in one place. No real build comes near them; what exceeds one is refused by name. */
export const limits = {
  /** Bytes of a TOML file (group.toml, analyzed.toml, run.toml). */
  tomlBytes: 16 * MiB,
  /** What a TOML file is made of: its values, tables, parts of keys, lines and escapes. */
  tomlPieces: 200_000,
  /** Bytes of a number, date or bare key in a TOML file. */
  tomlWordBytes: 1000,
  /** Values of a JSON document that is read whole: a manifest, an index, a config, an answer. */
  documentPieces: 200_000,
  /** Bytes of a cache's metadata. */
  metadataBytes: 256 * MiB,
  /** Values in it. */
  metadataPieces: 3_000_000,
  /** Bytes of what it says beside the layers' own data: names, digests, types. */
  outlineBytes: 8 * MiB,
  /** Values in that. */
  outlinePieces: 200_000,
  /** Buildpacks of a group, and of the metadata of a cache or app image. */
  buildpacks: 1000,
  /** Layers of all buildpacks. */
  layers: 10_000,
  /** Bytes of one layer's own data, or of one buildpack's store. */
  dataBytes: 4 * MiB,
  /** Values in it. */
  dataPieces: 50_000,
  /** Characters of a `<layer>.toml` or `store.toml` that is written: each table in it repeats the keys above it. */
  layerTomlLength: 8 * MiB,
  /** Of all of them together. */
  allTomlLength: 256 * MiB,
  /** Nesting of tables and arrays in TOML and JSON. */
  nesting: 200,
  /** Bytes of a PAX extended header or GNU long name. */
  tarHeaderBytes: 1 * MiB,
  /** Bytes of an entry's name, or of a link's target (Linux PATH_MAX). */
  pathBytes: 4096,
  /** Entries of one layer. */
  entries: 10_000_000,
  /** Entries of a layer before the first one that tells its prefix. */
  undecided: 4096,
  /** Directories of one layer that may be remembered at a time. */
  directories: 2_000_000,
  /** Bytes of their paths. */
  directoryBytes: 128 * MiB,
  /** Bytes of one file or layer. */
  layerBytes: 1024 * 1024 * MiB,
  /** How many times larger than its blob a decompressed layer may be, beyond `expansionFloor`; real ones reach about ten. */
  expansion: 200,
  expansionFloor: 256 * MiB,
  /** Bytes of one SBOM file. */
  sbomBytes: 64 * MiB,
  /** Of one layer, all together. */
  layerSbomBytes: 128 * MiB,
} as const;

/** Throws an Error where a file lists more of something than is allowed. */
export function refuseMore(found: number, allowed: number, noun: string): void {
  if (found > allowed) throw new Error(`lists ${count(found, noun)}, more than the ${count(allowed, noun)} allowed`);
}
