import { expect } from "bun:test";
import { chmodSync, mkdirSync } from "node:fs";
import { analyzedToml, groupToml, makeCache } from "../support/cache-fixture.ts";
import {
  differences,
  directory,
  file,
  have,
  link,
  runRestorer,
  skipUnless,
  snapshot,
  type TempDir,
  type Tree,
  tempDir,
  writeTree,
} from "../support/harness.ts";

const tree = {
  bin: { tool: file("#!/bin/sh\n", 0o755), special: file("x", 0o4755) },
  "read-only": directory({ deep: { file: file("text", 0o444) } }, 0o555),
  open: directory({ file: file("text", 0o666) }, 0o777),
  latest: link("bin/tool"),
};
const large = { ...tree, data: new Uint8Array(200_000) };

function setDefault(path: string, entries: string): boolean {
  return Bun.spawnSync(["setfacl", "-d", "-m", entries, path]).exitCode === 0;
}

function canSetDefault(): boolean {
  if (!have("setfacl")) return false;
  using dir = tempDir("acl");
  return setDefault(dir.path, "u::rwx,g::---,o::---");
}

function scene(contents: Tree): TempDir {
  const boms = { bp: { deps: { "sbom.cdx.json": "{}" } } };
  const dir = tempDir("acl", { tree: contents, boms, cache: {}, layers: {} });
  const layers = [{ name: "deps", tree: dir.join("tree"), data: { a: 1 } }];
  makeCache(dir.join("cache"), [{ id: "bp", layers }], { sbom: { tree: dir.join("boms") } });
  writeTree(dir.join("layers"), { "group.toml": groupToml([{ id: "bp" }]), "analyzed.toml": analyzedToml() });
  return dir;
}

for (const [size, contents] of [
  ["small", tree],
  ["large", large],
] as const) {
  skipUnless(canSetDefault(), "setfacl (acl), and a file system with access control lists")(
    `a default ACL that closes files leaves a ${size} layer's modes as they were`,
    async () => {
      for (const entries of ["u::rwx,g::---,o::---", "u::rwx,g::r-x,o::---", "u:12345:rwx,g::r--,o::---"]) {
        using dir = scene(contents);
        mkdirSync(dir.join("layers/bp"));
        for (const place of ["layers", "layers/bp"]) expect(setDefault(dir.join(place), entries)).toBe(true);
        const places = ["-layers", dir.join("layers"), "-cache-dir", dir.join("cache")];
        const { exitCode, stderr } = await runRestorer(places, { umask: 0o022 });
        expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
        const [made, packed] = ["layers/bp/deps", "tree"].map((path) => snapshot(dir.join(path)));
        if (made === undefined || packed === undefined) throw new Error("there are no snapshots");
        expect(differences(made, packed, { ignore: ["uid", "gid"] })).toEqual([]);
        const beside = snapshot(dir.join("layers/bp"));
        for (const name of ["deps.toml", "deps.sbom.cdx.json"]) expect(beside.get(name)?.mode).toBe("0644");
        chmodSync(dir.join("layers"), 0o755);
      }
    },
  );
}
