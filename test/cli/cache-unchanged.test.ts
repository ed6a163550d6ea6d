import { describe, expect, test } from "bun:test";
import { chmodSync, lstatSync } from "node:fs";
import { join } from "node:path";
import { restorerPath, snapshot, writeTree } from "../support/harness.ts";
import { asUser, expectWhole, give, plainUser, runWrapped, scene, withMounts } from "./scene.ts";

describe("the cache is only ever read", () => {
  /** Names, contents, modes and times of all that the cache holds. */
  function everything(path: string): unknown {
    const entries = [...snapshot(path)];
    return entries.map(([name, entry]) => [name, entry, lstatSync(join(path, name), { bigint: true }).mtimeNs]);
  }

  test("nothing in it changes, leftovers of an exporter included", async () => {
    using made = scene();
    writeTree(made.cache.path, { staging: { "half.tar": "x" }, "committed-backup": { old: "" } });
    const before = everything(made.cache.path);
    expect((await made.run()).exitCode).toBe(0);
    expect(everything(made.cache.path)).toEqual(before);
    expectWhole(made);
  });

  test("after a crash between the exporter's renames it is read from committed-backup, which stays", async () => {
    using made = scene({ directory: "committed-backup" });
    const before = everything(made.cache.path);
    const { exitCode, stderr } = await made.run();
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expectWhole(made);
    expect(everything(made.cache.path)).toEqual(before);
  });

  withMounts("it may be mounted read-only", async () => {
    using made = scene();
    const script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && ! touch "$0/x" 2>/dev/null && exec "$@"';
    const args = [restorerPath(), "-layers", made.layers, "-cache-dir", made.cache.path];
    const result = await runWrapped(["unshare", "-m", "sh", "-c", script, made.cache.path, ...args]);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expectWhole(made);
  });

  asUser("it may belong to another user, and be closed to writers", async () => {
    using made = scene();
    give(made.layers);
    chmodSync(made.cache.blob("bp", "deps"), 0o444);
    chmodSync(made.cache.committed, 0o555);
    const result = await made.run([], plainUser);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expectWhole(made);
    chmodSync(made.cache.committed, 0o755);
  });
});
