import { fromLatin1, parentOf, toLatin1 } from "../latin1.ts";
import { limits } from "../limits.ts";
import { components, LayerPrefix } from "./layer-prefix.ts";
import type { TarEntry } from "./tar.ts";
import { show, showEscaped, TarError } from "./tar-error.ts";
import { typeNames } from "./tar-header.ts";

/** Which layer an archive is read for. */
export interface LayerPlace {
  /** What of the archive is wanted, below its prefix: `[bp, layer]`, or `[sbom]`. */
  readonly anchor: readonly string[];
  /** The layers directory; an archive made for it needs no relocation. */
  readonly layersDir: string;
  /** For directories that have no entry of their own. */
  readonly umask: number;
}

/**
 * What `LayerPaths` calls for each entry of the layer. Paths are below the layer, which is "" itself, and bytes in a
 * latin1 string; a parent comes before what it holds. Only the visitor knows what stands at a path beside directories.
 */
export interface LayerVisitor {
  /** A directory that is new, or a later entry that gives it another mode; false where something else has the path. */
  directory(path: string, mode: number, isNew: boolean): boolean;
  /** A file or link; one of an earlier entry with the same path gives way, as in every extractor. */
  file(path: string, mode: number): void;
  symlink(path: string, target: string): void;
  /** A hard link to the path `target`, whose parent is a directory; false where that is not an earlier file. */
  link(path: string, target: string): boolean;
}

/**
 * Decides which entries of an archive are a layer's, under which path, and whether a layer may hold them (contract §4,
 * D6, D8, D11). It remembers directories only: an entry's parent must be one that came before, so that no link is ever
 * followed. Throws TarErrors for entries that no layer may hold.
 */
export class LayerPaths {
  readonly #visitor: LayerVisitor;
  readonly #layersDir: string;
  readonly #impliedMode: number;
  readonly #anchor: readonly string[];
  readonly #prefix: LayerPrefix;
  /** Of a path below the layer. */
  readonly #maxLength: number;
  /** Entries seen before the prefix is known. */
  readonly #waiting: TarEntry[] = [];
  /** `/prefix/bp/layer`, once known. */
  #base: string | undefined;
  #relocatedFrom = "";
  readonly #directories = new Set<string>();
  #directoryBytes = 0;
  #lastParent: string | undefined;
  #entries = 0;
  #dangling = 0;

  constructor({ anchor, layersDir, umask }: LayerPlace, visitor: LayerVisitor) {
    this.#visitor = visitor;
    this.#layersDir = toLatin1(layersDir);
    this.#impliedMode = 0o777 & ~umask;
    this.#anchor = anchor.map(toLatin1);
    this.#prefix = new LayerPrefix(this.#layersDir, this.#anchor);
    this.#maxLength = limits.pathBytes - [this.#layersDir, ...this.#anchor, "\0"].join("/").length;
  }

  /** Entries seen so far, those of parents included. */
  get entries(): number {
    return this.#entries;
  }

