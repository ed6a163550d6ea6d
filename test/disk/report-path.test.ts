import { describe, expect, test } from "bun:test";
import {
  chownSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { stamps } from "../support/canary.ts";
import { isRoot, type RunOptions, restorerPath, runRestorer, skipUnless, snapshot } from "../support/harness.ts";
import { canMount, runWithMounts } from "../support/mounts.ts";
import { type PlantingScene, plantingScene, restore } from "../support/planting-scene.ts";

const nobody = 65534;
const users: readonly (readonly [name: string, args: readonly string[]])[] = [
  ["the user it runs as", []],
  ...(isRoot ? [["the user that root becomes", ["-uid", `${nobody}`, "-gid", `${nobody}`]] as const] : []),
];

function report(here: PlantingScene, path: string, args: readonly string[] = [], options?: RunOptions) {
  return restore(here, [...args, "-report", path], options);
}

const isReport = (text: string) => JSON.parse(text).reportVersion === 2;

/** What may stand at the path of a report, made as needed; which path to give, and what is said of it. */
const others: readonly [what: string, make: (here: PlantingScene) => string, says: RegExp][] = [
  [
    "a fifo that nobody reads",
    (here) => {
      Bun.spawnSync(["mkfifo", "-m", "666", here.join("fifo")]);
      return here.join("fifo");
    },
    /fifo that nobody reads/,
  ],
  [
    "a directory",
    (here) => {
      mkdirSync(here.join("directory"));
      return here.join("directory");
    },
    /is a directory/,
  ],
  ["a device that is full", () => "/dev/full", /no space left/],
  ["a file in a directory that is not there", (here) => here.join("absent/report.json"), /no such file or directory/],
  ["a file below a file", (here) => here.join("canary/file/report.json"), /not a directory/],
  [
    "a link to itself",
    (here) => {
      symlinkSync("loop", join(here.layers, "loop"));
      return join(here.layers, "loop");
    },
    /it is a link that leads nowhere/,
  ],
];

describe("a report's path", () => {
  for (const [user, args] of users) {
    for (const [what, make, says] of others) {
      test(`that is ${what} ends the run with 1 and a sentence, as ${user}`, async () => {
        using here = plantingScene();
        const { exitCode, stderr } = await report(here, make(here), args);
        expect({ exitCode, signal: null }).toEqual({ exitCode: 1, signal: null });
        expect(stderr).toContain("ERROR: write report");
        expect(stderr).toMatch(says);
      });
    }

    test(`may be a fifo with a reader, a device, or stdout, as ${user}`, async () => {
      using here = plantingScene();
      const fifo = here.join("fifo");
      Bun.spawnSync(["mkfifo", "-m", "666", fifo]);
      const reader = Bun.spawn(["cat", fifo], { stdout: "pipe" });
      // Opened for both, it has a reader from the start.
      const holder = Bun.spawn(["sh", "-c", `exec 3<>'${fifo}'; echo; exec sleep 1000`], { stdout: "pipe" });
      await holder.stdout.getReader().read();
      expect(await report(here, fifo, args)).toMatchObject({ exitCode: 0, stderr: "" });
      holder.kill();
      expect(isReport(await reader.stdout.text())).toBe(true);
      expect(await report(here, "/dev/null", args)).toMatchObject({ exitCode: 0, stderr: "" });
      const { exitCode, stdout, stderr } = await report(here, "/dev/stdout", args);
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      expect(stdout).toMatch(/^Restored 1 layer/m);
      expect(isReport(stdout.slice(stdout.indexOf("{\n")))).toBe(true);
    });
  }

  test("that is a socket ends the run with 1 and a sentence", async () => {
    using here = plantingScene();
    const server = Bun.listen({ unix: here.join("socket"), socket: { data() {} } });
    const { exitCode, stderr } = await report(here, here.join("socket"));
    server.stop(true);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("it is a socket");
  });

  test("that is stdout's file leaves the log that is there", async () => {
    using here = plantingScene();
    const log = here.join("log");
    const command = ["sh", "-c", `exec "$@" > '${log}'`, "sh", restorerPath()];
    const { exitCode } = await report(here, "/dev/stdout", [], { command });
    expect(exitCode).toBe(0);
    const text = readFileSync(log, "utf8");
    expect(text).toStartWith("Restoring ");
    expect(isReport(text.slice(text.indexOf("{\n")))).toBe(true);
  });

  test("that has other names is replaced, and they stay as they are", async () => {
    using here = plantingScene();
    const path = join(here.layers, "report.json");
    writeFileSync(path, "old", { mode: 0o4640 });
    linkSync(path, here.join("other-name"));
    if (isRoot) chownSync(path, 1234, 1234);
    expect(await report(here, path)).toMatchObject({ exitCode: 0 });
    expect(readFileSync(here.join("other-name"), "utf8")).toBe("old");
    expect(isReport(readFileSync(path, "utf8"))).toBe(true);
    expect(statSync(path)).toMatchObject({ nlink: 1, ...(isRoot && { uid: 1234, gid: 1234 }) });
    // No program becomes ours by a bit of what was there.
    expect(statSync(path).mode & 0o7777).toBe(0o640);
  });

  test("keeps no character that would control a terminal", async () => {
    using here = plantingScene();
    const odd = "a\u009b31m\u202e\u2066\u200f\ufeff\u2028\u0007z";
    writeFileSync(
      join(here.layers, "analyzed.toml"),
      `[metadata]\nbuildpacks = [{ key = "example/app", layers = { ${JSON.stringify(odd)} = { launch = true } } }]\n`,
    );
    const path = here.join("report.json");
    await report(here, path);
    const text = readFileSync(path, "utf8");
    expect(text).toContain("a\\u009b31m\\u202e\\u2066\\u200f\\ufeff\\u2028\\u0007z");
    expect(text).not.toMatch(/[^\n\x20-\x7e]/);
    expect(JSON.parse(text).layers.some(({ layer }: { layer: string }) => layer === odd)).toBe(true);
  });
});

/** Links by which a report's path may lead elsewhere: what is planted, and whether the platform asked for it. */
const links: readonly [what: string, plant: (here: PlantingScene) => string, isFollowed: boolean][] = [
  ["a link to a file outside", (here) => plantLink(here, "r.json", here.join("canary/file")), false],
  ["a relative link to a file outside", (here) => plantLink(here, "r.json", "../canary/file"), false],
  ["a link to a device", (here) => plantLink(here, "r.json", "/dev/null"), false],
  ["a link to a directory outside", (here) => plantLink(here, "r.json", here.join("canary/dir")), false],
  [
    "a directory in its path that is a link",
    (here) => `${plantLink(here, "reports", here.join("canary/dir"))}/report.json`,
    false,
  ],
  [
    "a link of the platform's to a link in the layers directory",
    (here) => {
      symlinkSync(plantLink(here, "r.json", here.join("canary/file")), here.join("platform.json"));
      return here.join("platform.json");
    },
    false,
  ],
  [
    "a link to a file inside that has another name outside",
    (here) => {
      linkSync(here.join("canary/file"), join(here.layers, "hard"));
      return plantLink(here, "r.json", "hard");
    },
    false,
  ],
  [
    "a link to a file inside",
    (here) => {
      writeFileSync(join(here.layers, "real.json"), "old");
      return plantLink(here, "r.json", "real.json");
    },
    true,
  ],
  [
    "a link of the platform's to a file",
    (here) => {
      writeFileSync(here.join("real.json"), "old");
      symlinkSync("real.json", here.join("platform.json"));
      return here.join("platform.json");
    },
    true,
  ],
];

function plantLink(here: PlantingScene, name: string, target: string): string {
  symlinkSync(target, join(here.layers, name));
  return join(here.layers, name);
}

describe("a report's path by way of", () => {
  for (const [what, plant, isFollowed] of links) {
    skipUnless(isRoot, "root")(`${what} is ${isFollowed ? "written" : "not followed"} by root`, async () => {
      using here = plantingScene();
      const path = plant(here);
      const before = stamps(here.canary);
      const { exitCode, stderr } = await report(here, path);
      expect(exitCode).toBe(isFollowed ? 0 : 1);
      expect(stamps(here.canary)).toEqual(before);
      if (isFollowed) {
        expect(isReport(readFileSync(path, "utf8"))).toBe(true);
        expect(readlinkSync(path)).toMatch(/real\.json$/);
      } else {
        expect(stderr).toContain("leads out of the layers directory");
      }
      expect(readdirSync(here.path).filter((name) => name.startsWith(".restorer-"))).toEqual([]);
      expect([...snapshot(here.layers).keys()].filter((name) => name.startsWith(".restorer-"))).toEqual([]);
    });
  }
});

describe("a report is never written to a file of a cache", () => {
  /** Where the report goes, made as needed. */
  const ways: readonly (readonly [what: string, report: (here: PlantingScene, blob: string) => string])[] = [
    [
      "by a link to a further name of it",
      (here, blob) => {
        linkSync(blob, here.join("further"));
        symlinkSync(here.join("further"), here.join("report.json"));
        return here.join("report.json");
      },
    ],
    [
      "by a link in the layers directory where that holds the cache",
      (here, blob) => {
        const inside = join(here.layers, "cache");
        renameSync(here.join("cache"), inside);
        symlinkSync(join(inside, "committed", basename(blob)), join(here.layers, "report.json"));
        symlinkSync(inside, here.join("cache"));
        return join(here.layers, "report.json");
      },
    ],
  ];
  /** What else is wrong with the run; none of it keeps a report from being written. */
  const runs: readonly (readonly [what: string, args: readonly string[], env: Readonly<Record<string, string>>])[] = [
    ["of a restore", [], {}],
    ["of a run with a flag that it does not know", ["-no-such-flag"], {}],
    ["of a run for a Platform API that there is not", [], { CNB_PLATFORM_API: "9.9" }],
  ];
  for (const [how, way] of ways) {
    for (const [which, args, env] of runs) {
      test(`${how}, ${which}`, async () => {
        using here = plantingScene();
        const committed = here.join("cache/committed");
        const blob = readdirSync(committed).find((name) => name.endsWith(".tar")) ?? "";
        const before = readFileSync(join(committed, blob));
        const { exitCode, stderr } = await report(here, way(here, join(committed, blob)), args, { env });
        expect({ fails: exitCode !== 0, told: stderr.includes("it lies in the cache") }).toEqual({
          fails: true,
          told: true,
        });
        expect(readFileSync(join(here.join("cache/committed"), blob))).toEqual(before);
      });
    }
  }

  for (const words of ["-cache-from", "CNB_CACHE_FROM"]) {
    test(`that ${words} names, of a run with a flag that it does not know`, async () => {
      using here = plantingScene();
      const blob = join(here.join("cache/committed"), "io.buildpacks.lifecycle.cache.metadata");
      const before = readFileSync(blob);
      const [args, env] = words.startsWith("-")
        ? [[words, here.join("none"), words, here.join("cache")], {}]
        : [[], { [words]: `${here.join("none")}, ${here.join("cache")}` }];
      const run = await runRestorer(["-layers", here.layers, ...args, "-report", blob, "-no-such-flag"], { env });
      expect(run).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("it lies in the cache") });
      expect(readFileSync(blob)).toEqual(before);
    });
  }

  skipUnless(canMount, "root who may mount (unshare)")("that is mounted where the report goes", async () => {
    using here = plantingScene();
    const blob = join(here.join("cache/committed"), "io.buildpacks.lifecycle.cache.metadata");
    const before = readFileSync(blob);
    writeFileSync(here.join("report.json"), "");
    const args = ["-layers", here.layers, "-cache-dir", here.join("cache"), "-report", here.join("report.json")];
    const { exitCode, stderr } = await runWithMounts([[blob, here.join("report.json")]], args);
    expect({ exitCode, told: stderr.includes("it lies in the cache") }).toEqual({ exitCode: 1, told: true });
    expect(readFileSync(blob)).toEqual(before);
  });
});
