/**
 * Shows a restore: packs trees that are on this machine as an exporter does, restores them with the executable into a
 * fresh layers directory, and holds the result against the originals.
 */
import {
  chmodSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative, resolve } from "node:path";
import {
  analyzedToml,
  type CachedBuildpack,
  type CacheFixture,
  diffId,
  groupToml,
  makeCache,
  metadataName,
} from "./support/cache-fixture.ts";
import { differences, removeTree, restorerPath, type Snapshot, snapshot } from "./support/harness.ts";

const project = resolve(import.meta.dir, "..");
const home = demoDirectory();
const sources = join(home, "sources");
const layersDir = join(home, "layers");
const cacheImage = join(home, "cache-image");

const onTerminal = process.stdout.isTTY && !process.env.NO_COLOR;
const style = (code: string) => (text: string) => (onTerminal ? `\x1b[${code}m${text}\x1b[0m` : text);
const [bold, dim, green, red] = [style("1"), style("2"), style("32"), style("31")];
const say = (text = ""): void => console.log(text);

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

/** The layers that an earlier build left: all real, one of them spoiled below. */
function earlierBuild(): CachedBuildpack[] {
  return [
    {
      id: "demo/node",
      version: "3.1.0",
      layers: [
        {
          name: "node_modules",
          tree: join(project, "node_modules"),
          build: true,
          data: { lockfile: lockfileDigest() },
        },
      ],
    },
    {
      id: "demo/modules",
      version: "0.4.2",
      layers: [{ name: "download", tree: moduleCache(), build: true, data: { compressed: false, modules: 3 } }],
    },
    {
      id: "demo/compiler",
      version: "1.0.7",
      layers: [
        { name: "stdlib", tree: join(project, "node_modules", "bun-types"), build: true, data: { release: "1.4" } },
      ],
    },
  ];
}

function lockfileDigest(): string {
  return new Bun.CryptoHasher("sha256").update(readFileSync(join(project, "package-lock.json"))).digest("hex");
}

/** A copy of some packages with the modes of a Go module cache: files 0444 in directories 0555. */
function moduleCache(): string {
  const root = join(sources, "download");
  for (const name of ["smol-toml", "valibot", "yargs"]) {
    cpSync(join(project, "node_modules", name), join(root, name), { recursive: true });
  }
  const close = (directory: string): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) close(path);
      else if (entry.isFile()) chmodSync(path, 0o444);
    }
    chmodSync(directory, 0o555);
  };
  close(root);
  return root;
}

const sbomFile = "demo_node/node_modules/sbom.cdx.json";

/** The SBOM layer: a CycloneDX file for node_modules, made from the packages' own metadata. */
function sbomTree(): string {
  const manifest = JSON.parse(readFileSync(join(project, "package.json"), "utf8")) as { dependencies: object };
  const components = Object.entries(manifest.dependencies).map(([name, version]) => ({
    type: "library",
    name,
    version,
  }));
  const sbom = { bomFormat: "CycloneDX", specVersion: "1.5", version: 1, components };
  const path = join(sources, "sbom", sbomFile);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, JSON.stringify(sbom, null, 2));
  return join(sources, "sbom");
}

