import { closeSync, constants, fstatSync, openSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { LayerSource } from "../archive/source.ts";
import { readWhole } from "../disk/read-file.ts";
import type { User } from "../disk/user.ts";
import { describe, errorCode } from "../errors.ts";
import { limits } from "../limits.ts";
import { isDigest } from "../oci/digest.ts";
import { quote } from "../text.ts";
import { buildpackMetadata, type ImageMetadata, parseMetadata } from "../toml/metadata.ts";
import { describeParseError } from "../toml/parse-error.ts";
import { type Cache, CacheError } from "./cache.ts";
import { describeOtherDirectory, metadataFile } from "./other-directory.ts";

/** A volume cache: `<dir>/committed/sha256:<hex>.tar` and a metadata file beside them (contract §4). */
export class VolumeCache implements Cache {
  readonly name: string;
  readonly #dir: string;
  readonly #opened = new Map<string, number>();
  #committed: string;
  /** Read ahead of dropping privileges. */
  #metadata: ImageMetadata | undefined;

  constructor(dir: string) {
    this.#dir = dir;
    this.#committed = join(dir, "committed");
    this.name = `cache directory ${quote(dir)}`;
  }

  async metadata(): Promise<ImageMetadata | undefined> {
    return this.#metadata ?? this.#readMetadata();
  }

  #readMetadata(): ImageMetadata | undefined {
    this.#committed = this.#findCommitted();
    const path = join(this.#committed, metadataFile);
    let bytes: Uint8Array;
    try {
      bytes = readWhole(path, limits.metadataBytes);
    } catch (error) {
      if (errorCode(error) === "ENOENT") return this.#withoutMetadata();
      throw new CacheError(`cannot read cache metadata ${quote(path)}: ${describe(error)}`, { cause: error });
    }
    try {
      return parseMetadata(bytes);
    } catch (error) {
      throw new CacheError(`cannot read cache metadata ${quote(path)}: ${describeParseError(error)}`, { cause: error });
    }
  }

  /** A directory without metadata is one that no build has been exported to, or not a cache (D23). */
  #withoutMetadata(): undefined {
    const other = describeOtherDirectory(this.#dir);
    if (other !== undefined) throw new CacheError(`${this.name} is not a volume cache: ${other}`);
  }

  /** The exporter replaces `committed` by two renames; after a crash between them the cache is in `committed-backup`. */
  #findCommitted(): string {
    const committed = join(this.#dir, "committed");
    const backup = join(this.#dir, "committed-backup");
    try {
      if (!statSync(this.#dir).isDirectory()) throw new Error("is not a directory");
      if (statSync(committed, { throwIfNoEntry: false }) !== undefined) return committed;
      return statSync(backup, { throwIfNoEntry: false }) === undefined ? committed : backup;
    } catch (error) {
      const isFirstBuild = errorCode(error) === "ENOENT";
      throw new CacheError(`cannot open ${this.name}: ${describe(error)}`, { cause: error, isFirstBuild });
    }
  }

  size(sha: string): number {
    try {
      const fd = this.#opened.get(sha);
      return (fd === undefined ? statSync(this.#path(sha)) : fstatSync(fd)).size;
    } catch {
      // Opening it will tell.
      return 0;
    }
  }

  async open(sha: string): Promise<LayerSource> {
    const fd = this.#opened.get(sha) ?? this.#openBlob(sha);
    this.#opened.delete(sha);
    return { kind: "file", fd, size: fstatSync(fd).size, path: this.#path(sha) };
  }

  /**
   * Reads the metadata and opens now, while privileges allow it, what user `uid:gid` could not open later of the layers of
   * these buildpacks. Trouble is left to `metadata` and `open` to report.
   */
  openAhead(buildpacks: readonly { id: string }[], user: User): void {
    const metadata = ifPossible(() => this.#readMetadata());
    // What root cannot read, the user may.
    if (metadata === undefined) return;
    this.#metadata = metadata;
    const layers = buildpacks.flatMap(({ id }) => [...(buildpackMetadata(metadata, id)?.layers.values() ?? [])]);
    const shas = [metadata.sbom, ...layers.filter(({ cache }) => cache).map(({ sha }) => sha)].filter(isDigest);
    const barred = !mayEnter(this.#committed, user);
    for (const sha of shas) {
      const stat = ifPossible(() => statSync(this.#path(sha)));
      if (stat === undefined || this.#opened.has(sha) || (!barred && permits(stat, user, 0o4))) continue;
      const fd = ifPossible(() => this.#openBlob(sha));
      if (fd !== undefined) this.#opened.set(sha, fd);
    }
  }

  #path(sha: string): string {
    return join(this.#committed, `${sha}.tar`);
  }

  #openBlob(sha: string): number {
    const path = this.#path(sha);
    let fd: number | undefined;
    try {
      fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      if (!fstatSync(fd).isFile()) throw new Error("is not a regular file");
      return fd;
    } catch (error) {
      if (fd !== undefined) closeSync(fd);
      throw new CacheError(`cannot open cached layer ${quote(path)}: ${describe(error)}`, { cause: error });
    }
  }
}

/** What an action gives, undefined where it fails: a later one will tell why. */
function ifPossible<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}

/** Whether a directory and all above it may be entered by a user, as far as mode bits tell. */
function mayEnter(directory: string, user: User): boolean {
  const stat = ifPossible(() => statSync(directory));
  if (stat === undefined || !permits(stat, user, 0o1)) return false;
  return dirname(directory) === directory || mayEnter(dirname(directory), user);
}

function permits(stat: { mode: number; uid: number; gid: number }, user: User, bit: number): boolean {
  if (user.uid === 0) return true;
  const shift = stat.uid === user.uid ? 6 : stat.gid === user.gid ? 3 : 0;
  return ((stat.mode >> shift) & bit) !== 0;
}
