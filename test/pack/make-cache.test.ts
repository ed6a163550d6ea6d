import { describe, expect, test } from "bun:test";
import {
  closeSync,
  linkSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Directory } from "../../lib/disk/directory.ts";
import { packLayer } from "../../lib/pack/pack-layer.ts";
import { layerTree } from "../cli/scene.ts";
import { groupToml, metadataName } from "../support/cache-fixture.ts";
import {
  file,
  joinBytes,
  link,
  type RunResult,
  runRestorer,
  type TempDir,
  type Tree,
  tempDir,
} from "../support/harness.ts";
import { type TarEntry, tarOf } from "../support/raw-tar.ts";

const cached = "[types]\ncache = true\n[metadata]\nversion = 1\n";

/** A layers directory of two buildpacks. */
function layersOf(tree: Tree = {}): TempDir {
  return tempDir("make-cache", {
    layers: {
      "group.toml": groupToml([{ id: "bp", version: "1.2.3" }, { id: "example/other" }]),
      bp: {
        deps: layerTree,
        "deps.toml": "[types]\ncache = true\nbuild = true\n[metadata]\nlarge = 9223372036854775807\nhalf = 0.5\n",
        restored: layerTree,
        "restored.toml": "[metadata]\n",
        launched: {},
        "launched.toml": "[types]\nlaunch = true\n",
        empty: {},
        "absent.toml": cached,
        "store.toml": "[metadata]\n",
      },
      example_other: { mod: { a: "text" }, "mod.toml": cached },
      ...tree,
    },
  });
}

function make(dir: TempDir, ...args: string[]): Promise<RunResult> {
  return runRestorer(["make-cache", "-layers", dir.join("layers"), "-cache-dir", dir.join("new"), ...args]);
}

const metadataOf = (dir: TempDir) => readFileSync(dir.join("new/committed", metadataName), "utf8");

describe("restorer make-cache", () => {
  test("packs the layers that are to be cached, and says why not the others", async () => {
    using dir = layersOf();
    const { exitCode, stdout, stderr } = await make(dir, "-output", "json");
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    const codes = JSON.parse(stdout).layers.map(({ buildpack, layer, code }: Record<string, string>) => [
      `${buildpack}:${layer}`,
      code,
    ]);
    expect(codes).toEqual([
      ["bp:absent", "no-contents"],
      ["bp:deps", "packed"],
      ["bp:empty", "no-toml"],
      ["bp:launched", "cache-false"],
      ["bp:restored", "no-types"],
      ["example/other:mod", "packed"],
    ]);
    const { buildpacks } = JSON.parse(metadataOf(dir));
    expect(buildpacks).toMatchObject([
      { key: "bp", version: "1.2.3", layers: { deps: { build: true, launch: false, cache: true } } },
      { key: "example/other", version: "1.0.0", layers: { mod: { data: { version: 1 } } } },
    ]);
    expect(metadataOf(dir)).toContain('"data":{"large":9223372036854775807,"half":0.5}');
    expect(readdirSync(dir.join("new"))).toEqual(["committed"]);
    expect((await runRestorer(["verify", dir.join("new")])).exitCode).toBe(0);
  });

  test("packs what -only names, whatever its types are, and nothing else", async () => {
    using dir = layersOf();
    const { exitCode, stdout } = await make(dir, "-only", "restored");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^packed +bp:restored .*named by -only/m);
    const [{ layers }] = JSON.parse(metadataOf(dir)).buildpacks;
    expect(layers).toEqual({ restored: expect.objectContaining({ cache: true, launch: false, build: false }) });
  });

  test("warns of a cache without layers, and says how to name those that a restore left", async () => {
    using dir = layersOf();
    for (const toml of ["bp/deps.toml", "example_other/mod.toml"]) writeFileSync(dir.join("layers", toml), "");
    const { exitCode, stderr } = await make(dir);
    expect(exitCode).toBe(0);
    expect(stderr).toBe(
      'Warning: The cache that was made holds no layer: "bp:deps" and 2 others stand as a restore leaves them, without [types]. To pack them all the same, name each: -only deps\n',
    );
    rmSync(dir.join("new"), { recursive: true });
    expect(await make(dir, "-only", "deps")).toMatchObject({ exitCode: 0, stderr: "" });
    rmSync(dir.join("new"), { recursive: true });
    for (const buildpack of ["bp", "example_other"]) rmSync(dir.join("layers", buildpack), { recursive: true });
    expect((await make(dir)).stderr).toBe(
      "Warning: The cache that was made holds no layer: none has cache=true in its toml\n",
    );
    rmSync(dir.join("new"), { recursive: true });
    const { warnings } = JSON.parse((await make(dir, "-output", "json")).stdout);
    expect(warnings).toMatchObject([{ code: "empty-cache" }]);
  });

  test("takes every directory for a buildpack where there is no group", async () => {
    using dir = tempDir("make-cache", { layers: { bp: { deps: {}, "deps.toml": cached }, sbom: {} } });
    const { exitCode, stderr } = await make(dir);
    expect({ exitCode, buildpacks: JSON.parse(metadataOf(dir)).buildpacks.length }).toEqual({
      exitCode: 0,
      buildpacks: 1,
    });
    expect(stderr).toContain("taking every directory for a buildpack");
  });

  test("refuses a directory that holds anything, and leaves it as it is", async () => {
    using dir = layersOf();
    writeFileSync(dir.join("new"), "");
    expect(await make(dir)).toMatchObject({ exitCode: 1, stdout: "" });
    const inLayers = await make(dir, "-cache-dir", dir.join("layers/bp"));
    expect(inLayers).toMatchObject({
      exitCode: 1,
      stdout: "",
      stderr: expect.stringContaining(
        "lies in the layers directory\nName a directory outside of the layers directory.\n",
      ),
    });
    const full = await make(dir, "-cache-dir", dir.path);
    expect(full).toMatchObject({ exitCode: 1, stdout: "", stderr: expect.stringContaining("it is not empty") });
    expect(readdirSync(dir.path).sort()).toEqual(["layers", "new"]);
    const unnamed = await runRestorer(["make-cache", "-layers", dir.join("layers")]);
    expect(unnamed).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("-cache-dir NEW") });
  });

  test("packs no fifo, says where it stands, and takes away what it began", async () => {
    using dir = layersOf();
    Bun.spawnSync(["mkfifo", dir.join("layers/example_other/mod/pipe")]);
    const { exitCode, stderr } = await make(dir);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('"example_other/mod/pipe": it is a fifo, which no layer may hold');
    expect(readdirSync(dir.path)).toEqual(["layers"]);
  });

  test("follows no link: neither one that is packed, nor one in the place of a layer", async () => {
    using dir = layersOf({ secret: { key: "secret" } });
    const layer = dir.join("layers/bp/linked");
    await Bun.write(`${layer}.toml`, cached);
    Bun.spawnSync(["ln", "-s", dir.join("layers/secret"), layer]);
    Bun.spawnSync(["ln", "-s", dir.join("layers/secret"), dir.join("layers/bp/deps/out")]);
    const { stdout } = await make(dir);
    expect(stdout).toMatch(/^skipped +bp:linked .*no directory/m);
    const listed = await runRestorer(["inspect", dir.join("new"), "bp:deps"]);
    expect(listed.stdout).toMatch(/^l\S+ +0 out -> \S+secret$/m);
    expect(listed.stdout).not.toContain("out/key");
  });
});

