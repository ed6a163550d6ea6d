import { describe, expect, test } from "bun:test";
import { readdirSync, readlinkSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RestorerError } from "../../lib/failures.ts";
import { writeAnalyzed } from "../../lib/images/write-analyzed.ts";
import { StreamLog } from "../../lib/log.ts";
import { readAnalyzed } from "../../lib/toml/analyzed.ts";
import { formatToml, readToml } from "../../lib/toml/toml.ts";
import { isTable, type TomlTable } from "../../lib/toml/values.ts";
import { isRoot, skipUnless, tempDir } from "../support/harness.ts";
import { canMount } from "../support/mounts.ts";

const shared = (layersDir: string) => ({ layersDir, kanikoDir: "/nonexistent", cacheDirs: [] });

describe("writing analyzed.toml", () => {
  const table: TomlTable = { image: { reference: "r" }, mine: { int: 1n, float: 1 } };

  test("it is whole or not there at all: a temporary file beside it takes its place, with its mode", () => {
    using dir = tempDir("write", { layers: { "analyzed.toml": "old = 1\n" } });
    const path = dir.join("layers/analyzed.toml");
    const before = statSync(path);
    writeAnalyzed(path, table, shared(dir.join("layers")), 0o077);
    const after = statSync(path);
    expect(readToml(path)).toEqual(table);
    expect(after.mode).toBe(before.mode);
    expect(after.ino).not.toBe(before.ino);
    expect(readdirSync(dir.join("layers"))).toEqual(["analyzed.toml"]);
  });

  test("a new one has the mode that the umask leaves", () => {
    using dir = tempDir("write", { layers: {} });
    const path = dir.join("layers/analyzed.toml");
    writeAnalyzed(path, table, shared(dir.join("layers")), 0o027);
    expect(statSync(path).mode & 0o7777).toBe(0o640);
  });

  skipUnless(isRoot, "root")("it keeps its owner", () => {
    using dir = tempDir("write", { layers: {} });
    const path = dir.join("layers/analyzed.toml");
    writeFileSync(path, "");
    Bun.spawnSync(["chown", "1234:5678", path]);
    writeAnalyzed(path, table, shared(dir.join("layers")), 0o022);
    expect(statSync(path)).toMatchObject({ uid: 1234, gid: 5678 });
  });

  test.each([
    ["the platform put it there, outside of the layers directory", "work/analyzed.toml", "../elsewhere/real.toml"],
    ["it stays inside of the layers directory", "layers/analyzed.toml", "real.toml"],
  ])("a link is written through where %s", (_, name, target) => {
    using dir = tempDir("link", { layers: {}, work: {}, elsewhere: {} });
    const path = dir.join(name);
    const real = join(path, "..", target);
    writeFileSync(real, "old = 1\n");
    symlinkSync(target, path);
    const { ino } = statSync(real);
    writeAnalyzed(path, table, shared(dir.join("layers")), 0o022);
    expect(readlinkSync(path)).toBe(target);
    expect(statSync(real).ino).toBe(ino);
    expect(readToml(real)).toEqual(table);
  });

  test.each([
    ["leads out of the layers directory", "{outside}/victim.toml"],
    ["leads out of it by a relative path", "../outside/victim.toml"],
    ["leads nowhere", "{outside}/absent.toml"],
  ])("a link in the layers directory that %s is replaced, not followed", (_, target) => {
    using dir = tempDir("link", { layers: {}, outside: { "victim.toml": "mine = true\n" } });
    const path = dir.join("layers/analyzed.toml");
    symlinkSync(target.replace("{outside}", dir.join("outside")), path);
    writeAnalyzed(path, table, shared(dir.join("layers")), 0o022);
    expect(readToml(path)).toEqual(table);
    expect(readToml(dir.join("outside/victim.toml"))).toEqual({ mine: true });
    expect(readdirSync(dir.join("outside"))).toEqual(["victim.toml"]);
  });

  const mount = skipUnless(canMount, "root, and mount namespaces (unshare)");
  mount("a file that is a mount point is written in place", () => {
    using dir = tempDir("mount", { layers: { "analyzed.toml": "" }, "real.toml": "old = 1\n" });
    const script = `
      import { writeAnalyzed } from ${JSON.stringify(join(import.meta.dir, "../../lib/images/write-analyzed.ts"))};
      writeAnalyzed("layers/analyzed.toml", { written: true }, { layersDir: "layers", kanikoDir: "/nonexistent", cacheDirs: [] }, 0o022);
    `;
    const command = 'mount --bind real.toml layers/analyzed.toml && exec "$0" -e "$1"';
    const { exitCode, stderr } = Bun.spawnSync(["unshare", "-m", "sh", "-c", command, process.execPath, script], {
      cwd: dir.path,
    });
    expect({ exitCode, stderr: stderr.toString() }).toEqual({ exitCode: 0, stderr: "" });
    expect(readToml(dir.join("real.toml"))).toEqual({ written: true });
    expect(readdirSync(dir.join("layers"))).toEqual(["analyzed.toml"]);
  });

  test("what cannot be written is an error with exit code 42, and nothing is left behind", () => {
    using dir = tempDir("write", { layers: { "analyzed.toml": {} } });
    const write = () => writeAnalyzed(dir.join("layers/analyzed.toml"), table, shared(dir.join("layers")), 0o022);
    expect(write).toThrow(RestorerError);
    expect(write).toThrow(expect.objectContaining({ exitCode: 42 }));
    expect(readdirSync(dir.join("layers"))).toEqual(["analyzed.toml"]);
    expect(() => writeAnalyzed(dir.join("absent/analyzed.toml"), table, shared(dir.path), 0o022)).toThrow(
      expect.objectContaining({ exitCode: 42 }),
    );
  });

  test("keys that nobody knows come back as they were read", () => {
    const text =
      '[image]\nreference = "r"\nextra = 1\n[unknown]\ni = 1\nf = 1.0\nd = 1979-05-27T00:32:00-07:00\n"__proto__" = "x"\n';
    using dir = tempDir("keep", { "analyzed.toml": text });
    const analyzed = readAnalyzed(dir.join("analyzed.toml"), new StreamLog("error"));
    if (analyzed === undefined) throw new Error("not read");
    writeAnalyzed(analyzed.path, analyzed.table, shared(dir.path), 0o022);
    const again = readToml(analyzed.path);
    expect(formatToml(again)).toBe(formatToml(analyzed.table));
    expect(isTable(again["unknown"]) && Object.keys(again["unknown"])).toEqual(["i", "f", "d", "__proto__"]);
  });
});
