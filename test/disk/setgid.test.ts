import { describe, expect } from "bun:test";
import { chmodSync, chownSync, lstatSync, mkdirSync } from "node:fs";
import { analyzedToml, groupToml, makeCache } from "../support/cache-fixture.ts";
import {
  differences,
  directory,
  file,
  isRoot,
  link,
  restorerPath,
  runRestorer,
  skipUnless,
  snapshot,
  type TempDir,
  tempDir,
  writeTree,
} from "../support/harness.ts";
import { canInject, withInjected } from "../support/refusing.ts";

const withRoot = skipUnless(isRoot, "root");
const group = 4242;
const user = 12345;

const tree = {
  bin: { tool: file("#!/bin/sh\n", 0o755) },
  "read-only": directory({ deep: { file: "text" } }, 0o555),
  empty: directory({}, 0o700),
  inherited: directory({ inherited: directory({}, 0o2755) }, 0o2755),
  latest: link("bin/tool"),
};

/** Restores a layer with SBOM file and store; `prepare` makes setgid directories in the layers directory. */
async function restored(prepare: (layers: string) => void, ...args: readonly string[]): Promise<TempDir> {
  const boms = { bp: { deps: { "sbom.cdx.json": "{}" } } };
  const dir = tempDir("setgid", { tree, boms, cache: {}, layers: {} });
  const sbom = { tree: dir.join("boms") };
  makeCache(dir.join("cache"), [{ id: "bp", layers: [{ name: "deps", tree: dir.join("tree") }] }], { sbom });
  writeTree(dir.join("layers"), { "group.toml": groupToml([{ id: "bp" }]), "analyzed.toml": analyzedToml() });
  prepare(dir.join("layers"));
  const places = ["-layers", dir.join("layers"), "-cache-dir", dir.join("cache")];
  const { exitCode, stderr } = await runRestorer([...places, ...args]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  return dir;
}

function setgid(path: string, owner: number): void {
  chownSync(path, owner, group);
  chmodSync(path, 0o2775);
}

/** Groups of the layer, its files and the files beside it. */
function groupsOf(dir: TempDir): number[] {
  const bp = dir.join("layers/bp");
  return [...new Set([...snapshot(bp).keys()].map((name) => lstatSync(`${bp}/${name}`).gid))];
}

function expectModesOf(dir: TempDir): void {
  const at = (path: string) => snapshot(dir.join(path));
  expect(differences(at("layers/bp/deps"), at("tree"), { ignore: ["uid", "gid"] })).toEqual([]);
}

describe("a layer gets the group of the setgid directory it is restored in, modes as the archive says:", () => {
  const places: readonly (readonly [what: string, prepare: (layers: string, owner: number) => void])[] = [
    ["the layers directory", (layers, owner) => setgid(layers, owner)],
    [
      "the buildpack's directory alone",
      (layers, owner) => {
        chownSync(layers, owner, owner);
        mkdirSync(`${layers}/bp`);
        setgid(`${layers}/bp`, owner);
      },
    ],
  ];
  for (const [what, prepare] of places) {
    for (const [who, owner, args] of [
      ["root", 0, []],
      ["a user who is not of that group", user, ["-uid", String(user), "-gid", String(user)]],
    ] as const) {
      withRoot(`${what}, as ${who}`, async () => {
        using dir = await restored((layers) => prepare(layers, owner), ...args);
        expect(groupsOf(dir)).toEqual([group]);
        expectModesOf(dir);
        expect(lstatSync(dir.join("layers/bp")).mode & 0o2000).toBe(0o2000);
      });
    }
  }

  skipUnless(isRoot && canInject, "root and strace")("also where it is made in its place", async () => {
    using dir = await restored((layers) => setgid(layers, user), "-uid", String(user), "-gid", String(user));
    const command = withInjected([["rename", "error=EXDEV"]], restorerPath());
    const places = ["-layers", dir.join("layers"), "-cache-dir", dir.join("cache")];
    const again = await runRestorer([...places, "-uid", String(user), "-gid", String(user)], { command });
    expect(again).toMatchObject({ exitCode: 0, stderr: "" });
    expect(groupsOf(dir)).toEqual([group]);
    expectModesOf(dir);
  });

  withRoot("but not where a directory without setgid lies between", async () => {
    using dir = await restored((layers) => {
      setgid(layers, 0);
      mkdirSync(`${layers}/bp`);
      chmodSync(`${layers}/bp`, 0o755);
      chownSync(`${layers}/bp`, 0, 0);
    });
    expect(groupsOf(dir)).toEqual([0]);
  });
});
