import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { TempDir } from "../support/harness.ts";
import { packTree } from "../support/pack-tree.ts";
import { type TarEntry, tarOf } from "../support/raw-tar.ts";
import { attacks } from "./attack-table.ts";
import { fixChecksum, isHeader } from "./fix-checksum.ts";
import type { Random } from "./random.ts";

const project = resolve(import.meta.dir, "../..");
const block = 512;

/** An archive in pieces that belong together: a header with its extended headers and its content. */
export type Pieces = readonly Buffer[];

function piecesOf(archive: Buffer): Pieces {
  const pieces: Buffer[] = [];
  let start = 0;
  for (let at = 0; at + block <= archive.length; ) {
    if (archive[at] === 0) break;
    const size = Number.parseInt(archive.toString("latin1", at + 124, at + 136), 8) || 0;
    const isExtended = "xgLK".includes(String.fromCharCode(archive[at + 156] ?? 0));
    at += block + Math.ceil(size / block) * block;
    if (isExtended) continue;
    pieces.push(archive.subarray(start, at));
    start = at;
  }
  return pieces;
}

/** Real layers, made for the layer called `layers/bp/L`, to be renamed to the name of the layer they become. */
export function readSeeds(dir: TempDir): Pieces[] {
  const trees = ["lib", "test", "bench", "node_modules/fast-check", "node_modules/yargs", "node_modules/smol-toml"];
  const real = trees.map((tree) => {
    const { path } = packTree(dir.path, join(project, tree), "/layers/fuzz/LLLL");
    return piecesOf(readFileSync(path));
  });
  const scene = {
    at: "/layers/fuzz/LLLL",
    buildpack: "/layers/fuzz",
    layer: "LLLL",
    layersDir: "/l",
    canary: dir.path,
  };
  const hostile = Object.values(attacks)
    .flat()
    .map((row) => Buffer.from(row.archive(scene)))
    .filter((archive) => archive.length < 100_000);
  const others = hostile.map(piecesOf).filter((pieces) => pieces.length > 0);
  // As many draws for real layers as for hostile ones.
  return [...others, ...others.map((_, index) => real[index % real.length] ?? [])];
}

/** Bytes that mean something to somebody who reads tars. */
const fields = [
  { at: 0, length: 100 },
  { at: 100, length: 8 },
  { at: 108, length: 16 },
  { at: 124, length: 12 },
  { at: 136, length: 12 },
  { at: 156, length: 1 },
  { at: 157, length: 100 },
  { at: 257, length: 8 },
  { at: 345, length: 155 },
] as const;

/** Changes layers as the seed wills. */
export class Mutator {
  readonly #random: Random;
  readonly #seeds: readonly Pieces[];
  readonly #canary: string;

  constructor(random: Random, seeds: readonly Pieces[], canary: string) {
    this.#random = random;
    this.#seeds = seeds;
    this.#canary = canary;
  }

  /** A layer for the place called `layer`, changed in one way or several. */
  layer(layer: string): Buffer {
    const random = this.#random;
    let pieces = [...this.#rename(random.pick(this.#seeds), layer)];
    if (pieces.length > 400)
      pieces = [...pieces.slice(0, 4), ...pieces.slice(random.below(pieces.length - 300)).slice(0, 300)];
    for (let changes = random.pick([0, 1, 1, 1, 2, 4]); changes > 0; changes--) pieces = this.#change(pieces, layer);
    let archive = Buffer.concat(random.chance(95) ? [...pieces, Buffer.alloc(1024)] : pieces);
    if (random.chance(5)) archive = archive.subarray(0, random.below(archive.length + 1));
    if (random.chance(10)) archive = Buffer.concat([archive, random.bytes(random.below(2000))]);
    if (random.chance(8) && archive.length > 0) {
      for (let flips = 1 + random.below(8); flips > 0; flips--) {
        const at = random.below(archive.length);
        archive[at] = (archive[at] ?? 0) ^ (1 << random.below(8));
      }
    }
    return archive;
  }

  #rename(pieces: Pieces, layer: string): Buffer[] {
    return pieces.map((piece) => {
      const text = piece.toString("latin1").replaceAll("LLLL", layer);
      const renamed = Buffer.from(text, "latin1");
      for (let at = 0; at + block <= renamed.length; at += block) {
        if (isHeader(renamed, at)) fixChecksum(renamed, at);
      }
      return renamed;
    });
  }

