import { closeSync, fstatSync, type Stats } from "node:fs";
import { type Directory, unlessAbsent } from "../disk/directory.ts";
import { isSecret, NotAFile } from "../disk/read-file.ts";
import { describe, hasCode } from "../errors.ts";
import { limits } from "../limits.ts";
import { formatBytes, quote } from "../text.ts";
import { isSbomSuffix } from "./names.ts";

/** An open SBOM file of a layer; `suffix` goes behind the layer's name, `sbom.cdx.json`. */
export interface SbomFile {
  readonly suffix: string;
  readonly fd: number;
}

/** Where SBOM files lie, and who is told of those that are there but cannot be taken. */
export interface SbomRoot {
  readonly directory: Directory;
  readonly tell: (message: string) => void;
}

/**
 * SBOM files as an exporter or analyzer lays them out: `{cache,launch}/<bp>/<layer>/sbom.<format>.json` below one or more
 * roots (contract §3). `launch` wins over `cache`, an earlier root over a later one.
 */
export class SbomFiles {
  readonly #roots: readonly SbomRoot[];
  readonly #told = new Set<string>();

  constructor(roots: readonly SbomRoot[]) {
    this.#roots = roots;
  }

  /** What `use` makes of the SBOM files of one layer, which are open as long. Links are not followed. */
  use<T>(buildpackDirectory: string, layer: string, use: (files: readonly SbomFile[]) => T): T {
    const files = this.#open(buildpackDirectory, layer);
    try {
      return use(files);
    } finally {
      for (const { fd } of files) closeSync(fd);
    }
  }

  /** Whether a layer has an SBOM file; `suffix` goes behind the layer's name. */
  has(buildpackDirectory: string, layer: string, suffix: string): boolean {
    return this.use(buildpackDirectory, layer, (files) => files.some((file) => file.suffix === suffix));
  }

  close(): void {
    for (const { directory } of this.#roots) directory.close();
  }

  #open(buildpackDirectory: string, layer: string): SbomFile[] {
    const found: Found = { files: new Map(), bytes: 0 };
    for (const kind of ["launch", "cache"]) {
      for (const root of this.#roots) this.#openBelow(root, [kind, buildpackDirectory, layer], found);
    }
    return [...found.files].map(([suffix, fd]) => ({ suffix, fd }));
  }

  #openBelow(root: SbomRoot, [name, ...rest]: readonly string[], found: Found): void {
    if (name === undefined) {
      this.#openFiles(root, found);
      return;
    }
    const { directory, tell } = root;
    const child = this.#ifAllowed(`${directory.path}/${name}`, tell, () => directory.open(name));
    if (child === undefined) return;
    try {
      this.#openBelow({ directory: child, tell }, rest, found);
    } finally {
      child.close();
    }
  }

  #openFiles({ directory, tell }: SbomRoot, found: Found): void {
    for (const { name } of this.#ifAllowed(directory.path, tell, () => directory.list()) ?? []) {
      if (!isSbomSuffix(name) || found.files.has(name)) continue;
      const fd = this.#ifAllowed(`${directory.path}/${name}`, tell, () => directory.openFile(name));
      if (fd === undefined) continue;
      const stat = fstatSync(fd);
      const problem = problemOf(stat, limits.layerSbomBytes - found.bytes);
      if (problem === undefined) {
        found.files.set(name, fd);
        found.bytes += stat.size;
        continue;
      }
      closeSync(fd);
      this.#tellOnce(tell, `Not restoring SBOM file ${quote(`${directory.path}/${name}`)}: ${problem}`);
    }
  }

  /** What `open` gives; undefined where there is nothing, or nothing that may be opened, which is told. */
  #ifAllowed<T>(path: string, tell: SbomRoot["tell"], open: () => T): T | undefined {
    try {
      return unlessAbsent(open);
    } catch (error) {
      const isOther = error instanceof NotAFile;
      if (!hasCode(error, "EACCES") && !isOther) throw error;
      const what = isOther ? "SBOM file" : "SBOM files of";
      this.#tellOnce(tell, `Not restoring ${what} ${quote(path)}: ${describe(error)}`);
      return undefined;
    }
  }

  #tellOnce(tell: SbomRoot["tell"], message: string): void {
    if (!this.#told.has(message)) tell(message);
    this.#told.add(message);
  }
}

/** What was found for one layer: open files by suffix, and their bytes. */
interface Found {
  readonly files: Map<string, number>;
  bytes: number;
}

function problemOf(stat: Stats, room: number): string | undefined {
  if (stat.size > limits.sbomBytes) return `it is larger than ${formatBytes(limits.sbomBytes)}, the limit`;
  if (stat.size > room)
    return `the SBOM files of its layer are larger than ${formatBytes(limits.layerSbomBytes)} in all, the limit`;
  // The copy can be read by everybody.
  if (stat.nlink > 1 && isSecret(stat)) return "it has other names (hard links), and not everybody may read it";
  return undefined;
}
