/**
 * Makes a volume cache of an exact shape to see how cost grows with it: so many layers, of so many files, of so many bytes.
 *
 *     bun bench/synthetic.ts <directory> <layers directory> <layers> <files> <bytes of a file>
 *
 * prints a {@link BenchCache} as JSON. The contents are pieces of machine code and text, so that they compress as layers do.
 */
import { closeSync, mkdirSync, openSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Archive } from "../lib/pack/archive.ts";
import { cacheMetadata, metadataName } from "../test/support/cache-fixture.ts";
import type { BenchCache, BenchLayer } from "./make-cache.ts";
import { collect, readPart, roots } from "./sources.ts";

export interface Shape {
  readonly layers: number;
  /** In each layer. */
  readonly files: number;
  readonly fileBytes: number;
}

const filesPerDirectory = 100;
/** A step between the beginnings of files that has no factor in common with anything. */
const stride = 1_000_003;

/** Bytes to cut files from; more than any compressor remembers. */
function pool(): Buffer {
  const bytes = Buffer.alloc(48 << 20);
  let filled = 0;
  for (const { path } of collect([roots.nodeModules, roots.goTools, roots.lib], { min: 1e6, max: 1e9, limit: 60 })) {
    // Not all of one program: its sections compress very differently.
    filled += readPart(path, 0, bytes.subarray(filled, Math.min(bytes.length, filled + (8 << 20))));
    if (filled === bytes.length) break;
  }
  if (filled === 0) throw new Error("no large file was found on this machine");
  return bytes.subarray(0, filled);
}

export function makeSynthetic(path: string, layersDir: string, shape: Shape): BenchCache {
  const committed = join(path, "committed");
  mkdirSync(committed, { recursive: true });
  const bytes = pool();
  const layers = Array.from({ length: shape.layers }, (_, index) =>
    packLayer(committed, layersDir, `layer-${index}`, shape, bytes, index),
  );
  const buildpack = {
    id: "bench/growth",
    layers: layers.map(({ name, diffId }) => ({ name, sha: diffId, build: true })),
  };
  // A name is unique in its buildpack; the sha is given, so the lookup is never asked.
  writeFileSync(
    join(committed, metadataName),
    cacheMetadata([buildpack], (_, name) => layers.find((layer) => layer.name === name)?.diffId ?? ""),
  );
  return { path, layers };
}

function packLayer(
  committed: string,
  layersDir: string,
  name: string,
  { files, fileBytes }: Shape,
  bytes: Buffer,
  layer: number,
): BenchLayer {
  const unnamed = join(committed, ".packing");
  const fd = openSync(unnamed, "wx");
  const archive = new Archive(fd);
  const root = `${layersDir}/bench_growth/${name}`;
  const entry = { type: "directory", mode: 0o755, uid: 0, gid: 0, size: 0, linkname: "" } as const;
  archive.begin({ ...entry, name: root });
  for (let index = 0; index < files; index++) {
    const directory = `${root}/d${String(Math.floor(index / filesPerDirectory)).padStart(5, "0")}`;
    if (index % filesPerDirectory === 0) {
      archive.begin({ ...entry, name: directory });
    }
    archive.begin({ ...entry, type: "file", name: `${directory}/f${index}`, mode: 0o644, size: fileBytes });
    writeContents(archive, bytes, ((layer * files + index) * stride) % bytes.length, fileBytes);
  }
  const diffId = archive.end();
  closeSync(fd);
  const { size, entries } = archive;
  const path = join(committed, `${diffId}.tar`);
  renameSync(unnamed, path);
  return { buildpack: "bench/growth", name, diffId, blob: path, size, entries, files };
}

function writeContents(archive: Archive, bytes: Buffer, start: number, length: number): void {
  for (let done = 0, at = start; done < length; at = 0) {
    const piece = bytes.subarray(at, at + length - done);
    archive.write(piece);
    done += piece.length;
  }
  archive.pad(length);
}

if (import.meta.main) {
  const [directory, layersDir, ...numbers] = process.argv.slice(2);
  const [layers, files, fileBytes] = numbers.map(Number);
  if (directory === undefined || layersDir === undefined || !layers || !files || fileBytes === undefined) {
    console.error("usage: bun bench/synthetic.ts <directory> <layers directory> <layers> <files> <bytes of a file>");
    process.exit(3);
  }
  console.log(JSON.stringify(makeSynthetic(directory, layersDir, { layers, files, fileBytes })));
}
