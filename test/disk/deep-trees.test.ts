import { describe, expect, test } from "bun:test";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Directory } from "../../lib/disk/directory.ts";
import { giveTo } from "../../lib/disk/ownership.ts";
import { emptyDirectory } from "../../lib/disk/removal.ts";
import { hasCode } from "../../lib/errors.ts";
import { StreamLog } from "../../lib/log.ts";
import { have, isRoot, restorerPath, runRestorer, skipUnless, tempDir } from "../support/harness.ts";
import { plantingScene } from "../support/planting-scene.ts";

// A disk takes minutes for tens of thousands of directories in each other, memory a second.
if (existsSync("/dev/shm")) process.env["TMPDIR"] = "/dev/shm";

const nobody = 65534;
const log = new StreamLog("error");

/** Directories in directories, `levels` deep, with a file in each. */
function makeDeep(root: string, levels: number): void {
  let at = Directory.open(root);
  for (let level = 0; level < levels; level++) {
    writeFileSync(at.at("file"), "");
    const next = at.openOrMake("d", 0o755);
    at.close();
    at = next;
  }
  at.close();
}

function clear(path: string): void {
  using root = Directory.open(path);
  emptyDirectory(root);
}

/** How many descriptors lead below a directory, or did before it was removed: to a path that may be too long to be told. */
function openBelow(path: string): number {
  const below = realpathSync(path);
  const isBelow = (fd: string) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(below);
    } catch (error) {
      return hasCode(error, "ENAMETOOLONG");
    }
  };
  return readdirSync("/proc/self/fd").filter(isBelow).length;
}

describe("a tree of any depth", () => {
  test("is removed without a descriptor a level, and without recursion", () => {
    using dir = tempDir("deep", { tree: {} });
    makeDeep(dir.join("tree"), 40_000);
    const before = openBelow(dir.path);
    clear(dir.join("tree"));
    expect(readdirSync(dir.join("tree"))).toEqual([]);
    expect(openBelow(dir.path)).toBe(before);
  });

  skipUnless(isRoot, "root")("is given to a user to its last file", () => {
    using dir = tempDir("deep", { tree: {} });
    makeDeep(dir.join("tree"), 3_000);
    {
      using root = Directory.open(dir.join("tree"));
      giveTo(root, { uid: nobody, gid: nobody }, log, { root: [], contents: [], linked: [] });
    }
    let at = Directory.open(dir.join("tree"));
    for (let level = 0; level < 3_000; level++) {
      const owners = [at.ownStat().uid, at.stat("file")?.uid];
      if (owners.some((uid) => uid !== nobody)) expect({ level, owners }).toEqual({ level, owners: [nobody, nobody] });
      const next = at.open("d");
      at.close();
      at = next;
    }
    expect(at.ownStat().uid).toBe(nobody);
    at.close();
    clear(dir.join("tree"));
  });

  skipUnless(isRoot && have("prlimit"), "root, prlimit (util-linux)")(
    "that an earlier buildpack left does not keep a run with few descriptors from its work",
    async () => {
      using here = plantingScene();
      const old = join(here.layers, "example_app/dist");
      mkdirSync(old, { recursive: true });
      try {
        makeDeep(old, 10_000);
        chownSync(here.layers, 0, 0);
        const args = ["-layers", here.layers, "-cache-dir", here.join("cache"), "-uid", "65534", "-gid", "65534"];
        const command = ["prlimit", "--nofile=128:128", restorerPath()];
        const { exitCode, stderr } = await runRestorer(args, { command });
        expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
        expect(readdirSync(old).sort()).toEqual(["bin", "data"]);
        expect(statSync(old).uid).toBe(nobody);
        expect(readdirSync(here.layers).filter((name) => name.startsWith(".restorer-"))).toEqual([]);
      } finally {
        clear(here.layers);
      }
    },
  );

  test("that is moved about while it is removed costs an error, never what lies elsewhere", async () => {
    using dir = tempDir("deep", { tree: {}, elsewhere: { kept: "precious" } });
    makeDeep(dir.join("tree"), 40);
    using root = Directory.open(dir.join("tree"));
    // What the walk finds above it is not what it came from.
    const { walkTree } = await import("../../lib/disk/walk.ts");
    let depth = 0;
    const walk = () =>
      walkTree(root, {
        entry(parent, name) {
          const child = parent.openIfThere(name);
          if (child !== undefined && ++depth === 30) {
            using elsewhere = Directory.open(dir.join("elsewhere"));
            parent.move(name, elsewhere, "stolen");
          }
          return child;
        },
        leave() {},
        mounted() {},
      });
    const before = openBelow(dir.path);
    expect(walk).toThrow("was moved meanwhile");
    expect(openBelow(dir.path)).toBe(before);
    expect(readdirSync(dir.join("elsewhere")).sort()).toEqual(["kept", "stolen"]);
  });
});
