import { closeSync, openSync, readSync, renameSync, type Stats } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Directory } from "../../lib/disk/directory.ts";
import { prefixesOf } from "../../lib/disk/prefixes.ts";
import { toLatin1 } from "../../lib/latin1.ts";
import { Archive } from "../../lib/pack/archive.ts";
import type { PackedEntry } from "../../lib/pack/header.ts";
import { TreeReader } from "../../lib/pack/tree-reader.ts";
import { joinBytes } from "./harness.ts";

/**
 * Packs a tree as the layer called `name` (`/layers/<bp>/<layer>`) into `<directory>/<diffID>.tar`, by what packs layers for
 * `restorer make-cache`, but at once. All of it is root's, the directories above the layer have the mode 0755. What that can
 * never write is made with `raw-tar`.
 */
export function packTree(directory: string, tree: string, name: string): { diffId: string; path: string } {
  const unnamed = join(directory, `.packing-${process.pid}-${Bun.nanoseconds()}`);
  const fd = openSync(unnamed, "wx", 0o644);
  const archive = new Archive(fd);
  const place = Directory.open(dirname(tree), tree, true);
  const reader = new TreeReader(place);
  try {
    for (const above of prefixesOf(name).slice(1, -1)) archive.begin({ ...rootsDirectory, name: above });
    const top = toLatin1(basename(tree));
    for (const path of reader.walk(top)) {
      const below = path.slice(top.length);
      const entry = entryOf(reader, path, reader.stat(path));
      archive.begin({ ...entry, name: `${toLatin1(name)}${below}` });
      if (entry.type === "file")
        copyFile(joinBytes(Buffer.from(tree), Buffer.from(below, "latin1")), entry.size, archive);
    }
    const diffId = archive.end();
    const path = join(directory, `${diffId}.tar`);
    renameSync(unnamed, path);
    return { diffId, path };
  } finally {
    reader.close();
    place.close();
    closeSync(fd);
  }
}

const rootsDirectory = { type: "directory", mode: 0o755, uid: 0, gid: 0, size: 0, linkname: "" } as const;

function entryOf(reader: TreeReader, path: string, stat: Stats): Omit<PackedEntry, "name"> {
  const common = { ...rootsDirectory, mode: stat.mode & 0o7777 };
  if (stat.isDirectory()) return common;
  if (stat.isSymbolicLink()) return { ...common, type: "symlink", linkname: reader.readLink(path) };
  return { ...common, type: "file", size: stat.size };
}

function copyFile(path: Buffer, size: number, archive: Archive): void {
  const fd = openSync(path, "r");
  const buffer = Buffer.allocUnsafe(Math.min(size, 1 << 20));
  try {
    for (let left = size; left > 0; ) {
      const length = readSync(fd, buffer, 0, Math.min(left, buffer.length), null);
      if (length === 0) throw new Error(`${path} changed while it was packed`);
      archive.write(buffer.subarray(0, length));
      left -= length;
    }
  } finally {
    closeSync(fd);
  }
  archive.pad(size);
}
