import { accessSync, constants, lstatSync, type Stats, statSync } from "node:fs";
import { basename, join } from "node:path";
import type { LayerSource } from "../archive/source.ts";
import { descriptorLimit } from "../disk/descriptors.ts";
import { FileBytes } from "../disk/file-bytes.ts";
import type { User } from "../disk/permissions.ts";
import { NotAFile } from "../disk/read-file.ts";
import { describe, hasCode } from "../errors.ts";
import { limits } from "../limits.ts";
import { quote } from "../text.ts";
import { type ImageMetadata, refuseOdd } from "../toml/metadata.ts";
import { readMetadata } from "../toml/metadata-json.ts";
import { describeParseError, whyNotTold } from "../toml/parse-error.ts";
import { Pauses } from "../waiting.ts";
import { type Cache, type CacheBlob, type CacheContents, CacheError, type CacheFacts, type Leftover } from "./cache.ts";
import { Committed, committedPlaces } from "./committed.ts";
import { type BlobPlace, HeldBlobs, openBlobFile, outOfReach } from "./held-blobs.ts";
import { describeAbsent, describeFile, describeOtherDirectory, metadataFile, namesIn } from "./other-directory.ts";
import { recordedDigests } from "./recorded.ts";

/** How often a cache is looked at that is replaced meanwhile, which takes about a millisecond each. */
const maxLooks = 100;

/** A volume cache: `<dir>/committed/sha256:<hex>.tar` and a metadata file beside them (contract §4). */
export class VolumeCache implements Cache {
  readonly name: string;
  readonly kind = "directory";
  readonly reference: string;
  readonly #signal: AbortSignal;
  readonly #held = new HeldBlobs();
  /** Where its contents were when they were looked at last. */
  #committed: Committed | undefined;
  #metadata: ImageMetadata | undefined;

  constructor(dir: string, signal: AbortSignal) {
    this.reference = dir;
    this.#signal = signal;
    this.name = `cache directory ${quote(dir)}`;
  }

  async metadata(): Promise<ImageMetadata | undefined> {
    this.#metadata ??= await this.#readMetadata();
    return this.#metadata;
  }