/** What stands at a path and below as entries of a raw archive: a second opinion on how a layer is packed. */
function entriesOf(path: Buffer, name: Buffer): TarEntry[] {
  const stat = lstatSync(path);
  const common = { name, mode: stat.mode & 0o7777, uid: 7, gid: 8 };
  if (stat.isSymbolicLink())
    return [{ ...common, type: "symlink", linkname: readlinkSync(path, { encoding: "buffer" }) }];
  if (!stat.isDirectory()) return [{ ...common, data: readFileSync(path) }];
  const names = readdirSync(path, { encoding: "buffer" }).sort(Buffer.compare);
  const below = names.flatMap((child) => entriesOf(joinBytes(path, child), joinBytes(name, child)));
  return [{ ...common, type: "directory" }, ...below];
}

describe("a layer is packed as another packer does it, for", () => {
  const deep = "d/".repeat(60);
  const trees: readonly (readonly [what: string, tree: Tree])[] = [
    ["links, modes and empty directories", layerTree],
    ["long names", { [`${"long-".repeat(30)}.js`]: "1", [`${deep}${"x".repeat(90)}`]: "2", to: link("t".repeat(180)) }],
    ["names in the order of bytes", { a: { b: "" }, "a-b": "", "a.b": "", A: "", ä: "", "\u{1f600}": "" }],
    [
      "files of every size around a block",
      Object.fromEntries([0, 1, 511, 512, 513, 1 << 20].map((n) => [`f${n}`, new Uint8Array(n).fill(7)])),
    ],
    ["setuid and the sticky bit", { s: file("x", 0o4755), t: file("x", 0o1644) }],
  ];
  test.each(trees)("%s", async (_, tree) => {
    using dir = tempDir("pack", { layers: { bp: { deps: tree } }, blobs: {} });
    const place = dir.join("layers/bp/deps");
    // A hard link is one more file; names need not be UTF-8.
    writeFileSync(joinBytes(Buffer.from(place), Buffer.from([0xff, 0x41])), "bytes");
    linkSync(joinBytes(Buffer.from(place), Buffer.from([0xff, 0x41])), join(place, "same"));
    const entries = entriesOf(Buffer.from(place), Buffer.from("/layers/bp/deps"));
    const other = tarOf(entries);
    using layers = Directory.open(dir.join("layers"));
    const fd = openSync(dir.join("blobs/own"), "wx");
    const { signal } = new AbortController();
    const job = { layers, path: "bp/deps", prefix: "/layers", above: [], uid: 7, gid: 8, fd, signal };
    const packed = await packLayer(job).finally(() => closeSync(fd));
    const own = readFileSync(dir.join("blobs/own"));
    // Two directories above belong to whoever runs the tests.
    expect(own.subarray(1024).equals(other)).toBe(true);
    expect(packed).toMatchObject({ size: other.length + 1024, entries: entries.length });
  });
});
