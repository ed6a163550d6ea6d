import { fstatSync, lstatSync, type Stats, statSync } from "node:fs";
import { basename, join } from "node:path";
import type { LayerSource } from "../archive/source.ts";
import { descriptorLimit } from "../disk/descriptors.ts";
import { FileBytes } from "../disk/file-bytes.ts";
import { isSecret, openFile } from "../disk/read-file.ts";
import type { User } from "../disk/user.ts";
import { describe, hasCode } from "../errors.ts";
import { limits } from "../limits.ts";
import { quote } from "../text.ts";
import type { ImageMetadata } from "../toml/metadata.ts";
import { readMetadata } from "../toml/metadata-json.ts";
import { describeParseError, whyNotTold } from "../toml/parse-error.ts";
import { Pauses } from "../waiting.ts";
import { type Cache, type CacheContents, CacheError, type CacheFacts, type HeldBlob } from "./cache.ts";
import { OpenedAhead } from "./opened-ahead.ts";
import { describeOtherDirectory, metadataFile, namesIn } from "./other-directory.ts";
import { recordedDigests } from "./recorded.ts";

/** A volume cache: `<dir>/committed/sha256:<hex>.tar` and a metadata file beside them (contract §4). */
export class VolumeCache implements Cache {
  readonly name: string;
  readonly #dir: string;
  readonly #signal: AbortSignal;
  /** Undefined where privileges are kept. */
  #opened: OpenedAhead | undefined;
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

  facts(): CacheFacts {
    const stat = ifThere(join(this.#committed, metadataFile));
    const created = stat === undefined ? {} : { created: stat.mtime.toISOString() };
    return { kind: "directory", reference: this.#dir, ...created };
  }

  contents(): CacheContents {
    const blobs: HeldBlob[] = [];
    const leftovers: { path: string; bytes: number }[] = [];
    const committed = basename(this.#committed);
    for (const name of namesIn(this.#committed)) {
      const diffId = /^(sha256:[0-9a-f]{64})\.tar$/.exec(name)?.[1];
      const bytes = ifThere(join(this.#committed, name))?.size ?? 0;
      if (diffId !== undefined) blobs.push({ diffId, size: bytes });
      else if (name !== metadataFile) leftovers.push({ path: `${committed}/${name}`, bytes });
    }
    // An export that ends well leaves neither.
    for (const place of ["staging", "committed-backup"].filter((name) => name !== committed)) {
      for (const name of namesIn(join(this.#dir, place))) {
        const path = `${place}/${name}`;
        leftovers.push({ path, bytes: ifThere(join(this.#dir, path))?.size ?? 0 });
      }
    }
    return { blobs, leftovers };
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
    this.#opened = new OpenedAhead(user, this.#committed);
    for (const sha of recordedDigests(metadata, buildpacks)) this.#opened.add(sha, this.#path(sha));
  }

  #path(sha: string): string {
    return join(this.#committed, `${sha}.tar`);
  }

  #openBlob(sha: string): number {
    const path = this.#path(sha);
    try {
      return openFile(path);
    } catch (error) {
      const limit = this.#opened?.hadNoRoomFor(sha) === true ? descriptorLimit() : undefined;
      const why =
        limit === undefined ? "" : `; for root to open it ahead, ${limit} open files are too few (raise \`ulimit -n\`)`;
      throw new CacheError(`cannot open cached layer ${quote(path)}: ${describe(error)}${why}`, { cause: error });
    }
  }
}

/** What stands at a path; a link counts as itself. Undefined where nothing does, or nothing can be seen. */
function ifThere(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}
