// Runs alone: processes of it race each other on all cores.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { Directory, removeTree } from "../../lib/disk/directory.ts";
import { analyzedToml, groupToml, makeCache } from "../support/cache-fixture.ts";
import { canaryTree, stamps } from "../support/canary.ts";
import {
  differences,
  directory,
  file,
  have,
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

setDefaultTimeout(60_000);

const withRoot = skipUnless(isRoot, "root");
const nobody = 65534;

/** A layers directory before its first restore, the cache that belongs to it, and a canary beside them. */
function scene(): TempDir & { readonly layers: string; readonly canary: string } {
  const dir = tempDir("planted", {
    canary: canaryTree,
    tree: { data: "good", bin: { run: file("#!", 0o755) } },
    sbom: { example_app: { dist: { "sbom.cdx.json": '"dist"' }, web: { "sbom.spdx.json": '"web"' } } },
    layers: {
      "group.toml": groupToml([{ id: "example/app" }]),
      "analyzed.toml": analyzedToml({
        buildpacks: [
          { id: "example/app", store: { kept: "store" }, layers: [{ name: "web", metadata: { kept: "web" } }] },
        ],
      }),
    },
  });
  const layers = [{ name: "dist", tree: dir.join("tree"), data: { kept: "dist" } }];
  makeCache(dir.join("cache"), [{ id: "example/app", layers }], { sbom: { tree: dir.join("sbom") } });
  return Object.assign(dir, { layers: dir.join("layers"), canary: dir.join("canary") });
}

type Scene = ReturnType<typeof scene>;

function restore({ layers, join }: Scene, args: readonly string[] = [], options: RunOptions = {}): Promise<RunResult> {
  // A read or write that blocks, such as on a fifo, is killed and so no exit code.
  const all = ["-layers", layers, "-cache-dir", join("cache"), ...args];
  return runRestorer(all, { timeoutMs: 20_000, ...options });
}

/** What a restore into an empty layers directory makes. */
async function expected(): Promise<ReturnType<typeof snapshot>> {
  using fresh = scene();
  expect((await restore(fresh)).exitCode).toBe(0);
  return snapshot(fresh.layers);
}

/** What is planted: by kind, how. */
const plants: Readonly<Record<string, (path: string, canary: string) => void>> = {
  "a link to a directory outside": (path, canary) => symlinkSync(join(canary, "dir"), path),
  "a relative link to a directory outside": (path, canary) =>
    symlinkSync(`../../${canary.split("/").at(-1)}/dir`, path),
  "a link to a file outside": (path, canary) => symlinkSync(join(canary, "file"), path),
  "a link to a link": (path, canary) => symlinkSync(join(canary, "link"), path),
  "a dangling link": (path, canary) => symlinkSync(join(canary, "not-yet"), path),
  "a link to itself": (path) => symlinkSync(path, path),
  "a fifo": (path) => void Bun.spawnSync(["mkfifo", path]),
  "a file": (path) => writeFileSync(path, "in the way"),
  "a file of mode 0": (path) => writeFileSync(path, "in the way", { mode: 0 }),
  "an empty directory": (path) => mkdirSync(path),
  "a directory full of traps": (path, canary) => {
    writeTree(dirname(path), {
      [path.split("/").at(-1) ?? ""]: {
        out: link(canary),
        file: link(join(canary, "file")),
        closed: directory({ deep: directory({ out: link(canary), f: "f" }, 0o555) }, 0),
        "data.toml": "x",
      },
    });
  },
};

const places = [
  "example_app",
  "example_app/dist",
  "example_app/dist.toml",
  "example_app/dist.sbom.cdx.json",
  "example_app/dist.sbom.spdx.json",
  "example_app/dist.sha",
  "example_app/web.toml",
  "example_app/web.sbom.spdx.json",
  "example_app/store.toml",
  "sbom",
] as const;

/** The one place that is not ours to clear: what stands there may be the only copy of what an earlier phase made. */
const isKept = (place: string, kind: string): boolean => place === "example_app" && /^a (file|fifo)/.test(kind);

describe("what is planted in the layers directory", () => {
  for (const [kind, plant] of Object.entries(plants)) {
    test(`${kind} is never followed and never blocks, wherever a restore writes`, async () => {
      const should = await expected();
      await Promise.all(
        places.map(async (place) => {
          using here = scene();
          const path = join(here.layers, place);
          mkdirSync(dirname(path), { recursive: true });
          plant(path, here.canary);
          const before = stamps(here.canary);
          const { exitCode, signal } = await restore(here);
          expect({ place, signal, exitCode }).toEqual({ place, signal: null, exitCode: isKept(place, kind) ? 42 : 0 });
          expect(stamps(here.canary)).toEqual(before);
          if (exitCode !== 0) return;
          // What is no part of any layer of this build stays, and a directory may be a layer whatever its name.
          const is = snapshot(here.layers);
          for (const name of [...is.keys()]) {
            if (place === "example_app" && /^example_app\/(out|file|closed|data\.toml)/.test(name)) is.delete(name);
            if (/directory/.test(kind) && /^example_app\/dist\.(sbom\.spdx\.json|sha)/.test(name)) is.delete(name);
          }
          expect({ place, differences: differences(is, should) }).toEqual({ place, differences: [] });
        }),
      );
    });
  }

  test("a hard link to a file outside is replaced, the file kept as it is", async () => {
    const should = await expected();
    for (const place of places.filter((name) => name !== "example_app")) {
      using here = scene();
      const path = join(here.layers, place);
      mkdirSync(dirname(path), { recursive: true });
      linkSync(join(here.canary, "file"), path);
      const { mode, uid, mtimeMs } = statSync(join(here.canary, "file"));
      expect((await restore(here)).exitCode).toBe(0);
      expect(statSync(join(here.canary, "file"))).toMatchObject({ mode, uid, mtimeMs, nlink: 1 });
      expect(readFileSync(join(here.canary, "file"), "utf8")).toBe("precious");
      expect({ place, differences: differences(snapshot(here.layers), should) }).toEqual({ place, differences: [] });
    }
  });

  test("names like staging directories: links and files are left, what is in a dead one is removed without following", async () => {
    using here = scene();
    const name = (index: number) => `.restorer-0123456789ab-1-1-00000000000${index}`;
    symlinkSync(here.canary, join(here.layers, name(1)));
    writeFileSync(join(here.layers, name(2)), "");
    Bun.spawnSync(["mkfifo", join(here.layers, name(3))]);
    writeTree(here.layers, { [name(4)]: { out: link(here.canary), closed: directory({ out: link(here.canary) }, 0) } });
    Bun.spawnSync(["touch", "-d", "2020-01-01", join(here.layers, name(4))]);
    const before = stamps(here.canary);
    expect((await restore(here)).exitCode).toBe(0);
    expect(stamps(here.canary)).toEqual(before);
    const left = readdirSync(here.layers).filter((entry) => entry.startsWith(".restorer-"));
    expect(left.sort()).toEqual([name(1), name(2), name(3)]);
  });

  test("links inside the SBOM directory are not read through", async () => {
    using here = scene();
    const inside = (content: Tree) => ({ sbom: { launch: { example_app: { web: content } } } });
    writeTree(here.layers, inside({ "sbom.cdx.json": link(join(here.canary, "closed")) }));
    writeTree(here.layers, { sbom: { launch: { example_app: { dist: link(here.canary) } } } });
    Bun.spawnSync(["mkfifo", join(here.layers, "sbom/launch/example_app/web/sbom.syft.json")]);
    const before = stamps(here.canary);
    expect((await restore(here)).exitCode).toBe(0);
    expect(stamps(here.canary)).toEqual(before);
    const names = readdirSync(join(here.layers, "example_app")).sort();
    expect(names).toEqual(["dist", "dist.sbom.cdx.json", "dist.toml", "store.toml", "web.sbom.spdx.json", "web.toml"]);
  });

  test("a tree deeper than any path may be long is replaced", async () => {
    using here = scene();
    const layer = join(here.layers, "example_app/dist");
    mkdirSync(layer, { recursive: true });
    try {
      deepTree(layer, 60);
      expect((await restore(here)).exitCode).toBe(0);
      expect(readdirSync(layer).sort()).toEqual(["bin", "data"]);
      expect(readdirSync(here.layers).sort()).toEqual(["analyzed.toml", "example_app", "group.toml"]);
    } finally {
      removeTree(here.layers);
    }
  });
});

/** Directories in directories, each with a name of 200 bytes. */
function deepTree(root: string, levels: number): void {
  let at = Directory.open(root);
  for (let level = 0; level < levels; level++) {
    const name = "d".repeat(200);
    mkdirSync(at.at(name));
    const next = at.open(name);
    at.close();
    at = next;
  }
  writeFileSync(at.at("file"), "");
  at.close();
}

describe("input files", () => {
  test("that are fifos, directories or devices end the run or are done without, but never block", async () => {
    using here = scene();
    const replace = (name: string, plant: (path: string) => void) => {
      rmSync(join(here.layers, name), { recursive: true });
      plant(join(here.layers, name));
    };
    replace("analyzed.toml", (path) => Bun.spawnSync(["mkfifo", path]));
    expect(await restore(here)).toMatchObject({ exitCode: 0 });
    replace("analyzed.toml", (path) => symlinkSync("/dev/zero", path));
    expect(await restore(here)).toMatchObject({ exitCode: 0 });
    replace("analyzed.toml", (path) => mkdirSync(path));
    expect(await restore(here)).toMatchObject({ exitCode: 0 });
    replace("group.toml", (path) => Bun.spawnSync(["mkfifo", path]));
    expect(await restore(here)).toMatchObject({ exitCode: 1 });
    replace("group.toml", (path) => symlinkSync("/dev/zero", path));
    expect(await restore(here)).toMatchObject({ exitCode: 1 });
  });

  test("that are links do not show what they lead to in a message", async () => {
    using here = scene();
    writeFileSync(join(here.canary, "closed"), "root:$6$hash:1:2\nother = [secret\n", { mode: 0o600 });
    for (const name of ["analyzed.toml", "group.toml"]) {
      rmSync(join(here.layers, name));
      symlinkSync(join(here.canary, "closed"), join(here.layers, name));
      const { stdout, stderr } = await restore(here);
      expect(stderr).toContain(name);
      expect(stdout + stderr).not.toMatch(/hash|secret/);
    }
    rmSync(join(here.layers, "group.toml"));
    writeFileSync(join(here.layers, "group.toml"), groupToml([{ id: "example/app" }]));
    const metadata = join(here.path, "cache/committed/io.buildpacks.lifecycle.cache.metadata");
    for (const text of ["supersecret", '{"a": supersecret}', "123 supersecret"]) {
      writeFileSync(join(here.canary, "closed"), text, { mode: 0o600 });
      rmSync(metadata);
      symlinkSync(join(here.canary, "closed"), metadata);
      const { exitCode, stdout, stderr } = await restore(here);
      expect(exitCode).toBe(0);
      expect(stderr).toContain("Not using the cache");
      expect(stdout + stderr).not.toContain("supersecret");
    }
  });

  test("a report is not written through a link into the canary by a restore that has dropped privileges", async () => {
    using here = scene();
    symlinkSync(join(here.canary, "file"), join(here.layers, "report.json"));
    chmodSync(join(here.canary, "file"), 0o644);
    const before = stamps(here.canary);
    const own = isRoot ? ["-uid", String(nobody), "-gid", String(nobody)] : [];
    const { exitCode } = await restore(here, [...own, "-report", join(here.layers, "report.json")]);
    if (!isRoot) return;
    expect(exitCode).toBe(1);
    expect(stamps(here.canary)).toEqual(before);
  });
});

describe("ownership", () => {
  const asNobody = ["-uid", String(nobody), "-gid", String(nobody)];

  withRoot(
    "is changed for what stands in the layers directory, links themselves included, and for nothing they lead to",
    async () => {
      using here = scene();
      writeTree(here.layers, {
        old: {
          out: link(here.canary),
          file: link(join(here.canary, "file")),
          dangling: link("nowhere"),
          self: link("."),
          loop: link("loop"),
          own: "x",
          closed: directory({ inside: file("x", 0) }, 0),
        },
      });
      Bun.spawnSync(["mkfifo", join(here.layers, "old/fifo")]);
      Bun.spawnSync(["mknod", join(here.layers, "old/null"), "c", "1", "3"]);
      const before = stamps(here.canary);
      const modes = (tree: ReturnType<typeof snapshot>) => [...tree].map(([name, { mode }]) => `${name} ${mode}`);
      const old = modes(snapshot(join(here.layers, "old")));
      expect(await restore(here, asNobody)).toMatchObject({ exitCode: 0 });
      expect(stamps(here.canary)).toEqual(before);
      for (const [name, { uid, gid }] of snapshot(here.layers))
        expect({ name, uid, gid }).toEqual({ name, uid: nobody, gid: nobody });
      expect(modes(snapshot(join(here.layers, "old")))).toEqual(old);
      expect(statSync(here.layers)).toMatchObject({ uid: nobody, gid: nobody });
    },
  );

  withRoot("of a file with other names outside stays as it is, with a warning", async () => {
    using here = scene();
    linkSync(join(here.canary, "file"), join(here.layers, "hard"));
    const { exitCode, stderr } = await restore(here, asNobody);
    expect(exitCode).toBe(0);
    expect(stderr).toContain("hard");
    expect(statSync(join(here.canary, "file")).uid).toBe(0);
    expect(statSync(join(here.layers, "example_app/dist/data")).uid).toBe(nobody);
  });

  withRoot("is given where the layers directory is a link to a volume, and the link stays root's", async () => {
    using here = scene();
    renameSync(here.layers, here.join("volume"));
    symlinkSync(here.join("volume"), here.layers);
    expect(await restore(here, asNobody)).toMatchObject({ exitCode: 0 });
    expect(lstatSync(here.layers).uid).toBe(0);
    expect(statSync(here.join("volume")).uid).toBe(nobody);
    expect(statSync(here.join("volume/example_app/dist/data")).uid).toBe(nobody);
  });

  withRoot("of the cache is never changed", async () => {
    using here = scene();
    const before = stamps(here.join("cache"));
    expect(await restore(here, asNobody)).toMatchObject({ exitCode: 0 });
    expect(stamps(here.join("cache"))).toEqual(before);
  });

  withRoot("cannot be raced out of the tree by a directory that becomes a link and back", async () => {
    using here = scene();
    const traps = Array.from({ length: 20 }, (_, index) => `trap-${index}`);
    const reset = () => {
      for (const trap of traps) {
        rmSync(join(here.layers, trap), { recursive: true, force: true });
        writeTree(here.layers, { [trap]: { file: "x", dir: { inside: "x" } } });
      }
      for (const path of [here.layers, ...traps.map((trap) => join(here.layers, trap))]) chownSync(path, 0, 0);
    };
    reset();
    const before = stamps(here.canary);
    const swap = `
      const { renameSync, symlinkSync, unlinkSync } = require("node:fs");
      const [layers, canary] = process.argv.slice(-2);
      for (;;) for (let i = 0; i < ${traps.length}; i++) {
        const trap = layers + "/trap-" + i, aside = canary + "-aside-" + i;
        try { renameSync(trap, aside); symlinkSync(canary, trap); unlinkSync(trap); renameSync(aside, trap); } catch {}
      }`;
    const swapper = Bun.spawn([process.execPath, "-e", swap, "--", here.layers, here.canary], { stderr: "inherit" });
    try {
      for (let round = 0; round < 12; round++) {
        // Losing the race may end the run, but with no more than an error.
        const { exitCode, signal } = await restore(here, asNobody);
        expect({ signal, known: [0, 1, 42].includes(exitCode ?? -1) }).toEqual({ signal: null, known: true });
        chownSync(here.layers, 0, 0);
      }
    } finally {
      swapper.kill("SIGKILL");
      await swapper.exited;
    }
    expect(stamps(here.canary)).toEqual(before);
  });

  skipUnless(isRoot && have("setpriv"), "root and setpriv")(
    "of nothing is changed for a user who is not root",
    async () => {
      using here = scene();
      chownSync(here.layers, nobody, nobody);
      const { exitCode, stderr } = await restore(here, ["-uid", "12345", "-gid", "12345"], { uid: nobody });
      expect(exitCode).toBe(0);
      expect(stderr).toContain("cannot become user 12345:12345");
      expect(statSync(join(here.layers, "example_app/dist/data")).uid).toBe(nobody);
      expect(statSync(join(here.layers, "group.toml")).uid).toBe(0);
    },
  );
});