/** The same cache as an image, in an OCI layout (README, "A private registry in three minutes"). */
function writeCacheImage(cache: CacheFixture, path: string): void {
  const blobs = join(path, "blobs", "sha256");
  mkdirSync(blobs, { recursive: true });
  const place = (digest: string): string => join(blobs, digest.replace("sha256:", ""));
  const store = (kind: string, content: object) => {
    const text = JSON.stringify(content);
    const digest = diffId(text);
    writeFileSync(place(digest), text);
    return { mediaType: `application/vnd.oci.image.${kind}.v1+json`, digest, size: Buffer.byteLength(text) };
  };
  const names = readdirSync(cache.committed).filter((name) => name.endsWith(".tar"));
  const layers = names.map((name) => {
    // Uncompressed, so that the blob's digest is the diffID.
    const digest = basename(name, ".tar");
    linkSync(join(cache.committed, name), place(digest));
    return { mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size: statSync(place(digest)).size };
  });
  const config = store("config", {
    os: "linux",
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    config: { Labels: { [metadataName]: readFileSync(cache.metadataPath, "utf8") } },
    rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => digest) },
  });
  const manifest = store("manifest", { schemaVersion: 2, config, layers });
  writeFileSync(join(path, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }));
  writeFileSync(join(path, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
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
  mkdirSync(layersDir);
  writeFileSync(join(layersDir, "group.toml"), groupToml(buildpacks.map(({ id, version = "" }) => ({ id, version }))));
  const runtime = { name: "runtime", metadata: { version: "22.9.0", stack: "demo" } };
  const app = [{ id: "demo/node", version: "3.1.0", layers: [runtime], store: { builds: 7 } }];
  writeFileSync(join(layersDir, "analyzed.toml"), analyzedToml({ buildpacks: app }));
}

function describeTree(tree: Snapshot): string[] {
  const entries = [...tree.values()];
  const files = entries.filter(({ type }) => type === "file");
  const count = (some: readonly unknown[], what: string): string => `${some.length} ${what}`;
  return [
    count(files, "files"),
    `${(files.reduce((sum, { size }) => sum + size, 0) / 1e6).toFixed(1)} MB`,
    count(
      entries.filter(({ type }) => type === "symlink"),
      "links",
    ),
    count(
      files.filter(({ mode }) => (Number.parseInt(mode, 8) & 0o111) !== 0),
      "executables",
    ),
  ];
}

/** Lines up rows: the first column to the left, the others to the right. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  "),
  );
}

/** Runs the restorer and passes its output on, indented, in the order in which it comes. */
async function restore(cache: CacheFixture): Promise<{ exitCode: number; seconds: number }> {
  const command = [restorerPath(), "-layers", layersDir, "-cache-dir", cache.path];
  say(`${dim("$")} ${command.map((word) => shown(word)).join(" ")}\n`);
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
  for (const line of output.trimEnd().split("\n")) say(`  ${dim("│")} ${line}`);
  return { exitCode, seconds };
}

function shown(path: string): string {
  const short = relative(process.cwd(), path);
  return path.startsWith("/") && !short.startsWith("..") ? short : path;
}

/** Prints what was expected, and whether it is so. */
function check(what: string, problems: readonly string[]): boolean {
  say(`  ${problems.length === 0 ? green("✓") : red("✗")} ${what}`);
  for (const problem of problems) say(`      ${problem}`);
  return problems.length === 0;
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
  say("  and an SBOM layer. In the blob of demo/compiler:stdlib one bit was flipped afterwards.\n");
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
      `exit code ${exitCode} after ${seconds.toFixed(2)} s: a layer that cannot be restored does not fail the build`,
      exitCode === 0 ? [] : ["it should be 0"],
    ),
    restored("demo/node:node_modules", "demo_node", "node_modules"),
    restored("demo/modules:download", "demo_modules", "download"),
    check("demo/node:node_modules has its SBOM beside it", sameFile(sbom, join(sources, "sbom", sbomFile))),
    check(
      "demo/compiler:stdlib is not there, neither contents nor metadata: its buildpack makes it anew",
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
    ["layers", shown(layersDir), "as the buildpacks of the next build find it"],
    ["metadata", shown(join(layersDir, "demo_node", "node_modules.toml")), "from the cache"],
    ["", shown(join(layersDir, "demo_node", "runtime.toml")), "of a layer that is only in the app image"],
    ["cache", shown(cache.committed), "blobs named by their digest; never written to"],
    ["", shown(cacheImage), "the same, but unspoiled, as an image for a registry: see README"],
  ];
  const width = Math.max(...places.map(([, path = ""]) => path.length));
  for (const [name = "", path = "", what = ""] of places) {
    say(`  ${name.padEnd(9)} ${path.padEnd(width)}  ${dim(what)}`);
  }
}

const buildpacks = earlierBuild();
const originals: Originals = new Map(
  buildpacks.flatMap(({ id, layers }) =>
    layers.map(({ name, tree = "" }): [string, Snapshot] => [`${id}:${name}`, snapshot(tree)]),
  ),
);
const cache = makeCache(join(home, "cache"), buildpacks, { prefix: layersDir, sbom: { tree: sbomTree() } });
writeCacheImage(cache, cacheImage);
spoil(cache.blob("demo/compiler", "stdlib"));
writeInputs(buildpacks);

showCache(originals);
say(bold("The restore"));
const fine = checkResult(originals, await restore(cache));
showPlaces(cache);
process.exitCode = fine ? 0 : 1;
