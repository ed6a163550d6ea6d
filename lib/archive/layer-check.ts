import type { Extracted } from "./extract.ts";
import { LayerPaths, type LayerPlace, type LayerVisitor } from "./layer-paths.ts";
import type { TarEntry, TarHandler } from "./tar.ts";
import { show, TarError } from "./tar-error.ts";

/** NAME_MAX of Linux, and PATH_MAX without the NUL. */
const maxNameBytes = 255;
const maxTargetBytes = 4095;

/** A file or link of a layer, as the archive has it: paths are below the layer, names bytes in latin1 strings. */
export type LayerItem =
  | { readonly type: "directory"; readonly path: string; readonly mode: number }
  | { readonly type: "file"; readonly path: string; readonly mode: number; readonly size: number }
  | { readonly type: "symlink" | "link"; readonly path: string; readonly target: string };

/** What `LayerCheck` tells of a layer on the way; none of it is verified before the archive's end. */
export interface LayerListener {
  item?(item: LayerItem): void;
  /** The content of the file told last. */
  data?(chunk: Uint8Array): void;
  endFile?(): void;
}

/**
 * Goes through a layer by the rules of its extraction, and writes nothing (contract §4): what it accepts would be extracted as
 * it is. Throws TarErrors for entries that no layer may hold.
 */
export class LayerCheck implements TarHandler, LayerVisitor {
  readonly #paths: LayerPaths;
  readonly #listener: LayerListener;
  /** What stands at a path, beside directories. */
  readonly #others = new Map<string, "file" | "symlink">();
  #present: TarEntry | undefined;
  #rootMode = 0o700;
  #files = 0;
  #bytes = 0;

  constructor(place: LayerPlace, listener: LayerListener = {}) {
    this.#paths = new LayerPaths(place, this);
    this.#listener = listener;
  }

  entry(entry: TarEntry): void {
    this.#present = entry;
    this.#paths.entry(entry);
  }

  data(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    this.#listener.data?.(chunk);
  }

  endFile(): void {
    this.#listener.endFile?.();
  }

  /** Ends a complete archive. Throws a TarError when it held no such layer. */
  finish(): Extracted {
    this.#paths.finish();
    return {
      files: this.#files,
      entries: this.#paths.entries,
      bytes: this.#bytes,
      rootMode: this.#rootMode,
      dangling: this.#paths.dangling,
    };
  }

  /** Nothing is written. */
  settle(): void {}

  /** Nothing is open. */
  abort(): void {}

  directory(path: string, mode: number, _isNew: boolean): boolean {
    if (this.#others.has(path)) return false;
    checkName(path);
    if (path === "") this.#rootMode = mode;
    this.#listener.item?.({ type: "directory", path, mode });
    return true;
  }

  file(path: string, mode: number): void {
    this.#put(path, "file");
    this.#listener.item?.({ type: "file", path, mode, size: this.#present?.size ?? 0 });
  }

  symlink(path: string, target: string): void {
    if (target.length > maxTargetBytes)
      throw new TarError(`${show(path)} has a target longer than ${maxTargetBytes} bytes`);
    this.#put(path, "symlink");
    this.#listener.item?.({ type: "symlink", path, target });
  }

  link(path: string, target: string): boolean {
    if (this.#others.get(target) !== "file") return false;
    this.#put(path, "file");
    this.#listener.item?.({ type: "link", path, target });
    return true;
  }

  #put(path: string, kind: "file" | "symlink"): void {
    checkName(path);
    this.#files += 1;
    this.#others.set(path, kind);
  }
}

/** What no file system takes. */
function checkName(path: string): void {
  const name = path.slice(path.lastIndexOf("/") + 1);
  if (name.length > maxNameBytes) throw new TarError(`${show(path)} has a name longer than ${maxNameBytes} bytes`);
}
