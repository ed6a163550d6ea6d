/** The places in which examples of docs/ are run: a directory with layers, caches and what has happened to them. */
import { appendFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  analyzedToml,
  type CachedBuildpack,
  type CacheFixture,
  groupToml,
  makeCache,
} from "../support/cache-fixture.ts";
import {
  directory,
  file,
  link,
  removeTree,
  restorerPath,
  type TempDir,
  type Tree,
  tempDir,
  writeTree,
} from "../support/harness.ts";

const nodeModules: Tree = {
  ".package-lock.json": "{}",
  express: { "package.json": '{ "name": "express" }', "index.js": "module.exports = {};\n".repeat(40) },
  lodash: { "package.json": '{ "name": "lodash" }', "lodash.js": "// lodash\n".repeat(900) },
  ".bin": { express: link("../express/index.js") },
};
const jdk: Tree = {
  bin: { java: file(new Uint8Array(60_000).fill(1), 0o755), javac: file(new Uint8Array(9_000).fill(2), 0o755) },
  lib: { modules: file(new Uint8Array(300_000).fill(3)), security: { cacerts: "certificates" } },
  release: 'JAVA_VERSION="21.0.4"\n',
};
const download: Tree = { "example.com@v1.2.0": directory({ "go.mod": file("module example.com\n", 0o444) }, 0o555) };

const group = [
  { id: "example/java", version: "1.4.0" },
  { id: "example/node", version: "3.1.0" },
];

function buildpacks(dir: TempDir): CachedBuildpack[] {
  return [
    {
      id: "example/java",
      version: "1.4.0",
      layers: [
        { name: "jdk", tree: dir.join("jdk"), build: true, launch: true, data: { version: "21.0.4" } },
        { name: "maven", cache: false, build: true },
      ],
    },
    {
      id: "example/node",
      version: "3.1.0",
      layers: [{ name: "node_modules", tree: dir.join("node_modules"), build: true, data: { lockfile: "6b1f" } }],
    },
    { id: "example/old-go", version: "0.9.0", layers: [{ name: "mod", tree: dir.join("download"), build: true }] },
  ];
}

interface Place {
  readonly dir: TempDir;
  readonly cache: CacheFixture;
}

/** What has happened, by the name that a document gives it. */
const happenings: Readonly<Record<string, (place: Place) => void>> = {
  healthy: () => {},
  /** App image and cache were exported by different builds. */
  stale: ({ dir }) => writeAnalyzed(dir, `sha256:${"5".repeat(64)}`),
  missing: ({ cache }) => unlinkSync(cache.blob("example/node", "node_modules")),
  corrupt: ({ cache }) => {
    const path = cache.blob("example/node", "node_modules");
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(path, bytes);
  },
  grown: ({ cache }) => {
    writeFileSync(join(cache.committed, `sha256:${"0".repeat(64)}.tar`), new Uint8Array(5_000_000));
    mkdirSync(join(cache.path, "staging"));
    writeFileSync(join(cache.path, "staging", `sha256:${"1".repeat(64)}.tar`), new Uint8Array(700_000));
  },
  empty: ({ cache }) => removeTree(cache.committed),
  "no-cache": ({ cache }) => removeTree(cache.path),
  /** A buildpack has made its layer in a somewhat other way; layers stand, with their types. */
  rebuilt: ({ dir }) => {
    for (const [place, tree] of [
      ["example_java/jdk", jdk],
      ["example_node/node_modules", nodeModules],
    ] as const) {
      mkdirSync(dir.join("layers", place), { recursive: true });
      writeTree(dir.join("layers", place), tree);
      writeFileSync(dir.join("layers", `${place}.toml`), "[types]\ncache = true\nbuild = true\n");
    }
    rmSync(dir.join("cache"), { recursive: true });
    Bun.spawnSync([restorerPath(), "make-cache", "-layers", dir.join("layers"), "-cache-dir", dir.join("cache")], {
      env: {},
    });
    appendFileSync(dir.join("layers/example_node/node_modules/.package-lock.json"), "\n");
  },
};

function writeAnalyzed(dir: TempDir, jdkSha: string): void {
  const layers = [
    { name: "jdk", sha: jdkSha, build: true, cache: true, metadata: { version: "21.0.4" } },
    { name: "jre", metadata: { version: "21.0.4" } },
  ];
  writeFileSync(
    dir.join("layers/analyzed.toml"),
    analyzedToml({ buildpacks: [{ id: "example/java", version: "1.4.0", layers }] }),
  );
}

/** Makes a place; `bin` is to come first in PATH, and holds the executable. */
export function docsScene(name: string): TempDir {
  const happened = happenings[name];
  if (happened === undefined) throw new Error(`no scene is called ${name}`);
  const dir = tempDir("docs", {
    jdk,
    node_modules: nodeModules,
    download,
    layers: { "group.toml": groupToml(group) },
    bin: {},
  });
  const cache = makeCache(dir.join("cache"), buildpacks(dir));
  makeCache(
    dir.join("yesterday"),
    buildpacks(dir)
      .slice(0, 2)
      .map((buildpack) => ({
        ...buildpack,
        layers: buildpack.layers.map((layer) => ({
          ...layer,
          ...(layer.name === "node_modules" ? { tree: dir.join("jdk/lib"), data: { lockfile: "41aa" } } : {}),
        })),
      })),
  );
  writeAnalyzed(dir, cache.sha("example/java", "jdk"));
  symlinkSync(restorerPath(), dir.join("bin/restorer"));
  happened({ dir, cache });
  return dir;
}