  #change(pieces: Buffer[], layer: string): Buffer[] {
    const random = this.#random;
    const at = random.below(pieces.length + 1);
    const from = random.below(pieces.length);
    const piece = pieces[from] ?? Buffer.alloc(0);
    switch (random.below(8)) {
      case 0:
        return [...pieces.slice(0, at), piece, ...pieces.slice(at)];
      case 1:
        return pieces.filter((_, index) => index !== from);
      case 2: {
        const other = this.#rename(random.pick(this.#seeds), layer);
        const start = random.below(other.length);
        return [...pieces.slice(0, at), ...other.slice(start, start + 1 + random.below(5)), ...pieces.slice(at)];
      }
      case 3:
        return [...pieces.slice(0, at), this.#madeUp(pieces, layer), ...pieces.slice(at)];
      case 4:
        return pieces.map((each, index) => (index === from ? each.subarray(0, random.below(each.length + 1)) : each));
      default:
        return pieces.map((each, index) => (index === from ? this.#changeHeader(each) : each));
    }
  }

  /** One field of a header changed, its checksum right. */
  #changeHeader(piece: Buffer): Buffer {
    const random = this.#random;
    const changed = Buffer.from(piece);
    if (changed.length < block) return changed;
    const header = random.below(Math.min(3, Math.floor(changed.length / block))) * block;
    const field = random.pick(fields);
    const value = random.pick([
      () => random.bytes(1 + random.below(field.length)),
      () =>
        Buffer.from(random.pick(["..", "/", "", "0", "7", "77777777777", "-1", " ", "ustar", "x", "1", "2", "5", "L"])),
      () => Buffer.alloc(field.length, random.pick([0, 0x20, 0x30, 0x37, 0x80, 0xff])),
      () =>
        Buffer.from(random.pick([`${this.#canary}/file`, "/etc", "../../../canary/file", "./layers//fuzz", "a/../b"])),
    ])();
    value.copy(changed, header + field.at, 0, field.length);
    if (random.chance(95)) fixChecksum(changed, header);
    return changed;
  }

  /** An entry from nowhere, its name and link often those of others. */
  #madeUp(pieces: Pieces, layer: string): Buffer {
    const random = this.#random;
    const at = `/layers/fuzz/${layer}`;
    const nameOf = (piece: Buffer) => piece.toString("latin1", 0, 100).replace(/\0.*$/s, "");
    const names = () =>
      random.pick([
        nameOf(random.pick(pieces.length > 0 ? pieces : [Buffer.from(at)])),
        `${at}/new`,
        `${at}/a/b/c`,
        `${at}/../x`,
        `${this.#canary}/file`,
        "/layers/fuzz/neighbour/data",
        `${at}/${"long/".repeat(random.below(800))}x`,
        `${at}/${random.bytes(1 + random.below(20)).toString("latin1")}`,
      ]);
    const entry: TarEntry = {
      name: Buffer.from(names(), "latin1"),
      linkname: Buffer.from(names(), "latin1"),
      type: random.pick([
        "file",
        "link",
        "symlink",
        "directory",
        "fifo",
        { flag: random.pick(["7", "S", "\0", "g", "x", "L"]) },
      ]),
      mode: random.pick([0, 0o644, 0o755, 0o4755, 0o7777, 0o1000000]),
      data: random.bytes(random.pick([0, 0, 10, 511, 512, 513])),
      longNames: random.pick(["pax", "gnu", "none"]),
      format: random.pick(["ustar", "gnu", "v7"]),
      ...(random.chance(20) ? { size: random.pick([-1, 1, 512, 2 ** 33 - 1, 2 ** 40]), sizeEncoding: "base256" } : {}),
      ...(random.chance(20)
        ? {
            pax: {
              [random.pick(["path", "linkpath", "size", "mtime", "GNU.sparse.name", "x"])]: random.pick([
                "1",
                "0",
                "512",
                names(),
              ]),
            },
          }
        : {}),
    };
    return tarOf([entry], { trailer: false });
  }
}
