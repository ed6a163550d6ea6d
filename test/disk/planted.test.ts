import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { Directory } from "../../lib/disk/directory.ts";
import { emptyDirectory } from "../../lib/disk/removal.ts";
import { groupToml } from "../support/cache-fixture.ts";
import { stamps } from "../support/canary.ts";
import {
  differences,
  directory,
  isRoot,
  link,
  skipUnless,
  snapshot,
  type Tree,
  writeTree,
} from "../support/harness.ts";

import { plantingScene, restore } from "../support/planting-scene.ts";

const nobody = 65534;

/** What a restore into an empty layers directory makes. */
async function expected(): Promise<ReturnType<typeof snapshot>> {
  using fresh = plantingScene();
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
  "a socket": (path) => void Bun.listen({ unix: path, socket: { data() {} } }).unref(),
  ...(isRoot && { "a device": (path) => void Bun.spawnSync(["mknod", path, "c", "1", "3"]) }),
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
const isKept = (place: string, kind: string): boolean => place === "example_app" && kind.startsWith("a file");

describe("what is planted in the layers directory", () => {
  for (const [kind, plant] of Object.entries(plants)) {
    test(`${kind} is never followed and never blocks, wherever a restore writes`, async () => {
      const should = await expected();
      await Promise.all(
        places.map(async (place) => {
          using here = plantingScene();
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

  for (const kind of Object.keys(plants).filter((name) => /^a (link|dang|fifo|socket|device)|^a file$/.test(name))) {
    skipUnless(isRoot, "root")(
      `${kind} for a buildpack's directory is to a user whom root becomes what it is to root`,
      async () => {
        using here = plantingScene();
        plants[kind]?.(join(here.layers, "example_app"), here.canary);
        const before = stamps(here.canary);
        const { exitCode, stderr } = await restore(here, ["-uid", String(nobody), "-gid", String(nobody)]);
        expect({ exitCode, after: stamps(here.canary) }).toEqual({
          exitCode: kind === "a file" ? 42 : 0,
          after: before,
        });
        expect(stderr).toContain(
          kind === "a file" ? "is a file, not a directory" : "in the place of a buildpack's directory",
        );
      },
    );
  }

  test("a hard link to a file outside is replaced, the file kept as it is", async () => {
    const should = await expected();
    for (const place of places.filter((name) => name !== "example_app")) {
      using here = plantingScene();
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
    using here = plantingScene();
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
    using here = plantingScene();
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
    using here = plantingScene();
    const layer = join(here.layers, "example_app/dist");
    mkdirSync(layer, { recursive: true });
    try {
      deepTree(layer, 60);
      expect((await restore(here)).exitCode).toBe(0);
      expect(readdirSync(layer).sort()).toEqual(["bin", "data"]);
      expect(readdirSync(here.layers).sort()).toEqual(["analyzed.toml", "example_app", "group.toml"]);
    } finally {
      const layers = Directory.open(here.layers);
      emptyDirectory(layers);
      layers.close();
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
    using here = plantingScene();
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
    using here = plantingScene();
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
    using here = plantingScene();
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