  /** Looks again where an export was committed in the midst of it. */
  async #readMetadata(): Promise<ImageMetadata | undefined> {
    for (let looks = maxLooks; ; looks -= 1) {
      const committed = this.#look();
      const metadata = await this.#readFrom(committed);
      if (metadata !== undefined) return metadata;
      if (looks === 1 || !committed.isReplaced) return this.#withoutMetadata();
    }
  }

  #look(): Committed {
    try {
      const committed = new Committed(this.reference);
      this.#committed?.close();
      this.#committed = committed;
      return committed;
    } catch (error) {
      const isFirstBuild = hasCode(error, "ENOENT");
      const meant = isFirstBuild ? describeAbsent(this.reference) : describeFile(this.reference);
      throw new CacheError(`cannot open ${this.name}: ${describe(error)}${meant}`, { cause: error, isFirstBuild });
    }
  }

  /** Undefined where there is none. */
  async #readFrom(committed: Committed): Promise<ImageMetadata | undefined> {
    const path = join(committed.path, metadataFile);
    let file: FileBytes | undefined;
    try {
      file = new FileBytes(committed.at(metadataFile), limits.metadataBytes, committed.makers);
      const pauses = new Pauses(this.#signal);
      // The file stays open: the layers' own data is read from it when it is needed.
      const metadata = await readMetadata(file, () => pauses.pause());
      if (file.isSecret) refuseOdd(metadata);
      return metadata;
    } catch (error) {
      file?.close();
      this.#signal.throwIfAborted();
      if (hasCode(error, "ENOENT")) return undefined;
      if (file?.isSecret === true)
        throw new CacheError(`cache metadata ${quote(path)} cannot be used, and ${whyNotTold}`);
      throw new CacheError(`cannot read cache metadata ${quote(path)}: ${describeParseError(error)}`, { cause: error });
    }
  }

  /** A directory without metadata is one that no build has been exported to, or not a cache (D23). */
  #withoutMetadata(): undefined {
    const other = describeOtherDirectory(this.reference);
    if (other !== undefined) throw new CacheError(`${this.name} is not a volume cache: ${other}`);
  }

  /** One that is not there has no metadata to be read, which throws. */
  isThere(): boolean {
    return true;
  }

  facts(): CacheFacts {
    const stat = ifThere(join(this.#path, metadataFile));
    const created = stat === undefined ? {} : { created: stat.mtime.toISOString() };
    return { kind: this.kind, reference: this.reference, ...created };
  }

  contents(): CacheContents {
    const blobs: CacheBlob[] = [];
    const leftovers: Leftover[] = [];
    const committed = basename(this.#path);
    for (const name of namesIn(this.#path)) {
      const diffId = /^(sha256:[0-9a-f]{64})\.tar$/.exec(name)?.[1];
      if (diffId !== undefined) blobs.push({ diffId, ...lookAt(join(this.#path, name)) });
      else if (name !== metadataFile) leftovers.push(leftover(this.reference, `${committed}/${name}`));
    }
    // An export that ends well leaves neither.
    for (const place of ["staging", "committed-backup"].filter((name) => name !== committed)) {
      for (const name of namesIn(join(this.reference, place))) {
        leftovers.push(leftover(this.reference, `${place}/${name}`));
      }
    }
    return { blobs, leftovers };
  }

  size(sha: string): number {
    try {
      return this.#held.get(sha)?.size ?? statSync(this.#place(sha).at).size;
    } catch {
      // Opening it will tell.
      return 0;
    }
  }

  async open(sha: string): Promise<LayerSource> {
    const held = this.#held.get(sha);
    if (held !== undefined) return { kind: "file", ...held };
    const { stat: _, ...opened } = this.#openBlob(sha);
    return { kind: "file", ...opened };
  }

  /**
   * Reads the metadata and opens now what is recorded of the layers of these buildpacks, as far as descriptors reach: first
   * what user `uid:gid` could not open later. Trouble is left to `metadata` and `open` to report.
   */
  async openAhead(buildpacks: readonly { id: string }[], user: User): Promise<void> {
    for (let looks = maxLooks; looks > 0; looks -= 1) {
      const metadata = await this.metadata().catch(() => undefined);
      this.#signal.throwIfAborted();
      // What root cannot read, the user may.
      if (metadata === undefined) return;
      const shas = recordedDigests(metadata, buildpacks);
      const isOutOfReach = outOfReach(user, this.#path);
      this.#take(shas.filter((sha) => isOutOfReach(this.#place(sha))));
      if (await this.hold(shas)) return;
    }
  }

  /** Opens blobs before an exporter that commits can take them away, as far as descriptors reach. */
  async hold(shas: readonly string[]): Promise<boolean> {
    if (this.#take(shas, { canWait: true }) || this.#committed?.isReplaced !== true) return true;
    // Some went with the directory that the metadata is from.
    const metadata = await this.#readMetadata().catch(() => undefined);
    this.#signal.throwIfAborted();
    // A user may not be able to read what root has read.
    if (metadata === undefined) return true;
    this.#metadata = metadata;
    return false;
  }

  /** False where some of the blobs are not there. */
  #take(shas: readonly string[], urgency: { readonly canWait?: boolean } = {}): boolean {
    let isComplete = true;
    for (const sha of shas) {
      const place = this.#place(sha);
      this.#held.hold(sha, place, urgency);
      isComplete &&= this.#held.get(sha) !== undefined || ifThere(place.at) !== undefined;
    }
    return isComplete;
  }

  /** The directory of its contents. */
  get #path(): string {
    return this.#committed?.path ?? join(this.reference, "committed");
  }

  /** Where a blob is; one that an export reused has gone to the directory that replaced the old one, or the one after that. */
  #place(sha: string): BlobPlace {
    const name = `${sha}.tar`;
    const path = join(this.#path, name);
    const at = this.#committed?.at(name) ?? path;
    const others = committedPlaces.map((place) => join(this.reference, place, name));
    const found = [at, ...others].find((one) => ifThere(one) !== undefined) ?? at;
    return { path, at: found, ...(this.#committed && { makers: this.#committed.makers }) };
  }

  /** Looks again where an exporter that commits may have taken it away just now, and put it elsewhere. */
  #openBlob(sha: string): ReturnType<typeof openBlobFile> {
    for (let looks = maxLooks; ; looks -= 1) {
      const place = this.#place(sha);
      try {
        return openBlobFile(place);
      } catch (error) {
        const isGone = hasCode(error, "ENOENT") && this.#committed?.isReplaced === true;
        if (looks === 1 || !isGone) throw this.#notOpened(sha, place, error);
      }
    }
  }

  #notOpened(sha: string, { path }: BlobPlace, error: unknown): CacheError {
    const limit = hasCode(error, "EACCES", "EPERM") && this.#held.hadNoRoomFor(sha) ? descriptorLimit() : undefined;
    const why =
      limit === undefined ? "" : `; for root to open it ahead, ${limit} open files are too few (raise \`ulimit -n\`)`;
    return new CacheError(`cannot open cached layer ${quote(path)}: ${describe(error)}${why}`, { cause: error });
  }
}

/** What stands in the place of a blob: a restore follows a link there. */
function lookAt(path: string): Pick<CacheBlob, "size" | "problem"> {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) return notABlob(new NotAFile(stat.isDirectory()));
    accessSync(path, constants.R_OK);
    return { size: stat.size };
  } catch (error) {
    return notABlob(error);
  }
}

function notABlob(why: unknown): Pick<CacheBlob, "size" | "problem"> {
  return { size: 0, problem: { code: "blob-unavailable", text: describe(why) } };
}

function leftover(dir: string, path: string): Leftover {
  const stat = ifThere(join(dir, path));
  return { path: stat?.isDirectory() === true ? `${path}/` : path, bytes: stat?.isFile() === true ? stat.size : 0 };
}

/** What stands at a path; a link counts as itself. Undefined where nothing does, or nothing can be seen. */
function ifThere(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}
