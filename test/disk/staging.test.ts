import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Directory } from "../../lib/disk/directory.ts";
import { Staging, sweepStaging } from "../../lib/disk/staging.ts";
import { StreamLog } from "../../lib/log.ts";
import { isRoot, skipUnless, type TempDir, tempDir } from "../support/harness.ts";

const quiet = new StreamLog("error");

function withDirectory<T>(dir: TempDir, use: (directory: Directory) => T): T {
  const directory = Directory.open(dir.path);
  try {
    return use(directory);
  } finally {
    directory.close();
  }
}

function sweep(dir: TempDir): void {
  withDirectory(dir, (directory) => sweepStaging(directory, quiet));
}

/** The parts of a staging directory's name: `.restorer-<host>-<pid>-<started>-<random>`. */
function ownName(dir: TempDir): { host: string; pid: string; started: string } {
  return withDirectory(dir, (directory) => {
    const staging = new Staging(directory);
    const [name = ""] = readdirSync(dir.path).filter((each) => each.startsWith(".restorer-"));
    staging.dispose();
    const [, host = "", pid = "", started = ""] = name.slice(1).split("-");
    return { host, pid, started };
  });
}

/** Leaves a staging directory behind, with something in it that is hard to remove. */
function leave(dir: TempDir, host: string, pid: string | number, started: string, silentSeconds = 0): string {
  const name = `.restorer-${host}-${pid}-${started}-0123456789ab`;
  mkdirSync(dir.join(name, "s1", "read-only"), { recursive: true });
  writeFileSync(dir.join(name, "s1", "read-only", "file"), "content");
  symlinkSync("/etc/passwd", dir.join(name, "s1", "link"));
  chmodSync(dir.join(name, "s1", "read-only"), 0o555);
  chmodSync(dir.join(name, "s1"), 0o000);
  const then = Date.now() / 1000 - silentSeconds;
  utimesSync(dir.join(name), then, then);
  return name;
}

/** A process that has come and gone. */
function deadPid(): number {
  const child = Bun.spawnSync(["true"]);
  return child.pid;
}

describe("staging of another run", () => {
  test("is removed when its process is gone, however recently it was touched", () => {
    using dir = tempDir("staging");
    const { host, started } = ownName(dir);
    leave(dir, host, deadPid(), started);
    sweep(dir);
    expect(readdirSync(dir.path)).toEqual([]);
  });

  test("is removed when its process id belongs to a younger process now", () => {
    using dir = tempDir("staging");
    const { host, pid, started } = ownName(dir);
    leave(dir, host, pid, String(BigInt(started) - 1n));
    sweep(dir);
    expect(readdirSync(dir.path)).toEqual([]);
  });

  test("stays while its process lives, however long it has been silent", () => {
    using dir = tempDir("staging");
    const { host, pid, started } = ownName(dir);
    const name = leave(dir, host, pid, started, 3600);
    sweep(dir);
    expect(readdirSync(dir.path)).toEqual([name]);
  });

  const elsewhere = "ffffffffffff";
  test.each([
    ["is removed when it has been silent for long", 3600, false],
    ["is removed when it was touched far in the future: a clock that jumped", -3600, false],
    ["stays while it was touched just now", 0, true],
  ])("of another machine or process namespace %s", (_, silentSeconds, stays) => {
    using dir = tempDir("staging");
    // The process id says nothing there: that of a living process here as little as that of a dead one.
    const { pid, started } = ownName(dir);
    const name = leave(dir, elsewhere, pid, started, silentSeconds);
    sweep(dir);
    expect(readdirSync(dir.path)).toEqual(stays ? [name] : []);
  });

  test("may be a file, such as the one that was to become analyzed.toml", () => {
    using dir = tempDir("staging", { ".restorer-ffffffffffff-1-1-0123456789ab": "a file" });
    utimesSync(dir.join(".restorer-ffffffffffff-1-1-0123456789ab"), 1, 1);
    sweep(dir);
    expect(readdirSync(dir.path)).toEqual([]);
  });

  test("is told from what only looks alike", () => {
    using dir = tempDir("staging", {
      ".restorer-": {},
      ".restorer-mine": {},
      ".restorer-ffffffffffff-1-1-0123456789": {},
      ".restorer-ffffffffffff-1-1-0123456789ab.toml": {},
      "x.restorer-ffffffffffff-1-1-0123456789ab": {},
    });
    const victim = tempDir("victim", { file: "" });
    symlinkSync(victim.path, dir.join(".restorer-ffffffffffff-2-1-0123456789ab"));
    const before = readdirSync(dir.path);
    for (const name of before) if (!name.includes("-2-")) utimesSync(dir.join(name), 1, 1);
    sweep(dir);
    expect(readdirSync(dir.path)).toEqual(before);
    expect(existsSync(victim.join("file"))).toBe(true);
    victim[Symbol.dispose]();
  });

  skipUnless(!isRoot, "a user other than root")("that cannot be removed is told and left", () => {
    using dir = tempDir("staging");
    const { host, started } = ownName(dir);
    const name = leave(dir, host, deadPid(), started);
    chmodSync(dir.path, 0o555);
    sweep(dir);
    expect(readdirSync(dir.path)).toEqual([name]);
    chmodSync(dir.path, 0o755);
  });
});

