import { closeSync, constants, fstatSync, openSync } from "node:fs";
import type { Directory } from "./directory.ts";
import { errorCode } from "./errors.ts";
import { limits } from "./limits.ts";

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

  constructor(roots: readonly Directory[]) {
    this.#roots = roots;
  }

  /** Opens the SBOM files of one layer; the caller closes them. Links are not followed. */
  open(buildpackDirectory: string, layer: string): SbomFile[] {
    const found = new Map<string, number>();
    for (const kind of ["launch", "cache"]) {
      for (const root of this.#roots) openBelow(root, [kind, buildpackDirectory, layer], found);
    }
    return [...found].map(([suffix, fd]) => ({ suffix, fd }));
  }

  close(): void {
    for (const root of this.#roots) root.close();
  }
}

/** Opens a directory of SBOM files, or undefined where there is none (a link or file in its place included). */
export function openSbomRoot(parent: Directory, name: string): Directory | undefined {
  return ignoreAbsent(() => parent.open(name));
}

function openBelow(root: Directory, [name, ...rest]: readonly string[], found: Map<string, number>): void {
  if (name === undefined) {
    openFiles(root, found);
    return;
  }
  const child = ignoreAbsent(() => root.open(name));
  if (child === undefined) return;
  try {
    openBelow(child, rest, found);
  } finally {
    child.close();
  }
}

function openFiles(directory: Directory, found: Map<string, number>): void {
  for (const { name } of directory.list()) {
    if (!fileName.test(name) || found.has(name)) continue;
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const fd = ignoreAbsent(() => openSync(directory.at(name), flags));
    if (fd === undefined) continue;
    const stat = fstatSync(fd);
    if (stat.isFile() && stat.size <= limits.sbomBytes) found.set(name, fd);
    else closeSync(fd);
  }
}

function ignoreAbsent<T>(open: () => T): T | undefined {
  try {
    return open();
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ELOOP", "EACCES"].includes(errorCode(error) ?? "")) return undefined;
    throw error;
  }
}
