import {
  closeSync,
  constants,
  copyFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import { changeMode, ensureMode } from "../disk/modes.ts";
import { refusesLink } from "../disk/move.ts";
import { syncData } from "../disk/sync.ts";
import { writeAll } from "../disk/write.ts";
import { hasCode } from "../errors.ts";
import { toLatin1, toPath } from "../latin1.ts";
import { LayerPaths, type LayerPlace, type LayerVisitor } from "./layer-paths.ts";
import { creating, type SharedWrites } from "./shared-writes.ts";
import type { TarEntry, TarHandler } from "./tar.ts";

/** Where a layer is written, and what its file system is like. */
export interface ExtractionTarget extends LayerPlace {
  /** Directory to make and fill; its parent must be private to this process, or itself, if it is made already. */
  readonly root: string;
  readonly isMade?: boolean;
  /** Whether the file system reports what it could not write only when asked (NFS, CIFS, FUSE). */
  readonly writesBehind: boolean;
  /** Whether its parent has setgid, which every directory inherits that is made below it (D22). */
  readonly inheritsGroup: boolean;
  /** Whether what is made there has the mode that it is made with: a default ACL may take bits away. */
  readonly keepsModes: boolean;
}

/** What a layer held. */
export interface Extracted {
  readonly files: number;
  readonly entries: number;
  readonly bytes: number;
  /** Mode the root shall have in the end; until it is published it stays writable for its owner. */
  readonly rootMode: number;
  /** Absolute links into the layers directory of the build that made the cache: how many, and its path. */
  readonly dangling: { readonly count: number; readonly prefix: string };
}

/**
 * Writes the entries of one layer below a private root (contract §4); which ones, and where, is for `LayerPaths` to say.
 * Since the root is fresh, files are made with O_EXCL, and what is in the way is of an earlier entry. Requires a process
 * umask of 0, for exact modes. Throws TarErrors for entries no layer may hold, and the system's errors.
 */
export class LayerExtractor implements TarHandler, LayerVisitor {
  readonly #root: string;
  readonly #target: ExtractionTarget;
  readonly #paths: LayerPaths;
  /** Directories that were made with another mode than they shall have, and that mode. */
  readonly #unfinished = new Map<string, number>();
  #rootMode = 0o700;
  #fd = -1;
  /** The present file: its path, its mode, and its size. */
  #file = "";
  #mode = 0;
  #size = 0;
  #finalMode = -1;
  #files = 0;
  #bytes = 0;
  readonly #writes: SharedWrites | undefined;

  /** `writes` are shared with another thread, where there is one. */
  constructor(target: ExtractionTarget, writes?: SharedWrites) {
    this.#target = target;
    // What is left to do to an open file is not for somebody else.
    if (target.keepsModes && !target.writesBehind) this.#writes = writes;
    this.#root = toLatin1(target.root);
    this.#paths = new LayerPaths(target, this);
  }

  entry(entry: TarEntry): void {
    this.#size = entry.size;
    this.#paths.entry(entry);
  }

  data(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    if (this.#fd < 0) {
      if (chunk.length === this.#size && this.#isOffered(chunk)) return;
      this.#open();
    }
    this.#onFile(() => writeAll(this.#fd, chunk));
  }

  endFile(): void {
    const fd = this.#fd;
    if (fd < 0) return;
    this.#fd = -1;
    try {
      this.#onFile(() => {
        // Such file systems may find the disk full only now, and closing a file does not tell.
        if (this.#target.writesBehind) syncData(fd);
        // Writing clears setuid and setgid, so these come last.
        if (this.#finalMode >= 0) changeMode(`/proc/self/fd/${fd}`, this.#finalMode);
      });
    } finally {
      closeSync(fd);
    }
  }

  /** Does something with an open file, whose path an error about its descriptor does not know. */
  #onFile(run: () => void, name = this.#file): void {
    try {
      run();
    } catch (error) {
      throw error instanceof Error ? Object.assign(error, { path: this.#path(name) }) : error;
    }
  }

  /** Ends a complete and verified archive: gives directories their modes. Throws a TarError when it held no such layer. */
  finish(): Extracted {
    this.settle();
    this.#paths.finish();
    const setMode = this.#target.inheritsGroup ? ensureMode : changeMode;
    // Children before parents, for a parent may end up unreadable.
    for (const path of [...this.#unfinished.keys()].sort().reverse()) {
      if (path !== "") setMode(this.#path(path), this.#unfinished.get(path) ?? 0o700);
    }
    return {
      files: this.#files,
      entries: this.#paths.entries,
      bytes: this.#bytes,
      rootMode: this.#rootMode,
      dangling: this.#paths.dangling,
    };
  }

  /** Closes what is open; for an extraction that ends early, whose reason is known: what closing finds wrong adds nothing. */
  abort(): void {
    try {
      if (this.#fd >= 0) closeSync(this.#fd);
    } catch {
      // The descriptor is gone in any case.
    }
    this.#fd = -1;
    this.#writes?.abandon();
  }

  directory(path: string, mode: number, isNew: boolean): boolean {
    // Its owner must be able to fill it, and mkdir knows no setuid and setgid: what is left to do is done at the end.
    // In a layer's own place, where others may look in if `chmod` changes nothing, nobody else may write meanwhile.
    const temporary = (mode & (this.#target.isMade === true ? 0o755 : 0o777)) | 0o700;
    if (isNew && !this.#mkdir(path, temporary)) return false;
    if (path === "") this.#rootMode = mode;
    else if (!isNew || mode !== temporary || this.#target.inheritsGroup || !this.#target.keepsModes) {
      this.#unfinished.set(path, mode);
    }
    return true;
  }

  file(path: string, mode: number): void {
    this.#files += 1;
    this.#file = path;
    this.#mode = mode;
    this.#finalMode = (mode & 0o7000) !== 0 || !this.#target.keepsModes ? mode : -1;
    // One with content may be written at once, by whoever has time.
    if (this.#writes === undefined || this.#finalMode >= 0 || this.#size === 0) this.#open();
  }

  #open(): void {
    this.#settleFor(this.#file);
    const at = this.#path(this.#file);
    this.#fd = makeOver(at, () => openSync(at, creating, this.#mode & 0o777));
  }

  /** Whether the present file will be written, whole, by whoever has time. */
  #isOffered(content: Uint8Array): boolean {
    if (this.#writes === undefined) return false;
    this.#settleFor(this.#file);
    return this.#writes.offer(this.#file, `${this.#root}/${this.#file}`, this.#mode & 0o777, content);
  }

  /** Has what may stand at a path written first. */
  #settleFor(path: string): void {
    if (this.#writes?.has(path) === true) this.settle();
  }

  /** Has all files written whose content was given so far: it is gone with its chunk. Throws as writing does. */
  settle(): void {
    for (const { name, mode, bytes } of this.#writes?.settle() ?? []) this.#writeWhole(name, mode, bytes);
  }

  /** Writes a file beside the present one, over what an earlier entry made there. */
  #writeWhole(name: string, mode: number, bytes: Uint8Array): void {
    const at = this.#path(name);
    const fd = makeOver(at, () => openSync(at, creating, mode));
    try {
      this.#onFile(() => writeAll(fd, bytes), name);
    } finally {
      closeSync(fd);
    }
  }

  symlink(path: string, target: string): void {
    this.#files += 1;
    this.#settleFor(path);
    const at = this.#path(path);
    makeOver(at, () => symlinkSync(toPath(target), at));
  }

  link(path: string, target: string): boolean {
    this.#settleFor(path);
    this.#settleFor(target);
    const existing = this.#path(target);
    if (lstatSync(existing, { throwIfNoEntry: false })?.isFile() !== true) return false;
    this.#files += 1;
    const at = this.#path(path);
    makeOver(at, () => linkOrCopy(existing, at));
    return true;
  }

  #mkdir(path: string, mode: number): boolean {
    if (path === "" && this.#target.isMade === true) return true;
    this.#settleFor(path);
    try {
      mkdirSync(path === "" ? this.#target.root : this.#path(path), mode);
      return true;
    } catch (error) {
      if (!hasCode(error, "EEXIST")) throw error;
      return false;
    }
  }

  /** A path below the root for the system: a string where it is ASCII, else its bytes. */
  #path(path: string): string | Buffer {
    return toPath(`${this.#root}/${path}`);
  }
}

/** Makes a file or link at a path, over one that an earlier entry made there. */
function makeOver<T>(path: string | Buffer, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  }
  unlinkSync(path);
  return make();
}

/** Where there are no hard links, a copy: the content and mode of what it is copied from are complete by now. */
function linkOrCopy(existing: string | Buffer, path: string | Buffer): void {
  try {
    linkSync(existing, path);
  } catch (error) {
    if (!refusesLink(error)) throw error;
    copyFileSync(existing, path, constants.COPYFILE_EXCL);
    changeMode(path, lstatSync(existing).mode & 0o7777);
  }
}
