import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fdatasyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { errorCode } from "../errors.ts";
import { limits } from "../limits.ts";
import type { TarEntry, TarHandler } from "./tar.ts";
import { show, TarError } from "./tar-error.ts";

export interface ExtractionTarget {
  /** Directory to make and fill; it must not exist, and its parent must be private to this process. */
  readonly root: string;
  /** What of the archive is wanted, below its prefix: `[bp, layer]`, or `[sbom]`. */
  readonly anchor: readonly string[];
  /** The layers directory; an archive made for it needs no relocation. */
  readonly layersDir: string;
  /** For directories that have no entry of their own. */
  readonly umask: number;
  /** Whether the file system reports what it could not write only when asked (NFS, CIFS, FUSE). */
  readonly writesBehind: boolean;
}

export interface Extracted {
  readonly files: number;
  readonly entries: number;
  readonly bytes: number;
  /** Mode the root shall have in the end; until it is published it stays writable for its owner. */
  readonly rootMode: number;
  /** Absolute links into the layers directory of the build that made the cache: how many, and its path. */
  readonly dangling: { readonly count: number; readonly prefix: string };
}

const create = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/**
 * Writes the entries of one layer below a private root (contract §4). Nothing but directories is remembered: since the
 * root is fresh, files are made with O_EXCL and an entry's parent must be a directory made here, so that no link is
 * ever followed. Requires a process umask of 0, for exact modes. Throws TarErrors for entries no layer may hold, and the
 * system's errors.
 */
export class LayerExtractor implements TarHandler {
  readonly #target: ExtractionTarget;
  readonly #anchor: readonly string[];
  readonly #root: string;
  /** Of a path below the root. */
  readonly #maxLength: number;
  /** The prefixes to prefer: the layers directory of this build, then the usual one. */
  readonly #preferred: readonly (readonly string[])[];
  /** Entries seen before the prefix is known. */
  readonly #waiting: TarEntry[] = [];
  /** `/prefix/bp/layer`, once known. */
  #base: string | undefined;
  #prefix = "";
  /** Directories made, by path below the root, with the mode each shall have. The root is "". */
  readonly #directories = new Map<string, number>();
  #directoryBytes = 0;
  /** Those that were made with another mode than they shall have. */
  readonly #unfinished = new Set<string>();
  #lastParent = "";
  #fd = -1;
  #finalMode = -1;
  #files = 0;
  #entries = 0;
  #bytes = 0;
  #dangling = 0;

  constructor(target: ExtractionTarget) {
    this.#target = target;
    this.#anchor = target.anchor.map((name) => Buffer.from(name).toString("latin1"));
    this.#root = Buffer.from(target.root).toString("latin1");
    this.#maxLength = limits.pathBytes - Buffer.byteLength([target.layersDir, ...target.anchor, "\0"].join("/"));
    this.#preferred = [components(Buffer.from(target.layersDir).toString("latin1")), ["layers"]];
  }

