import { describe, expect } from "bun:test";
import { chownSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { analyzedToml, groupToml, makeCache } from "../support/cache-fixture.ts";
import {
  differences,
  directory,
  file,
  isRoot,
  link,
  type RunResult,
  restorerPath,
  runRestorer,
  skipUnless,
  snapshot,
  type TempDir,
  tempDir,
  writeTree,
} from "../support/harness.ts";
import { tarOf } from "../support/raw-tar.ts";
import { bindfs, type Calls, canBindfs, canInject, withInjected } from "../support/refusing.ts";

const user = 12345;
const users = [
  ["root", []],
  ["the user that root becomes", ["-uid", `${user}`, "-gid", `${user}`]],
] as const;
const injecting = skipUnless(isRoot && canInject, "root and strace");
const mounting = skipUnless(canBindfs, "root, bindfs and /dev/fuse");

const plain = { bin: { tool: file("#!/bin/sh\n", 0o755) }, latest: link("bin/tool"), empty: directory({}) };

/** A cache with two layers, one of which has hard links, and what they look like. */
function scene(tree: Parameters<typeof tempDir>[1] = plain): TempDir {
  const dir = tempDir("refusing", { tree, boms: { bp: { deps: { "sbom.cdx.json": "{}" } } }, cache: {}, layers: {} });
  const linked = tarOf([
    { name: "/layers/bp/linked", type: "directory" },
    { name: "/layers/bp/linked/one", data: "content", mode: 0o4755 },
    { name: "/layers/bp/linked/two", type: "link", linkname: "/layers/bp/linked/one" },
  ]);
  const layers = [
    { name: "deps", tree: dir.join("tree"), data: { a: 1 } },
    { name: "linked", tar: linked },
  ];
  makeCache(dir.join("cache"), [{ id: "bp", layers }], { sbom: { tree: dir.join("boms") } });
  const stores = [{ id: "bp", store: { kept: "yes" } }];
  writeTree(dir.join("layers"), {
    "group.toml": groupToml([{ id: "bp" }]),
    "analyzed.toml": analyzedToml({ buildpacks: stores }),
  });
  return dir;
}

function restore(dir: TempDir, args: readonly string[], ...injections: [Calls, string][]): Promise<RunResult> {
  const places = ["-layers", dir.join("layers"), "-cache-dir", dir.join("cache"), "-report", dir.join("layers/r.json")];
  const command = injections.length > 0 ? { command: withInjected(injections, restorerPath()) } : {};
  return runRestorer([...places, ...args], { umask: 0o022, ...command });
}

function expectRestored(dir: TempDir, { exitCode, stderr }: RunResult, ignore: ("mode" | "uid" | "gid")[] = []): void {
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  const at = (path: string) => snapshot(dir.join(path));
  expect(differences(at("layers/bp/deps"), at("tree"), { ignore: ["uid", "gid", ...ignore] })).toEqual([]);
  for (const path of ["one", "two"]) expect(readFileSync(dir.join("layers/bp/linked", path), "utf8")).toBe("content");
  expect(lstatSync(dir.join("layers/bp/deps")).mode & 0o7777).toBe(0o755);
  expect(readFileSync(dir.join("layers/bp/deps.toml"), "utf8")).toContain("a = 1");
  expect(readFileSync(dir.join("layers/bp/deps.sbom.cdx.json"), "utf8")).toBe("{}");
  expect(readFileSync(dir.join("layers/bp/store.toml"), "utf8")).toContain("kept");
  expectNothingLeft(dir);
}

function expectNothingLeft(dir: TempDir): void {
  const names = readdirSync(dir.join("layers"), { recursive: true, encoding: "utf8" });
  expect(names.filter((path) => path.includes(".restorer-"))).toEqual([]);
}

describe("where directories cannot be renamed a layer is made in its place:", () => {
  for (const [who, args] of users) {
    for (const options of [["--rename-deny"], ["--rename-deny", "--chmod-ignore"]]) {
      mounting(`a FUSE file system with ${options.join(" ")}, as ${who}`, async () => {
        using dir = scene();
        using _ = bindfs(dir.join("layers"), ...options);
        for (const _run of ["first", "over what stands"]) expectRestored(dir, await restore(dir, args));
      });
    }

    for (const code of ["EPERM", "EXDEV", "ENOSYS", "EOPNOTSUPP", "EMFILE"]) {
      injecting(`rename answers ${code}, as ${who}`, async () => {
        using dir = scene();
        expectRestored(dir, await restore(dir, args, ["rename", `error=${code}`]));
        expectRestored(dir, await restore(dir, args, ["rename", `error=${code}`]));
        expect(statSync(dir.join("layers/bp/linked/two")).mode & 0o7777).toBe(0o4755);
      });
    }
  }

  injecting("a rename that fails later than the first", async () => {
    using dir = scene();
    for (const when of [2, 3, 4, 6])
      expectRestored(dir, await restore(dir, [], ["rename", `error=EXDEV:when=${when}+`]));
  });

  injecting("neither rename nor hard links", async () => {
    using dir = scene();
    const run = () => restore(dir, [], ["rename", "error=EPERM"], ["link", "error=EPERM"]);
    expectRestored(dir, await run());
    expectRestored(dir, await run());
  });

  injecting("only directories, which some answer as a broken disk does", async () => {
    using dir = scene();
    // The first is store.toml's, the next a layer's.
    expectRestored(dir, await restore(dir, [], ["rename", "error=EIO:when=2"]));
  });

  injecting("a corrupt blob leaves nothing of its layer", async () => {
    using dir = scene();
    expectRestored(dir, await restore(dir, []));
    const blob = readdirSync(dir.join("cache/committed")).filter((path) => path.endsWith(".tar"));
    for (const path of blob) writeFileSync(dir.join("cache/committed", path), "x", { flag: "a" });
    const { exitCode, stderr } = await restore(dir, [], ["rename", "error=EPERM"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: expect.stringContaining('"bp:deps"') });
    expect(readdirSync(dir.join("layers/bp"))).toEqual(["store.toml"]);
    expectNothingLeft(dir);
  });

  injecting(
    "what a killed run left of a layer goes with the next run, whether it restores that layer or not",
    async () => {
      using dir = scene();
      // Files take their places by hard links then, and a layer has one: the first is store.toml's, the second may be made in
      // the staging directory, the third one not.
      const { signal } = await restore(dir, [], ["rename", "error=EPERM"], ["link", "signal=KILL:when=3+"]);
      expect(signal).toBe("SIGKILL");
      const left = readdirSync(dir.join("layers/bp"));
      expect(left.some((name) => ["deps", "linked"].includes(name))).toBe(true);
      expect(left.filter((name) => name.endsWith(".toml"))).toEqual(["store.toml"]);
      const next = await runRestorer(["-layers", dir.join("layers")]);
      expect(next.exitCode).toBe(0);
      expect(readdirSync(dir.join("layers/bp")).filter((name) => !name.includes("sbom"))).toEqual(["store.toml"]);
      expectNothingLeft(dir);
    },
  );
});

injecting("a killed run's note of what is to go counts only in a directory of our own", async () => {
  using dir = scene();
  const planted = dir.join("layers/.restorer-000000000000-1-1-000000000000");
  mkdirSync(planted);
  writeFileSync(`${planted}/mark-1`, JSON.stringify({ path: [], names: ["group.toml", "precious"] }));
  writeFileSync(dir.join("layers/precious"), "");
  chownSync(planted, user, user);
  Bun.spawnSync(["touch", "-d", "2001-01-01", planted]);
  expectRestored(dir, await restore(dir, []));
  expect(readdirSync(dir.join("layers"))).toContain("precious");
});

describe("where hard links are refused a copy takes their place:", () => {
  for (const code of ["EPERM", "ENOSYS", "EOPNOTSUPP", "EMLINK", "EXDEV"]) {
    injecting(`link answers ${code}`, async () => {
      using dir = scene();
      expectRestored(dir, await restore(dir, [], ["link", `error=${code}`]));
      for (const path of ["one", "two"]) {
        expect(statSync(dir.join("layers/bp/linked", path))).toMatchObject({ mode: 0o104755, nlink: 1 });
      }
    });
  }
});

describe("where modes cannot be changed", () => {
  const readOnly = { ro: directory({ file: "x" }, 0o555) };

  for (const [who, args] of users) {
    mounting(`chmod that changes nothing leaves what the file system gives, as ${who}`, async () => {
      using dir = scene({ ...plain, ...readOnly });
      using _ = bindfs(dir.join("layers"), "--chmod-ignore");
      expectRestored(dir, await restore(dir, args), ["mode"]);
      expect(statSync(dir.join("layers/r.json")).mode & 0o777).toBe(0o644);
    });
  }

  for (const code of ["EPERM", "ENOSYS", "EOPNOTSUPP"]) {
    injecting(`a layer whose modes are right without chmod comes back (${code})`, async () => {
      using dir = scene();
      Bun.spawnSync(["rm", "-rf", dir.join("cache")]);
      makeCache(dir.join("cache"), [{ id: "bp", layers: [{ name: "deps", tree: dir.join("tree") }] }]);
      const { exitCode, stderr } = await restore(dir, [], ["chmod", `error=${code}`]);
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      expect(differences(snapshot(dir.join("layers/bp/deps")), snapshot(dir.join("tree")))).toEqual([]);
    });

    injecting(`nothing is left of a layer whose own mode cannot be given (${code})`, async () => {
      using dir = scene();
      Bun.spawnSync(["rm", "-rf", dir.join("cache")]);
      const tar = tarOf([{ name: "/layers/bp/deps", type: "directory", mode: 0o2755 }]);
      makeCache(dir.join("cache"), [{ id: "bp", layers: [{ name: "deps", tar }] }]);
      for (const renames of [[], [["rename", "error=EXDEV"]]] satisfies [Calls, string][][]) {
        const { exitCode, stderr } = await restore(dir, [], ["chmod", `error=${code}`], ...renames);
        expect(exitCode).toBe(42);
        expect(stderr).toContain('bp/deps": the file system refuses to change modes (chmod: ');
        expect(readdirSync(dir.join("layers/bp"))).toEqual(["store.toml"]);
        expectNothingLeft(dir);
      }
    });

    injecting(`another one ends the run, which says what is refused, and where (${code})`, async () => {
      using dir = scene({ ...plain, ...readOnly });
      const { exitCode, stderr } = await restore(dir, [], ["chmod", `error=${code}`]);
      expect(exitCode).toBe(42);
      expect(stderr).toMatch(/"bp\/(deps\/ro|linked\/one)": the file system refuses to change modes \(chmod: /);
      expect(readdirSync(dir.join("layers/bp"))).toEqual(["store.toml"]);
      expectNothingLeft(dir);
    });

    injecting(`a file whose mode needs chmod is named where that is refused (${code})`, async () => {
      using dir = scene({ bin: { tool: file("x", 0o4755) } });
      const { exitCode, stderr } = await restore(dir, ["-only", "bp:deps"], ["chmod", `error=${code}`]);
      expect(exitCode).toBe(42);
      expect(stderr).toContain('"bp/deps/bin/tool": the file system refuses to change modes (chmod: ');
    });
  }
});

describe("what cannot work ends the run, and says which call the file system refused:", () => {
  for (const code of ["EPERM", "ENOSYS", "EOPNOTSUPP"]) {
    injecting(`symbolic links (${code})`, async () => {
      using dir = scene();
      const { exitCode, stderr } = await restore(dir, [], ["symlink", `error=${code}`]);
      expect(exitCode).toBe(42);
      expect(stderr).toContain('"bp/deps/latest": the file system refuses to make symbolic links (symlink: ');
      expectNothingLeft(dir);
    });

    injecting(`owners (${code})`, async () => {
      using dir = scene();
      const { exitCode, stderr } = await restore(dir, users[1][1], ["chown", `error=${code}`]);
      expect(exitCode).toBe(1);
      expect(stderr).toContain("CAP_CHOWN, and a file system that allows it");
      expectNothingLeft(dir);
    });
  }

  mounting("owners on a FUSE file system, unless they are right already", async () => {
    using dir = scene();
    {
      using _ = bindfs(dir.join("layers"), "--chown-deny");
      expect((await restore(dir, users[1][1])).exitCode).toBe(1);
    }
    Bun.spawnSync(["chown", "-R", `${user}:${user}`, dir.join("layers")]);
    using _ = bindfs(dir.join("layers"), "--chown-deny");
    expectRestored(dir, await restore(dir, users[1][1]));
  });
});

describe("a file system that cannot be asked to write at once", () => {
  for (const code of ["EPERM", "EINVAL", "ENOSYS", "EOPNOTSUPP", "EROFS"]) {
    injecting(`answers ${code}, which changes nothing`, async () => {
      using dir = scene();
      expectRestored(dir, await restore(dir, [], ["sync", `error=${code}`]));
    });
  }

  injecting("is told from one that says that it could not write", async () => {
    using dir = scene();
    const { exitCode, stderr } = await restore(dir, [], ["sync", "error=EIO"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: expect.stringContaining("input/output error") });
  });
});
