/**
 * `make fuzz`: changes real layers at random, restores many of them a run with the compiled executable, and holds each
 * run against what is promised whatever the cache: nothing outside of the layer is touched, a layer is there whole or not
 * at all, its neighbours are restored, the run ends well, soon, and in little memory.
 *
 * Usage: bun test/archive/fuzz.ts [SECONDS]. SEED=n repeats a run that failed.
 */
import { cpSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { analyzedToml, groupToml, makeCache } from "../support/cache-fixture.ts";
import { canaryTree, stamps } from "../support/canary.ts";
import { restorerPath, type TempDir, tempDir } from "../support/harness.ts";
import { packLayer } from "../support/pack.ts";
import { type TarEntry, tarOf } from "../support/tar-writer.ts";
import { attacks } from "./attack-table.ts";

const project = resolve(import.meta.dir, "../..");
const block = 512;
const layersPerRun = 60;
const largestRss = 256 * 1024 * 1024;
const longestRunMs = 60_000;

/** Numbers that the seed alone decides (mulberry32). */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 to below `limit`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}

/** An archive in pieces that belong together: a header with its extended headers and its content. */
type Pieces = readonly Buffer[];

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
function readSeeds(dir: TempDir): Pieces[] {
  const trees = ["lib", "test", "bench", "node_modules/fast-check", "node_modules/yargs", "node_modules/smol-toml"];
  const real = trees.map((tree) => {
    const { path } = packLayer(dir.path, join(project, tree), "/layers/fuzz/LLLL");
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

class Mutator {
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
        if (renamed.toString("latin1", at + 257, at + 262) === "ustar") fixChecksum(renamed, at);
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

function fixChecksum(archive: Buffer, at: number): void {
  archive.fill(" ", at + 148, at + 156);
  const sum = archive.subarray(at, at + block).reduce((total, byte) => total + byte, 0);
  archive.write(`${sum.toString(8).padStart(6, "0")}\0 `, at + 148, 8, "latin1");
}

interface Tally {
  runs: number;
  layers: number;
  restored: number;
  peakRss: number;
}

/** One run; returns what it breaks. */
async function fuzz(seed: number, seeds: readonly Pieces[], dir: TempDir, tally: Tally): Promise<string[]> {
  const canary = dir.join("canary");
  const mutator = new Mutator(new Random(seed), seeds, canary);
  const names = Array.from({ length: layersPerRun }, (_, index) => `l${String(index).padStart(3, "0")}`);
  const layers = dir.join("layers");
  mkdirSync(join(layers, "bystander/layer"), { recursive: true });
  writeFileSync(join(layers, "bystander/layer/data"), "not of this build");
  writeFileSync(join(layers, "group.toml"), groupToml([{ id: "fuzz" }]));
  writeFileSync(join(layers, "analyzed.toml"), analyzedToml());
  const neighbour = tarOf([{ name: "/layers/fuzz/neighbour/data", data: "good" }]);
  makeCache(dir.join("cache"), [
    {
      id: "fuzz",
      layers: [...names.map((name) => ({ name, tar: mutator.layer(name) })), { name: "neighbour", tar: neighbour }],
    },
  ]);
  const watched = ["canary", "cache", "layers/bystander", "layers/group.toml", "layers/analyzed.toml"];
  const before = watched.flatMap((name) => stamps(dir.join(name)));

  const child = Bun.spawn([restorerPath(), "-layers", layers, "-cache-dir", dir.join("cache"), "-no-color"], {
    env: { CNB_PLATFORM_API: "0.15", CNB_KANIKO_DIR: dir.join("kaniko") },
    cwd: dir.path,
    stdout: "pipe",
    stderr: "pipe",
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), longestRunMs);
  const [, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  clearTimeout(timer);
  const rss = child.resourceUsage()?.maxRSS ?? 0;

  const wrong: string[] = [];
  if (child.signalCode !== null) wrong.push(`died of ${child.signalCode}, or took more than ${longestRunMs / 1000} s`);
  else if (child.exitCode !== 0) wrong.push(`exit ${child.exitCode}: ${stderr.slice(-500)}`);
  if (/^\s+at |panic|Segmentation|[\x00-\x08\x0b-\x1f\x7f]/m.test(stderr))
    wrong.push(`stderr: ${stderr.slice(0, 2000)}`);
  if (rss > largestRss) wrong.push(`took ${rss} bytes of memory`);
  if (watched.flatMap((name) => stamps(dir.join(name))).join("\n") !== before.join("\n"))
    wrong.push("something outside of the layers changed");
  const top = readdirSync(layers).sort().join(" ");
  if (top !== "analyzed.toml bystander fuzz group.toml") wrong.push(`the layers directory holds ${top}`);
  const standing = new Set(readdirSync(join(layers, "fuzz")));
  for (const name of names) {
    const refused = stderr.includes(`"fuzz:${name}"`);
    const whole = standing.delete(name);
    const toml = standing.delete(`${name}.toml`);
    if (whole !== toml || whole === refused)
      wrong.push(`${name}: directory ${whole}, toml ${toml}, refused ${refused}`);
    if (whole && !lstatSync(join(layers, "fuzz", name)).isDirectory()) wrong.push(`${name} is no directory`);
    if (whole) tally.restored += 1;
  }
  if (!standing.delete("neighbour") || !standing.delete("neighbour.toml")) wrong.push("the neighbour is not restored");
  else if (readFileSync(join(layers, "fuzz/neighbour/data"), "latin1") !== "good") wrong.push("the neighbour changed");
  if (standing.size > 0) wrong.push(`strangers: ${[...standing].join(" ")}`);
  tally.runs += 1;
  tally.layers += names.length;
  tally.peakRss = Math.max(tally.peakRss, rss);
  return wrong;
}

const seconds = Number(process.argv[2] ?? 600);
const firstSeed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const once = process.env.SEED !== undefined;
const tally: Tally = { runs: 0, layers: 0, restored: 0, peakRss: 0 };
using seedDir = tempDir("fuzz-seeds");
const seeds = readSeeds(seedDir);
console.log(`fuzzing for ${seconds} s with seed ${firstSeed}; SEED=<n> repeats one run`);
const end = performance.now() + seconds * 1000;
let failed = 0;
for (let seed = firstSeed; performance.now() < end && failed < 5; seed++) {
  using dir = tempDir("fuzz", { canary: canaryTree });
  const wrong = await fuzz(seed, seeds, dir, tally);
  if (wrong.length > 0) {
    failed += 1;
    const kept = join(project, "tmp", `fuzz-${seed}`);
    cpSync(dir.join("cache"), kept, { recursive: true });
    console.error(`SEED=${seed} breaks a promise, its cache is kept in ${kept}:\n  ${wrong.join("\n  ")}`);
  }
  if (once) break;
}
const { runs, layers, restored, peakRss } = tally;
console.log(
  `${runs} runs, ${layers} layers, ${restored} of them restored, peak RSS ${Math.round(peakRss / 2 ** 20)} MiB, ${failed} runs failed`,
);
process.exitCode = failed > 0 ? 1 : 0;
