import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { type Directory, unlessAbsent } from "./directory.ts";
import { describe, errorCode } from "./errors.ts";
import { limits } from "./limits.ts";
import { quote } from "./log.ts";

/** An open SBOM file of a layer; `suffix` goes behind the layer's name, `sbom.cdx.json`. */
export interface SbomFile {
  readonly suffix: string;
  readonly fd: number;
}

const fileName = /^sbom\.[A-Za-z0-9_-]+\.json$/;

/**
 * SBOM files as an exporter or analyzer lays them out: `{cache,launch}/<bp>/<layer>/sbom.<format>.json` below one or more
 * roots (contract §3). `launch` wins over `cache`, an earlier root over a later one.
 */
export class SbomFiles {
  readonly #roots: readonly Directory[];
  readonly #trouble: (message: string) => void;

  /** Files that are there but cannot be taken are told to `trouble`. */
  constructor(roots: readonly Directory[], trouble: (message: string) => void) {
    this.#roots = roots;
    this.#trouble = trouble;
  }

  /** Opens the SBOM files of one layer; the caller closes them. Links are not followed. */
  open(buildpackDirectory: string, layer: string): SbomFile[] {
    const found = new Map<string, number>();
    for (const kind of ["launch", "cache"]) {
      for (const root of this.#roots) this.#openBelow(root, [kind, buildpackDirectory, layer], found);
    }
    return [...found].map(([suffix, fd]) => ({ suffix, fd }));
  }

  close(): void {
    for (const root of this.#roots) root.close();
  }

  #openBelow(root: Directory, [name, ...rest]: readonly string[], found: Map<string, number>): void {
    if (name === undefined) {
      this.#openFiles(root, found);
      return;
    }
    const child = this.#ifAllowed(`${root.path}/${name}`, () => root.open(name));
    if (child === undefined) return;
    try {
      this.#openBelow(child, rest, found);
    } finally {
      child.close();
    }
  }

  #openFiles(directory: Directory, found: Map<string, number>): void {
    const entries = this.#ifAllowed(directory.path, () => directory.list()) ?? [];
    for (const { name } of entries) {
      if (!fileName.test(name) || found.has(name)) continue;
      const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
      const fd = this.#ifAllowed(`${directory.path}/${name}`, () => openSync(directory.at(name), flags));
      if (fd === undefined) continue;
      const stat = fstatSync(fd);
      if (stat.isFile() && stat.size <= limits.sbomBytes) {
        found.set(name, fd);
        continue;
      }
      closeSync(fd);
      const why = stat.isFile() ? `it is larger than ${limits.sbomBytes} bytes` : "it is no regular file";
      this.#trouble(`Not restoring SBOM file ${quote(`${directory.path}/${name}`)}: ${why}`);
    }
  }

  /** What `open` gives; undefined where there is nothing, or nothing that may be opened, which is told. */
  #ifAllowed<T>(path: string, open: () => T): T | undefined {
    try {
      return unlessAbsent(open);
    } catch (error) {
      if (errorCode(error) !== "EACCES") throw error;
      this.#trouble(`Not restoring SBOM files of ${quote(path)}: ${describe(error)}`);
      return undefined;
    }
  }
}