describe("staging of this run", () => {
  test("is private, whatever its parent's mode and the umask, and gone at the end with all that is in it", () => {
    using dir = tempDir("staging");
    chmodSync(dir.path, 0o2777);
    withDirectory(dir, (directory) => {
      const staging = new Staging(directory);
      const [name = ""] = readdirSync(dir.path);
      // A setgid parent hands its group and setgid down (D22).
      expect(statSync(dir.join(name)).mode & 0o7777).toBe(0o2700);
      mkdirSync(staging.slot().path);
      writeFileSync(staging.slot().path, "x");
      const stuck = staging.slot().path;
      mkdirSync(stuck);
      writeFileSync(join(stuck, "file"), "x");
      chmodSync(stuck, 0o555);
      staging.dispose();
      expect(readdirSync(dir.path)).toEqual([]);
    });
  });

  test("is not swept by another run that starts meanwhile", () => {
    using dir = tempDir("staging");
    withDirectory(dir, (directory) => {
      const staging = new Staging(directory);
      const mine = readdirSync(dir.path);
      utimesSync(dir.join(mine[0] ?? ""), 1, 1);
      sweep(dir);
      expect(readdirSync(dir.path)).toEqual(mine);
      staging.dispose();
    });
  });

  test("takes what is discarded out of its place at once", () => {
    using dir = tempDir("staging", { layer: { file: "x" } });
    withDirectory(dir, (directory) => {
      const staging = new Staging(directory);
      staging.discard(directory, "layer");
      expect(existsSync(dir.join("layer"))).toBe(false);
      staging.dispose();
    });
    expect(readdirSync(dir.path)).toEqual([]);
  });

  test("has names that neither a buildpack nor an exporter would look at", () => {
    using dir = tempDir("staging");
    withDirectory(dir, (directory) => {
      const staging = new Staging(directory);
      for (let i = 0; i < 100; i++) expect(staging.slot().name).not.toMatch(/\.(toml|json|sha)$/);
      expect(readdirSync(dir.path)[0]).toMatch(/^\.restorer-[0-9a-f]{12}-[0-9]+-[0-9]+-[0-9a-f]{12}$/);
      staging.dispose();
    });
  });
});

test("a process's start time is found though its name is hostile", () => {
  // The name in /proc/<pid>/stat may hold spaces, parentheses and digits: the executable's, copied.
  using dir = tempDir("name");
  const { host } = ownName(dir);
  const sleep = Bun.which("sleep") ?? "";
  const hostile = dir.join(") S 1 2 (3");
  writeFileSync(hostile, readFileSync(sleep));
  chmodSync(hostile, 0o755);
  const child = Bun.spawn([hostile, "60"]);
  const stat = readFileSync(`/proc/${child.pid}/stat`, "latin1");
  const started = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  const name = leave(dir, host, child.pid, started, 3600);
  sweep(dir);
  expect(readdirSync(dir.path)).toContain(name);
  child.kill();
});
