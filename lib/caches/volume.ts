import { fstatSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { LayerSource } from "../archive/source.ts";
import { descriptorLimit } from "../disk/descriptors.ts";
import { FileBytes } from "../disk/file-bytes.ts";
import { isSecret, openFile } from "../disk/read-file.ts";
import type { User } from "../disk/user.ts";
import { describe, hasCode } from "../errors.ts";
import { limits } from "../limits.ts";
import { isDigest } from "../oci/digest.ts";
import { quote } from "../text.ts";
import { buildpackMetadata, type ImageMetadata } from "../toml/metadata.ts";
import { readMetadata } from "../toml/metadata-json.ts";
import { describeParseError, whyNotTold } from "../toml/parse-error.ts";
import { Pauses } from "../waiting.ts";
import { type Cache, CacheError } from "./cache.ts";
import { OpenedAhead } from "./opened-ahead.ts";
import { describeOtherDirectory, metadataFile } from "./other-directory.ts";

/** A volume cache: `<dir>/committed/sha256:<hex>.tar` and a metadata file beside them (contract §4). */
export class VolumeCache implements Cache {
  readonly name: string;
  readonly #dir: string;
  readonly #signal: AbortSignal;
  /** Undefined where privileges are kept. */
  #opened: OpenedAhead | undefined;
  /** Digests for which there was no descriptor to open them ahead. */
  readonly #leftOut = new Set<string>();
  #committed: string;
  /** Read ahead of dropping privileges. */
  #metadata: ImageMetadata | undefined;

  constructor(dir: string, signal: AbortSignal) {
    this.#dir = dir;
    this.#signal = signal;
    this.#committed = join(dir, "committed");
    this.name = `cache directory ${quote(dir)}`;
  }

  async metadata(): Promise<ImageMetadata | undefined> {
    return this.#metadata ?? this.#readMetadata();
  }

  async #readMetadata(): Promise<ImageMetadata | undefined> {
    this.#committed = this.#findCommitted();
    const path = join(this.#committed, metadataFile);
    let file: FileBytes | undefined;
    try {
      file = new FileBytes(path, limits.metadataBytes);
      const pauses = new Pauses(this.#signal);
      // The file stays open: the layers' own data is read from it when it is needed.
      return await readMetadata(file, () => pauses.pause());
    } catch (error) {
      file?.close();
      this.#signal.throwIfAborted();
      if (hasCode(error, "ENOENT")) return this.#withoutMetadata();
      if (file?.isSecret === true) throw new CacheError(`cache metadata ${quote(path)} cannot be used; ${whyNotTold}`);
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
      const isFirstBuild = hasCode(error, "ENOENT");
      throw new CacheError(`cannot open ${this.name}: ${describe(error)}`, { cause: error, isFirstBuild });
    }
  }

  size(sha: string): number {
    try {
      return this.#opened?.get(sha)?.size ?? statSync(this.#path(sha)).size;
    } catch {
      // Opening it will tell.
      return 0;
    }
  }

  async open(sha: string): Promise<LayerSource> {
    const opened = this.#opened?.get(sha);
    if (opened !== undefined) return { kind: "file", ...opened };
    const fd = this.#openBlob(sha);
    const stat = fstatSync(fd);
    return { kind: "file", fd, size: stat.size, path: this.#path(sha), isSecret: isSecret(stat) };
  }

  /**
   * Reads the metadata and opens now, while privileges allow it, what user `uid:gid` could not open later of the layers of
   * these buildpacks, as far as descriptors reach. Trouble is left to `metadata` and `open` to report.
   */
  async openAhead(buildpacks: readonly { id: string }[], user: User): Promise<void> {
    const metadata = await this.#readMetadata().catch(() => undefined);
    this.#signal.throwIfAborted();
    // What root cannot read, the user may.
    if (metadata === undefined) return;
    this.#metadata = metadata;
    const layers = buildpacks.flatMap(({ id }) => [...(buildpackMetadata(metadata, id)?.layers.values() ?? [])]);
    const recorded = [metadata.sbom, ...layers.filter(({ cache }) => cache).map(({ sha }) => sha)];
    const shas = recorded.filter((sha) => sha !== undefined).filter(isDigest);
    const barred = !mayEnter(this.#committed, user);
    const opened = new OpenedAhead();
    this.#opened = opened;
    for (const sha of shas) {
      const stat = ifPossible(() => statSync(this.#path(sha)));
      if (stat === undefined || opened.get(sha) !== undefined || (!barred && permits(stat, user, 0o4))) continue;
      ifPossible(() => opened.add(sha, this.#path(sha), () => this.#openBlob(sha)));
      if (opened.get(sha) === undefined && opened.isFull) this.#leftOut.add(sha);
    }
  }

  #path(sha: string): string {
    return join(this.#committed, `${sha}.tar`);
  }

  #openBlob(sha: string): number {
    const path = this.#path(sha);
    try {
      return openFile(path);
    } catch (error) {
      const limit = this.#leftOut.has(sha) ? descriptorLimit() : undefined;
      const why =
        limit === undefined ? "" : `; for root to open it ahead, ${limit} open files are too few (raise \`ulimit -n\`)`;
      throw new CacheError(`cannot open cached layer ${quote(path)}: ${describe(error)}${why}`, { cause: error });
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