  /** Absolute links into the layers directory of the build that made the cache: how many, and its path. */
  get dangling(): { readonly count: number; readonly prefix: string } {
    return { count: this.#dangling, prefix: this.#relocatedFrom };
  }

  /** Takes the next entry of the archive. */
  entry(entry: TarEntry): void {
    this.#entries += 1;
    if (this.#entries > limits.entries) throw new TarError(`it has more than ${limits.entries} entries`);
    if (this.#base !== undefined) {
      this.#place(entry, this.#base);
      return;
    }
    if (this.#waiting.push(entry) > limits.undecided) throw new TarError("its first entries do not lead to the layer");
    if (this.#prefix.isSettledBy(entry)) this.#settle();
  }

  /** Says that the archive is complete. Throws a TarError when it held no such layer. */
  finish(): void {
    if (this.#base === undefined) this.#settle();
    if (this.#directories.size === 0) throw this.#nothing();
  }

  /** Chooses the prefix, and places all that waited for it. */
  #settle(): void {
    const prefix = this.#prefix.choose(this.#waiting);
    if (prefix === undefined) throw this.#nothing();
    const base = `/${[...prefix, ...this.#anchor].join("/")}`;
    this.#base = base;
    this.#relocatedFrom = `/${prefix.join("/")}`;
    for (const entry of this.#waiting.splice(0)) this.#place(entry, base);
  }

  #place(entry: TarEntry, base: string): void {
    const { type, mode } = entry;
    const path = below(base, entry.path);
    if (path === undefined) {
      if (type === "directory" && isParent(entry.path, base)) return;
      throw new TarError(`${show(entry.path)} lies outside of the layer`);
    }
    if (type === "directory") {
      this.#directory(path, mode);
      return;
    }
    if (path === "") throw new TarError(`${show(entry.path)} is the layer itself, but ${typeNames[type]}`);
    this.#checkLength(path);
    this.#ensureParent(path);
    if (this.#directories.has(path)) throw bothKinds(path);
    if (type === "file") this.#visitor.file(path, mode);
    else if (type === "symlink") this.#symlink(path, entry.linkpath);
    else this.#link(path, entry.linkpath, base);
  }

  #directory(path: string, mode: number): void {
    const isNew = !this.#directories.has(path);
    if (isNew) {
      this.#checkLength(path);
      if (path !== "") this.#ensureParent(path);
      if (this.#directories.size >= limits.directories)
        throw new TarError(`it has more than ${limits.directories} directories`);
      this.#directoryBytes += path.length;
      if (this.#directoryBytes > limits.directoryBytes)
        throw new TarError(`its directories' names take more than ${limits.directoryBytes} bytes`);
    }
    if (!this.#visitor.directory(path, mode, isNew)) throw bothKinds(path);
    this.#directories.add(path);
  }

  #ensureParent(path: string): void {
    const parent = parentOf(path);
    if (parent === this.#lastParent) return;
    if (!this.#directories.has(parent)) this.#directory(parent, this.#impliedMode);
    this.#lastParent = parent;
  }

  #symlink(path: string, target: string): void {
    if (target === "") throw new TarError(`${show(path)} is a symbolic link to nowhere`);
    const prefix = this.#relocatedFrom;
    if (prefix !== this.#layersDir && target.startsWith(`${prefix}/`)) this.#dangling += 1;
    this.#visitor.symlink(path, target);
  }

  #link(path: string, linkpath: string, base: string): void {
    const target = below(base, linkpath);
    const isInside = target !== undefined && target !== "" && target !== path;
    if (isInside && this.#directories.has(parentOf(target)) && this.#visitor.link(path, target)) return;
    throw new TarError(`${show(path)} is a hard link to ${show(linkpath)}, which is not an earlier file of the layer`);
  }

  /** Staged paths are shorter than final ones: what nobody could open by its path is refused. */
  #checkLength(path: string): void {
    if (path.length > this.#maxLength) throw new TarError(`${show(path)} makes a path that is too long`);
  }

  #nothing(): TarError {
    const wanted = this.#anchor.join("/");
    const other = lookalike(this.#waiting, wanted);
    if (other === undefined) {
      const last = this.#waiting.at(-1);
      const instead = last === undefined ? "nothing at all" : show(last.path);
      return new TarError(`it holds nothing below ${show(wanted)}, but ${instead}`);
    }
    const differ = "which differ only in Unicode normalization";
    return new TarError(`it holds nothing below ${showEscaped(wanted)}, but ${showEscaped(other)}, ${differ}`);
  }
}

/** What of these entries' paths looks like `wanted`, but is spelled in another Unicode normalization; latin1 as they are. */
function lookalike(entries: readonly TarEntry[], wanted: string): string | undefined {
  const normal = (name: string) => fromLatin1(name).normalize("NFC");
  const length = wanted.split("/").length;
  for (const { path } of entries) {
    const parts = path.split("/");
    const names = parts.map((_, at) => parts.slice(at, at + length).join("/"));
    const found = names.find((name) => name !== wanted && normal(name) === normal(wanted));
    if (found !== undefined) return found;
  }
  return undefined;
}

const unclean = /(?:^|\/)(?:\.{0,2})(?:\/|$)/;

/** A path of the archive as a path below `base`; undefined when it lies elsewhere. */
function below(base: string, path: string): string | undefined {
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

/** Whether a path of the archive leads to `base`. */
function isParent(path: string, base: string): boolean {
  const clean = components(path).join("/");
  return clean === "" || `${base}/`.startsWith(`/${clean}/`);
}

function bothKinds(path: string): TarError {
  return new TarError(`${show(path)} is both a directory and something else`);
}