  entry(entry: TarEntry): void {
    this.#entries += 1;
    if (this.#entries > limits.entries) throw new TarError(`it has more than ${limits.entries} entries`);
    if (this.#base === undefined) this.#decide(entry);
    else this.#place(entry);
  }

  data(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    for (let at = 0; at < chunk.length; ) at += writeSync(this.#fd, chunk, at, chunk.length - at);
  }

  endFile(): void {
    const fd = this.#fd;
    this.#fd = -1;
    try {
      // Such file systems may find the disk full only now, and closing a file does not tell.
      if (this.#target.writesBehind) fdatasyncSync(fd);
      // Writing clears setuid and setgid, so these come last.
      if (this.#finalMode >= 0) fchmodSync(fd, this.#finalMode);
    } finally {
      closeSync(fd);
    }
  }

  /** Ends a complete and verified archive: gives directories their modes. Throws a TarError when it held no such layer. */
  finish(): Extracted {
    if (this.#base === undefined) this.#settle();
    if (this.#directories.size === 0) throw new TarError(`it holds nothing below ${show(this.#anchor.join("/"))}`);
    // Children before parents, for a parent may end up unreadable.
    for (const path of [...this.#unfinished].sort().reverse()) {
      if (path !== "") chmodSync(this.#path(path), this.#directories.get(path) ?? 0o700);
    }
    return {
      files: this.#files,
      entries: this.#entries,
      bytes: this.#bytes,
      rootMode: this.#directories.get("") ?? 0o700,
      dangling: { count: this.#dangling, prefix: this.#prefix },
    };
  }

  /** Closes what is open; for an extraction that ends early. */
  abort(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  /** Waits for the entry that tells the prefix (D6); directories that may still be its parents do not. */
  #decide(entry: TarEntry): void {
    if (this.#waiting.push(entry) > limits.undecided) throw new TarError("its first entries do not lead to the layer");
    const path = components(entry.path);
    const mayBeParent =
      this.#prefixLength(path) === undefined ||
      this.#preferred.some((prefix) => isAbove(path, [...prefix, ...this.#anchor]));
    if (entry.type !== "directory" || !mayBeParent) this.#settle();
  }

  /** Chooses the first preferred prefix that a waiting entry fits, else the shortest that one has, and places them all. */
  #settle(): void {
    const paths = this.#waiting.map((entry) => components(entry.path));
    const preferred = this.#preferred.find((prefix) =>
      paths.some((path) => startsWith(path, [...prefix, ...this.#anchor])),
    );
    const others = paths.flatMap((path) => {
      const length = this.#prefixLength(path);
      return length === undefined ? [] : [path.slice(0, length)];
    });
    const prefix = preferred ?? others.sort((a, b) => a.length - b.length)[0];
    if (prefix === undefined) throw new TarError(`it holds nothing below ${show(this.#anchor.join("/"))}`);
    this.#prefix = `/${prefix.join("/")}`;
    this.#base = `/${[...prefix, ...this.#anchor].join("/")}`;
    for (const entry of this.#waiting.splice(0)) this.#place(entry);
  }

  #place(entry: TarEntry): void {
    const path = this.#below(entry.path);
    if (path === undefined) {
      if (entry.type === "directory" && this.#isParent(entry.path)) return;
      throw new TarError(`${show(entry.path)} lies outside of the layer`);
    }
    if (path === "" && entry.type !== "directory")
      throw new TarError(`${show(entry.path)} is the layer, but no directory`);
    if (entry.type === "directory") {
      this.#makeDirectory(path, entry.mode);
      return;
    }
    this.#checkLength(path);
    this.#ensureParent(path);
    this.#files += 1;
    if (entry.type === "file") this.#openFile(path, entry.mode);
    else if (entry.type === "symlink") this.#makeSymlink(path, entry.linkpath);
    else this.#makeLink(path, entry.linkpath);
  }

  /** A path of the archive as a path below the layer; undefined when it lies elsewhere. */
  #below(path: string): string | undefined {
    const base = this.#base ?? "";
    const start = path.startsWith("/") ? 0 : -1;
    const next = path.charCodeAt(base.length + start);
    if (path.startsWith(start === 0 ? base : base.slice(1)) && (next === 0x2f || Number.isNaN(next))) {
      const end = path.endsWith("/") ? path.length - 1 : path.length;
      const rest = path.slice(base.length + start + 1, Math.max(end, base.length + start + 1));
      if (!unclean.test(rest)) return rest;
    }
    const clean = `/${components(path).join("/")}`;
    if (clean === base) return "";
    return clean.startsWith(`${base}/`) ? clean.slice(base.length + 1) : undefined;
  }

  /** How many components of a path lie before the anchor in it; undefined where it has none. */
  #prefixLength(path: readonly string[]): number | undefined {
    for (let at = 0; at + this.#anchor.length <= path.length; at++) {
      if (this.#anchor.every((part, i) => path[at + i] === part)) return at;
    }
    return undefined;
  }

  #isParent(path: string): boolean {
    const clean = components(path).join("/");
    return clean === "" || `${this.#base}/`.startsWith(`/${clean}/`);
  }

  #makeDirectory(path: string, mode: number): void {
    if (this.#directories.has(path)) {
      this.#unfinished.add(path);
    } else {
      this.#checkLength(path);
      if (path !== "") this.#ensureParent(path);
      if (this.#directories.size >= limits.directories)
        throw new TarError(`it has more than ${limits.directories} directories`);
      this.#directoryBytes += path.length;
      if (this.#directoryBytes > limits.directoryBytes)
        throw new TarError(`its directories' names take more than ${limits.directoryBytes} bytes`);
      // Its owner must be able to fill it, and mkdir knows no setuid and setgid: what is left to do is done at the end.
      const temporary = path === "" ? 0o700 : (mode & 0o777) | 0o700;
      this.#mkdir(path, temporary);
      if (mode !== temporary) this.#unfinished.add(path);
    }
    this.#directories.set(path, mode);
  }

  /** Staged paths are shorter than final ones: what nobody could open by its path is refused. */
  #checkLength(path: string): void {
    if (path.length > this.#maxLength) throw new TarError(`${show(path)} makes a path that is too long`);
  }

  #mkdir(path: string, mode: number): void {
    try {
      mkdirSync(path === "" ? this.#target.root : this.#path(path), mode);
    } catch (error) {
      if (errorCode(error) !== "EEXIST") throw error;
      throw new TarError(`${show(path)} is both a directory and something else`);
    }
  }

  #ensureParent(path: string): void {
    const slash = path.lastIndexOf("/");
    const parent = slash < 0 ? "" : path.slice(0, slash);
    if (parent === this.#lastParent && this.#directories.size > 0) return;
    if (!this.#directories.has(parent)) {
      if (parent !== "") this.#ensureParent(parent);
      this.#makeDirectory(parent, 0o777 & ~this.#target.umask);
    }
    this.#lastParent = parent;
  }

  #openFile(path: string, mode: number): void {
    const special = (mode & 0o7000) !== 0;
    const at = this.#path(path);
    this.#fd = this.#create(path, () => openSync(at, create, mode & 0o777));
    this.#finalMode = special ? mode : -1;
  }

  #makeSymlink(path: string, target: string): void {
    if (target === "") throw new TarError(`${show(path)} is a symbolic link to nowhere`);
    if (this.#prefix !== this.#target.layersDir && target.startsWith(`${this.#prefix}/`)) this.#dangling += 1;
    const at = this.#path(path);
    this.#create(path, () => symlinkSync(toPath(target), at));
  }

  #makeLink(path: string, linkpath: string): void {
    const target = this.#below(linkpath);
    const problem = `${show(path)} is a hard link to ${show(linkpath)}, which is no earlier file of the layer`;
    if (target === undefined || target === "" || target === path) throw new TarError(problem);
    const slash = target.lastIndexOf("/");
    if (!this.#directories.has(slash < 0 ? "" : target.slice(0, slash))) throw new TarError(problem);
    const existing = this.#path(target);
    if (lstatSync(existing, { throwIfNoEntry: false })?.isFile() !== true) throw new TarError(problem);
    const at = this.#path(path);
    this.#create(path, () => linkSync(existing, at));
  }

  /** Makes a file or link; one of an earlier entry with the same name gives way, as in every extractor. */
  #create<T>(path: string, make: () => T): T {
    try {
      return make();
    } catch (error) {
      if (errorCode(error) !== "EEXIST") throw error;
    }
    if (this.#directories.has(path)) throw new TarError(`${show(path)} is both a directory and something else`);
    unlinkSync(this.#path(path));
    return make();
  }

  /** A path below the root for the system: a string where it is ASCII, else its bytes. */
  #path(path: string): string | Buffer {
    return toPath(`${this.#root}/${path}`);
  }
}

const unclean = /(?:^|\/)(?:\.{0,2})(?:\/|$)/;
const beyondAscii = /[\x80-\xff]/;

function toPath(latin1: string): string | Buffer {
  return beyondAscii.test(latin1) ? Buffer.from(latin1, "latin1") : latin1;
}

/** The components of a path without empty ones and `.`. Throws a TarError for `..` and for names that cannot be. */
function components(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw new TarError(`${show(path)} leads out of the layer`);
  return parts;
}

function startsWith(path: readonly string[], start: readonly string[]): boolean {
  return start.length <= path.length && start.every((part, at) => path[at] === part);
}

/** Whether a path is a true parent of another. */
function isAbove(path: readonly string[], other: readonly string[]): boolean {
  return path.length < other.length && startsWith(other, path);
}
