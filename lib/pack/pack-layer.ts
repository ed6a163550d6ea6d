import { type Stats, statSync } from "node:fs";
import type { Directory } from "../disk/directory.ts";
import { prefixesOf } from "../disk/prefixes.ts";
import { toLatin1 } from "../latin1.ts";
import { Archive, Content } from "./archive.ts";
import type { PackedEntry } from "./header.ts";
import { TreeReader } from "./tree-reader.ts";
import { walk } from "./walk.ts";

/** What a layer is packed from, and how. */
export interface PackJob {
  /** The layers directory, open. */
  readonly layers: Directory;
  /** `<bp>/<layer>`, or `sbom/cache`. */
  readonly path: string;
  /** The layers directory as entries name it. */
  readonly prefix: string;
  /** The directories above it. */
  readonly above: readonly PackedEntry[];
  /** Whose all entries of the layer are; undefined for whoever owns its directory. */
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** Where the archive goes; undefined where only its digest is asked for. */
  readonly fd?: number;
  readonly listener?: PackListener;
  readonly signal: AbortSignal;
}

/** Told of each entry, of those above the layer as well, and of the content of a file. */
interface PackListener {
  entry?(entry: PackedEntry): void;
  data?(chunk: Uint8Array): void;
}

/** A layer that was packed. */
export interface Packed {
  readonly diffId: string;
  /** Bytes of the archive. */
  readonly size: number;
  /** Entries of the layer; those of the directories above it do not count. */
  readonly entries: number;
  readonly files: number;
}

/**
 * Packs the directory of a layer as the exporter does (the reference's `layers.Factory`): the directories above it with their
 * own owners, then the layer, depth first by the bytes of names, all its entries with one owner, modes as they are, one time. A
 * hard link is a file of its own. tar-fs finds and reads the files; in its own archives their order and their headers differ.
 * Throws a PackError, the system's error where the archive cannot be written, or the signal's reason.
 */
export async function packLayer(job: PackJob): Promise<Packed> {
  const { layers, path, prefix, listener, signal } = job;
  const archive = new Archive(job.fd);
  const begin = (entry: PackedEntry) => {
    archive.begin(entry);
    listener?.entry?.(entry);
  };
  const tree = new TreeReader(layers);
  let files = 0;
  try {
    for (const entry of job.above) begin(entry);
    begin(directoryEntry(prefix, layers.ownStat()));
    for (const name of directoriesOf(path)) begin(directoryEntry(`${prefix}/${name}`, tree.stat(name)));
    const isAbove = archive.entries;
    const owner = tree.stat(path);
    const { uid = owner.uid, gid = owner.gid } = job;
    await walk(tree, path, ({ name, type, mode, size, linkname = "" }) => {
      signal.throwIfAborted();
      begin({ name: `${prefix}/${name}`, type, mode: mode & 0o7777, uid, gid, size, linkname });
      if (type !== "directory") files += 1;
      if (type !== "file") return undefined;
      const take = (chunk: Uint8Array) => {
        signal.throwIfAborted();
        archive.write(chunk);
        listener?.data?.(chunk);
      };
      return new Content(name, size, take, () => archive.pad(size));
    });
    return { diffId: archive.end(), size: archive.size, entries: archive.entries - isAbove, files };
  } finally {
    tree.close();
  }
}

/** The entries of the directories above a layers directory, links followed. Throws the system's errors. */
export function entriesAbove(layersDir: string): PackedEntry[] {
  return prefixesOf(layersDir)
    .slice(1, -1)
    .map((path) => directoryEntry(toLatin1(path), statSync(path)));
}

function directoryEntry(name: string, { mode, uid, gid }: Pick<Stats, "mode" | "uid" | "gid">): PackedEntry {
  return { name, type: "directory", mode: mode & 0o7777, uid, gid, size: 0, linkname: "" };
}

/** Of `bp/layer` the directory `bp`. */
function directoriesOf(path: string): string[] {
  const names = path.split("/").slice(0, -1);
  return names.map((_, index) => names.slice(0, index + 1).join("/"));
}
