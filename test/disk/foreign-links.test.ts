import { describe, expect } from "bun:test";
import {
  chmodSync,
  lchownSync,
  linkSync,
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
import { describe as describeError } from "../../lib/errors.ts";
import { readLayoutImage } from "../../lib/images/layout.ts";
import { isRoot, type RunResult, runRestorer, skipUnless, snapshot, writeTree } from "../support/harness.ts";
import { layoutOf, layoutTree } from "../support/layout-fixture.ts";
import { type PlantingScene, plantingScene } from "../support/planting-scene.ts";
import { testImage, testIndex } from "../support/test-image.ts";

const withRoot = skipUnless(isRoot, "root");
const nobody = 65534;
const metadataName = "io.buildpacks.lifecycle.cache.metadata";
const told = /a link or hard link that is not root's leads to what not everybody may read/;

/** A cache, the flags that name it, and what of it may be replaced by links. */
interface Kind {
  readonly make: (here: PlantingScene) => void;
  readonly args: (here: PlantingScene) => string[];
  /** In place of each of these, in `cache`, stands a link to it in root's own directory. */
  readonly links: Readonly<Record<string, (cache: string) => string[]>>;
}

const inDirectory = (dir: string) => (cache: string) =>
  readdirSync(join(cache, dir)).map((name) => (dir === "" ? name : `${dir}/${name}`));

/** Manifest and config are JSON. */
const isLayer = (blob: string) => readFileSync(blob, "latin1")[0] !== "{";

/** With a buildpack of a telling name. */
function metadataOf(here: PlantingScene): string {
  const metadata = JSON.parse(readFileSync(here.join("cache/committed", metadataName), "utf8"));
  metadata.buildpacks.push({ key: "hunter2-secret", version: "1", layers: {} });
  return JSON.stringify(metadata);
}

/** The volume cache of a scene, as an image in an OCI layout; its tag is telling, too. */
function makeLayout(here: PlantingScene): void {
  const committed = here.join("cache/committed");
  const tars = readdirSync(committed).filter((name) => name.endsWith(".tar"));
  const layers = tars.map((name) => readFileSync(join(committed, name)));
  const image = testImage({ layers, labels: { [metadataName]: metadataOf(here) } });
  const index = JSON.parse(Buffer.from(testIndex([{ image }]).bytes).toString());
  index.manifests[0].annotations = { "org.opencontainers.image.ref.name": "hunter2-secret" };
  rmSync(here.join("cache"), { recursive: true });
  const bytes = Buffer.from(JSON.stringify(index));
  writeTree(here.path, { cache: layoutOf({ ...image, bytes }, image) });
}

const volume: Kind = {
  make(here) {
    const metadata = metadataOf(here);
    chmodSync(here.join("cache/committed", metadataName), 0o644);
    writeFileSync(here.join("cache/committed", metadataName), metadata);
  },
  args: (here) => ["-cache-dir", here.join("cache")],
  links: {
    "its directory": () => ["committed"],
    "its files": inDirectory("committed"),
    "its blobs": (cache) => inDirectory("committed")(cache).filter((name) => name.endsWith(".tar")),
  },
};

const layout: Kind = {
  make: makeLayout,
  args: (here) => ["-cache-image", `oci:${here.join("cache")}`],
  links: {
    "its blobs' directory": () => ["blobs"],
    "its index.json": () => ["index.json"],
    "all blobs": inDirectory("blobs/sha256"),
    "its layers": (cache) => inDirectory("blobs/sha256")(cache).filter((name) => isLayer(join(cache, name))),
  },
};

const kinds: Readonly<Record<string, Kind>> = {
  "a volume cache": volume,
  "an OCI layout": layout,
  "an OCI layout to fall back on": {
    ...layout,
    args: (here) => ["-cache-dir", here.join("none"), "-cache-from", `oci:${here.join("cache")}`],
  },
};

/** How others are kept from reading what lies in root's own directory. */
const closings: Readonly<Record<string, (dir: string) => void>> = {
  "which only root may read": (dir) => {
    for (const name of readdirSync(dir, { recursive: true, encoding: "utf8" }))
      if (statSync(join(dir, name)).isFile()) chmodSync(join(dir, name), 0o600);
    chmodSync(dir, 0o700);
  },
  "in a directory of root's alone": (dir) => chmodSync(dir, 0o700),
};

/** Who put the links there. */
const chains: Readonly<Record<string, (target: string, link: string, here: PlantingScene) => void>> = {
  "somebody else's link": (target, link) => plant(target, link, nobody),
  "root's link to somebody else's": (target, link, here) => {
    const further = here.join("others", Bun.hash(link).toString(36));
    mkdirSync(dirname(further), { recursive: true });
    lchownSync(dirname(further), nobody, nobody);
    plant(target, further, nobody);
    plant(further, link, 0);
  },
};

function plant(target: string, link: string, owner: number): void {
  symlinkSync(target, link);
  lchownSync(link, owner, owner);
}

/** Moves parts of the cache to root's own directory, and links to each of them. */
function scene(
  kind: Kind,
  links: (cache: string) => string[],
  link: (target: string, link: string, here: PlantingScene) => void,
): PlantingScene {
  const here = plantingScene();
  kind.make(here);
  for (const part of links(here.join("cache"))) {
    const target = here.join("private", part);
    mkdirSync(dirname(target), { recursive: true });
    renameSync(here.join("cache", part), target);
    link(target, here.join("cache", part), here);
  }
  return here;
}

function run(here: PlantingScene, kind: Kind, flags: readonly string[] = []): Promise<RunResult> {
  return runRestorer(["-layers", here.layers, ...kind.args(here), "-report", "-", ...flags]);
}

const hasLayer = ({ layers }: PlantingScene) => snapshot(layers).has("example_app/dist/data");

for (const [what, kind] of Object.entries(kinds)) {
  describe(`of ${what} that somebody else's links make of root's own files nothing comes back, and nothing is told:`, () => {
    for (const [place, links] of Object.entries(kind.links)) {
      for (const [chain, link] of Object.entries(chains)) {
        for (const [how, close] of Object.entries(closings)) {
          withRoot(`${chain} in the place of ${place}, ${how}`, async () => {
            using here = scene(kind, links, link);
            close(here.join("private"));
            const { stdout, stderr, exitCode } = await run(here, kind);
            expect({ exitCode, told: told.test(stderr) }).toEqual({ exitCode: 0, told: true });
            if (!place.includes("blobs") && !place.includes("layers")) expect(stdout + stderr).not.toContain("hunter2");
            expect(hasLayer(here)).toBe(false);
            // The user it becomes may not read it by himself.
            using again = scene(kind, links, link);
            close(again.join("private"));
            const other = await run(again, kind, ["-uid", `${nobody}`, "-gid", `${nobody}`]);
            expect(other.stderr).toMatch(new RegExp(`${told.source}|permission denied|is missing`));
            expect(hasLayer(again)).toBe(false);
          });
        }
      }

      withRoot(`by root's own links in the place of ${place} all comes back`, async () => {
        using here = scene(kind, links, (target, link) => plant(target, link, 0));
        for (const close of Object.values(closings)) close(here.join("private"));
        expect(await run(here, kind)).toMatchObject({ exitCode: 0 });
        expect(hasLayer(here)).toBe(true);
      });
    }
  });
}

describe("what only its owner may read, and has another name that others may have given it (hard link),", () => {
  /** Gives all files of a cache a further name, and its directories to somebody. */
  function hardLinked(kind: Kind, owner: number, mode = 0o755): PlantingScene {
    const here = plantingScene();
    kind.make(here);
    const cache = here.join("cache");
    mkdirSync(here.join("private"), { mode: 0o700 });
    for (const name of ["", ...readdirSync(cache, { recursive: true, encoding: "utf8" })]) {
      const path = join(cache, name);
      if (statSync(path).isFile()) {
        chmodSync(path, 0o600);
        linkSync(path, here.join("private", Bun.hash(name).toString(36)));
      } else {
        chmodSync(path, mode);
        lchownSync(path, owner, owner);
      }
    }
    return here;
  }

  for (const [what, kind] of Object.entries(kinds)) {
    withRoot(`is not used of ${what} where others may write`, async () => {
      for (const [owner, mode] of [
        [nobody, 0o755],
        [0, 0o1777],
      ]) {
        using here = hardLinked(kind, owner ?? 0, mode);
        for (const flags of [[], ["-uid", `${nobody}`, "-gid", `${nobody}`]]) {
          const { stdout, stderr, exitCode } = await run(here, kind, flags);
          expect(exitCode).toBe(0);
          // The user it becomes may not read it by himself.
          expect(stderr).toMatch(new RegExp(`${told.source}|permission denied`));
          expect(stdout + stderr).not.toContain("hunter2");
          expect(hasLayer(here)).toBe(false);
        }
      }
    });

    withRoot(`is used of ${what} where only root may write, or its owner`, async () => {
      using here = hardLinked(kind, 0);
      expect(await run(here, kind)).toMatchObject({ exitCode: 0 });
      expect(hasLayer(here)).toBe(true);
      using own = hardLinked(kind, nobody);
      Bun.spawnSync(["chown", "-R", `${nobody}`, own.join("cache")]);
      expect(await run(own, kind)).toMatchObject({ exitCode: 0 });
      expect(hasLayer(own)).toBe(true);
    });
  }

  withRoot("is not used as analyzed.toml", async () => {
    using here = plantingScene();
    chmodSync(join(here.layers, "analyzed.toml"), 0o600);
    linkSync(join(here.layers, "analyzed.toml"), here.join("root's own"));
    lchownSync(here.layers, nobody, nobody);
    const { stderr, exitCode } = await run(here, volume);
    expect({ exitCode, told: told.test(stderr) }).toEqual({ exitCode: 0, told: true });
    expect(snapshot(here.layers).has("example_app/store.toml")).toBe(false);
  });
});

describe("of a run image's layout", () => {
  withRoot("nothing is used that somebody else's link makes of root's own files", async () => {
    for (const part of ["index.json", "blobs"]) {
      using here = scene(
        { ...layout, make: (scene) => writeTree(scene.path, { cache: layoutTree("run") }) },
        () => [`run/latest/${part}`],
        (target, link) => plant(target, link, nobody),
      );
      chmodSync(here.join("private"), 0o700);
      const read = readLayoutImage(here.join("cache"), here.join("cache/run/latest"));
      expect(await read.catch((error) => describeError(error))).toMatch(told);
    }
  });
});

describe("of a layout's files that not everybody may read nothing is told:", () => {
  withRoot("no tag of an index", async () => {
    using here = scene(
      layout,
      () => [],
      () => {},
    );
    chmodSync(here.join("cache/index.json"), 0o600);
    const { stdout, stderr } = await runRestorer([
      "-layers",
      here.layers,
      "-cache-image",
      `oci:${here.join("cache")}:v1`,
    ]);
    expect(stderr).toContain('no image has the tag "v1"');
    expect(stdout + stderr).not.toContain("hunter2");
  });

  withRoot("no digest of a blob", async () => {
    using here = scene(
      layout,
      () => [],
      () => {},
    );
    const dir = here.join("cache/blobs/sha256");
    const blob = readdirSync(dir).find((name) => isLayer(join(dir, name))) ?? "";
    const content = readFileSync(join(dir, blob));
    content.reverse();
    writeFileSync(join(dir, blob), content);
    chmodSync(join(dir, blob), 0o600);
    const digest = new Bun.CryptoHasher("sha256").update(content).digest("hex");
    const { stdout, stderr } = await run(here, layout);
    expect(stdout + stderr).not.toContain(digest);
    expect(stderr).toContain("Not restoring");
  });
});
