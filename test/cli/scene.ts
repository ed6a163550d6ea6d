import { expect } from "bun:test";
import { chownSync, existsSync } from "node:fs";
import { join } from "node:path";
import {
  type Analyzed,
  analyzedToml,
  type CachedBuildpack,
  type CacheFixture,
  type CacheOptions,
  groupToml,
  makeCache,
} from "../support/cache-fixture.ts";
import {
  canRunAs,
  differences,
  directory,
  file,
  isRoot,
  link,
  type RunOptions,
  type RunResult,
  runRestorer,
  skipUnless,
  snapshot,
  type TempDir,
  type Tree,
  tempDir,
  writeTree,
} from "../support/harness.ts";
import { canMount } from "../support/mounts.ts";

/** A directory with `layers`, `cache` and what was packed into it, ready for a run. */
export interface Scene extends Disposable {
  readonly dir: TempDir;
  readonly layers: string;
  readonly cache: CacheFixture;
  run(args?: readonly string[], options?: RunOptions): Promise<RunResult>;
}

export const layerTree: Tree = {
  bin: { tool: file("#!/bin/sh\n", 0o755) },
  "read-only": directory({ module: "text" }, 0o555),
  empty: {},
  latest: link("bin/tool"),
};

interface SceneOptions extends CacheOptions {
  /** Names of the layers in the cache, all of buildpack `bp` and with the same tree. */
  readonly layers?: readonly string[];
  readonly buildpacks?: (tree: string) => readonly CachedBuildpack[];
  readonly analyzed?: Analyzed;
  readonly group?: string;
  /** What stands in the layers directory before. */
  readonly standing?: Tree;
}

export function scene({
  layers = ["deps"],
  buildpacks,
  analyzed,
  group,
  standing,
  ...options
}: SceneOptions = {}): Scene {
  const dir = tempDir("cli", { tree: layerTree, layers: standing ?? {}, cache: {} });
  const tree = dir.join("tree");
  const packed = buildpacks?.(tree) ?? [{ id: "bp", layers: layers.map((name) => ({ name, tree, data: { name } })) }];
  const cache = makeCache(dir.join("cache"), packed, options);
  writeTree(dir.join("layers"), {
    "group.toml": group ?? groupToml(packed.map(({ id }) => ({ id }))),
    "analyzed.toml": analyzedToml(analyzed),
  });
  const base = ["-layers", dir.join("layers"), "-cache-dir", dir.join("cache")];
  return {
    dir,
    layers: dir.join("layers"),
    cache,
    run: (args = [], runOptions) => runRestorer([...base, ...args], runOptions),
    [Symbol.dispose]: () => dir[Symbol.dispose](),
  };
}

/** No stack trace, and nothing of the program's insides. */
export function expectPlain({ stdout, stderr }: { stdout: string; stderr: string }): void {
  expect(`${stdout}${stderr}`).not.toMatch(/^ +at |\.ts:|bunfs|\[object |undefined|TypeError|valibot/m);
  expect(`${stdout}${stderr}`).not.toContain("\x1b");
}

/** That a layer came back as it was packed. */
export function expectWhole({ dir, layers }: Scene, place = "bp/deps"): void {
  expect(differences(snapshot(join(layers, place)), snapshot(dir.join("tree")), { ignore: ["uid", "gid"] })).toEqual(
    [],
  );
  expect(existsSync(join(layers, `${place}.toml`))).toBe(true);
}

/** The user that root becomes for what root could always do, and whether the executable is within that user's reach. */
export const other = 65534;
export const plainUser: RunOptions = isRoot ? { uid: other, gid: other } : {};
export const canBeOther = !isRoot || canRunAs(other);
export const asUser = skipUnless(canBeOther, "setpriv, and an executable that other users may run");

export function give(path: string): void {
  if (!isRoot) return;
  for (const name of [...snapshot(path).keys()]) chownSync(join(path, name), other, other);
  chownSync(path, other, other);
}

export const withMounts = skipUnless(canMount, "root, and mount namespaces (unshare)");

/** Runs a command that ends in the executable, in the environment of {@link runRestorer}. */
export async function runWrapped(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<RunResult> {
  using home = tempDir("home");
  const child = Bun.spawn([...argv], {
    cwd: home.path,
    env: { PATH: process.env.PATH, HOME: home.path, CNB_PLATFORM_API: "0.13", CNB_KANIKO_DIR: home.path, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { exitCode: child.exitCode, signal: null, stdout, stderr };
}
