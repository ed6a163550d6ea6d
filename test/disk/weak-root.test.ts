import { describe, expect } from "bun:test";
import { chmodSync, chownSync, lstatSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { analyzedToml, groupToml, makeCache } from "../support/cache-fixture.ts";
import { type RunResult, type TempDir, tempDir, writeTree } from "../support/harness.ts";
import { give, lock, restoreWeakly, uid, weakly } from "../support/weak-root.ts";

const secret = 0o700;

/** A scene of which all belongs to the user. */
function scene(api = "0.10"): TempDir {
  const dir = tempDir("weak-root", { tree: { a: "b" }, cache: {}, files: {} });
  makeCache(dir.join("cache"), [{ id: "bp", layers: [{ name: "deps", tree: dir.join("tree") }] }]);
  writeTree(dir.path, { layers: { "group.toml": groupToml([{ id: "bp", api }]), "analyzed.toml": analyzedToml() } });
  for (const place of ["layers", "cache", "files"]) give(dir.join(place));
  return dir;
}

function restore(dir: TempDir, ...args: readonly string[]): Promise<RunResult> {
  return restoreWeakly(dir, ["-cache-dir", dir.join("cache"), ...args]);
}

async function expectRestored(dir: TempDir, ...args: readonly string[]): Promise<void> {
  const { exitCode, stdout, stderr } = await restore(dir, ...args);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(stdout).toContain("Restored 1 layer");
  for (const name of ["bp", "bp/deps", "bp/deps/a", "bp/deps.toml"]) {
    expect(lstatSync(dir.join("layers", name)).uid).toBe(uid);
  }
}

describe("root that mode bits hold for restores as the user whom it becomes", () => {
  weakly("a layers directory of the user's that root may not enter", async () => {
    using dir = scene();
    chmodSync(dir.join("layers"), 0o750);
    await expectRestored(dir);
  });

  weakly("group.toml and analyzed.toml that only the user may read", async () => {
    using dir = scene();
    for (const name of ["group.toml", "analyzed.toml"]) chmodSync(dir.join("layers", name), 0o600);
    await expectRestored(dir);
  });

  weakly("a cache that only the user may enter", async () => {
    using dir = scene();
    lock(dir.join("cache"));
    await expectRestored(dir, "-strict");
  });

  weakly("inputs in a directory of the user's, and the report there", async () => {
    using dir = scene();
    writeFileSync(dir.join("files/run.toml"), "");
    writeFileSync(dir.join("files/group.toml"), readFileSync(dir.join("layers/group.toml")));
    give(dir.join("files"));
    lock(dir.join("files"));
    const files = ["-run", dir.join("files/run.toml"), "-group", dir.join("files/group.toml")];
    await expectRestored(dir, ...files, "-report", dir.join("files/report.json"));
    expect(statSync(dir.join("files/report.json")).uid).toBe(uid);
  });

  weakly("into root's directory that holds directories of the user's and of others", async () => {
    using dir = scene();
    for (const [name, owner] of [
      ["users", uid],
      ["others", uid + 1],
    ] as const) {
      mkdirSync(dir.join("layers", name), secret);
      chownSync(dir.join("layers", name), owner, owner);
    }
    chownSync(dir.join("layers"), 0, 0);
    await expectRestored(dir);
    expect(lstatSync(dir.join("layers/others"))).toMatchObject({ uid, gid: uid });
  });
});

describe("root that mode bits hold for tells", () => {
  weakly("what is missing from what is denied", async () => {
    using dir = scene();
    chmodSync(dir.join("layers"), secret);
    rmSync(dir.join("layers/group.toml"));
    const missing = await restore(dir);
    expect(missing).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("no such file or directory") });
    writeFileSync(dir.join("files/group.toml"), "", { mode: 0o600 });
    chownSync(dir.join("files/group.toml"), uid + 1, uid + 1);
    const denied = await restore(dir, "-group", dir.join("files/group.toml"));
    expect(denied).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("permission denied") });
  });

  weakly("in a report of the user's why a run fails before root is that user", async () => {
    using dir = scene("0.1");
    chmodSync(dir.join("files"), secret);
    const { exitCode, stderr } = await restore(dir, "-report", dir.join("files/report.json"));
    expect(stderr).not.toContain("write report");
    expect(exitCode).toBe(12);
    expect(JSON.parse(readFileSync(dir.join("files/report.json"), "utf8")).error.text).toContain('"bp"');
  });
});
