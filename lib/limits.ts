const KiB = 1024;
const MiB = 1024 * KiB;

/** Bounds on files, archives and metadata, in one place. No real build comes near them; what exceeds one is refused by name. */
export const limits = {
  /** Bytes of a TOML file (group.toml, analyzed.toml, run.toml). */
  tomlBytes: 32 * MiB,
  /** Bytes of a cache's metadata. */
  metadataBytes: 64 * MiB,
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
  sbomBytes: 512 * MiB,
} as const;
