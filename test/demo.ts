/**
 * Shows a restore: lays out trees that are on this machine as buildpacks leave their layers, makes a cache of them
 * (`restorer make-cache`), restores that into a fresh layers directory, and holds the result against the originals.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { writeCacheImage } from "./demo/cache-image.ts";
import { earlierBuild, sbomFile, sbomTree } from "./demo/earlier-build.ts";
import { makeCacheOf, writeLayers } from "./demo/layers.ts";
import { aligned, bold, check, describeTree, dim, say, shown, wrapped } from "./demo/screen.ts";
import { analyzedToml, type CachedBuildpack, type CacheFixture, groupToml } from "./support/cache-fixture.ts";
import { restorerPath } from "./support/restorer-path.ts";
import { differences, type Snapshot, snapshot } from "./support/snapshot.ts";
import { removeTree } from "./support/tree.ts";

const project = resolve(import.meta.dir, "..");
const home = demoDirectory();
const sources = join(home, "sources");
const layersDir = join(home, "layers");
const cacheImage = join(home, "cache-image");

/** `tmp/demo` in the project, or below the temporary directory where the project is not ours to write to. */
function demoDirectory(): string {
  for (const path of [join(project, "tmp", "demo"), join(tmpdir(), "restorer-demo")]) {
    try {
      removeTree(path);
      mkdirSync(path, { recursive: true });
      return path;
    } catch {}
  }
  throw new Error(`neither ${project} nor ${tmpdir()} can be written to`);
}

/** One bit flipped in the middle of a blob, as a bad disk would. */
function spoil(blob: string): void {
  const bytes = readFileSync(blob);
  const position = Math.floor(bytes.length / 2);
  bytes[position] = (bytes[position] ?? 0) ^ 1;
  // A new file: the cache image shares the old one.
  unlinkSync(blob);
  writeFileSync(blob, bytes);
}

function writeInputs(buildpacks: readonly CachedBuildpack[]): void {
  removeTree(layersDir);
  mkdirSync(layersDir);
  writeFileSync(join(layersDir, "group.toml"), groupToml(buildpacks.map(({ id, version = "" }) => ({ id, version }))));
  const runtime = { name: "runtime", metadata: { version: "22.9.0", stack: "demo" } };
  const app = [{ id: "demo/node", version: "3.1.0", layers: [runtime], store: { builds: 7 } }];
  writeFileSync(join(layersDir, "analyzed.toml"), analyzedToml({ buildpacks: app }));
}

/** Runs the restorer and passes its output on, indented, in the order in which it comes. */
async function restore(cache: CacheFixture): Promise<{ exitCode: number; seconds: number }> {
  const command = [restorerPath(), "-layers", layersDir, "-cache-dir", cache.path];
  const [program = "", ...words] = command.map((word) => shown(word));
  say(`${dim("$")} CNB_PLATFORM_API=0.15 ${program} \\\n    ${words.join(" ")}\n`);
  const start = Bun.nanoseconds();
  const child = Bun.spawn(["sh", "-c", 'exec "$@" 2>&1', "sh", ...command], {
    env: { PATH: process.env.PATH, HOME: home, CNB_PLATFORM_API: "0.15" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const output = await child.stdout.text();
  const exitCode = await child.exited;
  const seconds = (Bun.nanoseconds() - start) / 1e9;
  for (const line of output.trimEnd().split("\n")) for (const row of wrapped(line, 76)) say(`  ${dim("│")} ${row}`);
  return { exitCode, seconds };
}

function problemsOf(path: string, source: Snapshot): string[] {
  if (!existsSync(path)) return ["it is not there"];
  // Owners are the running user's; hard links are packed as copies.
  return differences(snapshot(path), source, { ignore: ["uid", "gid", "sameFileAs"], limit: 5 });
}

type Originals = ReadonlyMap<string, Snapshot>;

function showCache(originals: Originals): void {
  say(bold("A cache as an earlier build left it"));
  for (const line of aligned([...originals].map(([layer, tree]) => [layer, ...describeTree(tree)]))) say(`  ${line}`);
  say("  and an SBOM layer. One bit of demo/compiler:stdlib was flipped afterwards.\n");
}

/** Holds the layers directory against the originals. */
function checkResult(originals: Originals, { exitCode, seconds }: { exitCode: number; seconds: number }): boolean {
  say(`\n${bold("The layers directory against the originals")}`);
  const restored = (layer: string, ...path: string[]): boolean => {
    const source: Snapshot = originals.get(layer) ?? new Map();
    const problems = problemsOf(join(layersDir, ...path), source);
    return check(`${layer}: ${source.size} entries, every byte, mode and link the same`, problems);
  };
  const sbom = join(layersDir, "demo_node", "node_modules.sbom.cdx.json");
  const results = [
    check(
      `exit code ${exitCode} after ${seconds.toFixed(2)} s: one bad layer does not fail the build`,
      exitCode === 0 ? [] : ["it should be 0"],
    ),
    restored("demo/node:node_modules", "demo_node", "node_modules"),
    restored("demo/modules:download", "demo_modules", "download"),
    check("demo/node:node_modules has its SBOM beside it", sameFile(sbom, join(sources, "sbom", sbomFile))),
    check(
      "demo/compiler:stdlib: neither contents nor metadata, to be made anew",
      namesIn(join(layersDir, "demo_compiler")),
    ),
  ];
  return results.every((fine) => fine);
}

function sameFile(path: string, original: string): string[] {
  try {
    return readFileSync(path).equals(readFileSync(original)) ? [] : [`${path} differs from ${original}`];
  } catch (error) {
    return [String(error)];
  }
}

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

function showPlaces(cache: CacheFixture): void {
  say(`\n${bold("Where to look")}`);
  const places = [
    ["layers", shown(layersDir), "as the next build finds it"],
    ["metadata", shown(join(layersDir, "demo_node", "node_modules.toml")), "from the cache"],
    ["", shown(join(layersDir, "demo_node", "runtime.toml")), "from the app image"],
    ["cache", shown(cache.committed), "never written to"],
    ["", shown(cacheImage), "as an image: see README"],
  ];
  const width = Math.max(...places.map(([, path = ""]) => path.length));
  for (const [name = "", path = "", what = ""] of places) {
    say(`  ${name.padEnd(9)} ${path.padEnd(width)}  ${dim(what)}`);
  }
}

const buildpacks = earlierBuild(sources);
const originals: Originals = new Map(
  buildpacks.flatMap(({ id, layers }) =>
    layers.map(({ name, tree = "" }): [string, Snapshot] => [`${id}:${name}`, snapshot(tree)]),
  ),
);
writeInputs(buildpacks);
writeLayers(layersDir, buildpacks, sbomTree(sources));
const cache = makeCacheOf(layersDir, join(home, "cache"));
writeCacheImage(cache, cacheImage);
spoil(cache.blob("demo/compiler", "stdlib"));
writeInputs(buildpacks);

showCache(originals);
say(bold("The restore"));
const fine = checkResult(originals, await restore(cache));
showPlaces(cache);
process.exitCode = fine ? 0 : 1;
