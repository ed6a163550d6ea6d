import { expect, test } from "bun:test";
import { chmodSync, createWriteStream, linkSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { pack as packTarFs } from "tar-fs";
import { makeBenchCache } from "../../bench/make-cache.ts";
import { analyzedToml, groupToml, makeCache } from "../support/cache-fixture.ts";
import {
  differences,
  directory,
  file,
  have,
  isRoot,
  joinBytes,
  link,
  runRestorer,
  skipUnless,
  snapshot,
  type TempDir,
  type Tree,
  tempDir,
} from "../support/harness.ts";

const withTar = skipUnless(have("tar") && isGnuTar(), "GNU tar");

/** GNU tar is the judge; the owner is whoever runs, as for a restore. */
function extract(blob: string, into: string): void {
  run(["tar", "-x", "-p", "--no-same-owner", "-C", into, "-f", blob]);
}

function isGnuTar(): boolean {
  return Bun.spawnSync(["tar", "--version"]).stdout.includes("GNU tar");
}

function run(argv: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync([...argv], { env: { PATH: process.env.PATH, LC_ALL: "C" } });
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
}

interface Restored {
  readonly id: string;
  readonly layer: string;
  readonly blob: string;
}

/** Restores a cache under an unkind umask and holds each layer against GNU tar's extraction of the same blob. */
async function expectAsGnuTar(dir: TempDir, cachePath: string, prefix: string, restored: readonly Restored[]) {
  const layers = dir.join("restored");
  mkdirSync(layers);
  writeFileSync(
    join(layers, "group.toml"),
    groupToml([...new Set(restored.map(({ id }) => id))].map((id) => ({ id }))),
  );
  writeFileSync(join(layers, "analyzed.toml"), analyzedToml());
  const args = ["-layers", layers, "-cache-dir", cachePath];
  const { exitCode, stderr } = await runRestorer(args, { umask: 0o077 });
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });

  for (const [index, { id, layer, blob }] of restored.entries()) {
    const judge = dir.join(`judge-${index}`);
    mkdirSync(judge);
    extract(blob, judge);
    const place = join(id.replaceAll("/", "_"), layer);
    const expected = snapshot(join(judge, prefix, place));
    expect(expected.size).toBeGreaterThan(0);
    expect(differences(snapshot(join(layers, place)), expected)).toEqual([]);
  }
}

withTar(
  "layers of many small files, few large ones and read-only directories come back as GNU tar extracts them",
  async () => {
    using dir = tempDir("oracle");
    const cache = makeBenchCache(dir.path, { kind: "volume", layersDir: "/layers", bytes: 60e6, files: 6000 });
    const restored = cache.layers.map(({ buildpack, name, blob }) => ({ id: buildpack, layer: name, blob }));
    await expectAsGnuTar(dir, cache.path, "layers", restored);
  },
);

/** What real trees hold once in a while. */
function unusualTree(root: string, { longNames = true } = {}): void {
  const bytes = Buffer.from(root);
  writeFileSync(joinBytes(bytes, Buffer.from([0x6e, 0xff, 0xfe])), "a name that is not UTF-8");
  symlinkSync(Buffer.from([0xe9, 0x2f, 0x80]), joinBytes(bytes, Buffer.from("link to bytes")));
  linkSync(join(root, "bin/tool"), join(root, "bin/same tool"));
  linkSync(join(root, "bin/tool"), join(root, "a/earlier in the walk"));
  if (!longNames) return;
  const deep = join(root, ...Array.from({ length: 12 }, (_, index) => `level-${index}-${"d".repeat(40)}`));
  mkdirSync(deep, { recursive: true });
  writeFileSync(join(deep, "f".repeat(255)), "deep and long");
  symlinkSync("../".repeat(100), join(deep, "l".repeat(150)));
  chmodSync(deep, 0o555);
}

const unusual: Tree = {
  empty: {},
  "empty file": "",
  a: { späße: "unicode", "\u202egnp": "bidi", "new\nline": "", "back\\slash": "", " ": "space" },
  bin: { tool: file("#!/bin/sh\n", 0o755), alias: link("tool"), setuid: file("s", 0o4755), both: file("b", 0o6711) },
  modes: {
    closed: directory({ "no one reads me": file("x", isRoot ? 0 : 0o400) }, 0o500),
    sticky: directory({}, 0o1777),
    setgid: directory({ f: "x" }, 0o2775),
    "read-only": directory({ nested: directory({ f: file("x", 0o444) }, 0o555) }, 0o555),
  },
  links: {
    dangling: link("../nowhere"),
    absolute: link("/opt/x/y"),
    up: link("../../../../../../etc"),
    self: link("self"),
  },
  "exactly one block": "x".repeat(512),
  "one block and a byte": "x".repeat(513),
  "larger than a read": Buffer.alloc(5 * 1024 * 1024 + 1, "real "),
};

withTar("an unusual tree packed as the exporter does comes back as GNU tar extracts it", async () => {
  using dir = tempDir("oracle", { source: unusual });
  unusualTree(dir.join("source"));
  const cache = makeCache(dir.join("cache"), [{ id: "a/b", layers: [{ name: "odd", tree: dir.join("source") }] }]);
  await expectAsGnuTar(dir, cache.path, "layers", [{ id: "a/b", layer: "odd", blob: cache.blob("a/b", "odd") }]);
});

for (const format of ["gnu", "posix", "ustar"] as const) {
  withTar(`an unusual tree packed by GNU tar in its ${format} format comes back as GNU tar extracts it`, async () => {
    using dir = tempDir("oracle", { root: { layers: { a_b: { odd: unusual } } } });
    unusualTree(dir.join("root/layers/a_b/odd"), { longNames: format !== "ustar" });
    const tar = dir.join("odd.tar");
    run(["tar", "-c", `--format=${format}`, "--sort=name", "-C", dir.join("root"), "-f", tar, "layers"]);
    await expectTarAsGnuTar(dir, tar);
  });
}

withTar("a tree packed by tar-fs comes back as GNU tar extracts it", async () => {
  using dir = tempDir("oracle", { root: { layers: { a_b: { odd: unusual } } } });
  const tar = dir.join("odd.tar");
  // tar-fs lists breadth first and ends the names of directories with a slash.
  const options = { entries: ["layers"], umask: 0 };
  await pipeline(packTarFs(dir.join("root"), options), createWriteStream(tar));
  await expectTarAsGnuTar(dir, tar);
});

async function expectTarAsGnuTar(dir: TempDir, tar: string): Promise<void> {
  const contents = await Bun.file(tar).bytes();
  const cache = makeCache(dir.join("cache"), [{ id: "a/b", layers: [{ name: "odd", tar: contents }] }]);
  await expectAsGnuTar(dir, cache.path, "layers", [{ id: "a/b", layer: "odd", blob: cache.blob("a/b", "odd") }]);
}

test("the judge is GNU tar itself: a changed mode, byte or link in a tree is seen", () => {
  using dir = tempDir("oracle", {
    one: { f: "x", l: link("f"), d: {} },
    two: { f: "y", l: link("g"), d: directory({}, 0o700) },
  });
  expect(differences(snapshot(dir.join("one")), snapshot(dir.join("two"))).map((line) => line.split(":")[0])).toEqual([
    "d",
    "f",
    "l",
  ]);
});
