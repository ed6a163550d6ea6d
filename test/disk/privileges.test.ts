import { afterAll, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import {
  chmodSync,
  chownSync,
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { analyzedToml, groupToml, makeCache } from "../support/cache-fixture.ts";
import { eventually } from "../support/eventually.ts";
import {
  file,
  have,
  isRoot,
  type RunningRestorer,
  runRestorer,
  skipUnless,
  snapshot,
  startRestorer,
  type TempDir,
  tempDir,
  writeTree,
} from "../support/harness.ts";
import { tarOf } from "../support/raw-tar.ts";

setDefaultTimeout(60_000);

const withRoot = skipUnless(isRoot, "root");
const withSetpriv = skipUnless(isRoot && have("setpriv"), "root and setpriv");
const [uid, gid] = [12345, 54321];
const asUser = ["-uid", String(uid), "-gid", String(gid)];

const group = { "group.toml": groupToml([{ id: "example/app" }]), "analyzed.toml": analyzedToml() };

/** A run that goes on until it is told to stop: its blob takes a minute to read, though it holds little. */
class LongRun {
  readonly #dir: TempDir = tempDir("privileges", { layers: group });
  readonly layers = this.#dir.join("layers");
  #run: RunningRestorer | undefined;

  async start(args: readonly string[]): Promise<void> {
    const tar = tarOf([{ name: "/layers/example_app/endless/file", data: "x" }]);
    const layers = [{ name: "endless", tar }];
    const cache = makeCache(this.#dir.join("cache"), [{ id: "example/app", layers }]);
    const blob = openSync(cache.blob("example/app", "endless"), "r+");
    ftruncateSync(blob, 2 ** 37);
    closeSync(blob);
    this.#run = startRestorer(["-layers", this.layers, "-cache-dir", this.#dir.join("cache"), ...args]);
    await eventually("the restore to begin", () =>
      readdirSync(this.layers, { recursive: true }).find((name) => String(name).endsWith("/file")),
    );
  }

  get pid(): number {
    return this.#run?.pid ?? 0;
  }

  async end(): Promise<void> {
    this.#run?.kill("SIGTERM");
    await this.#run?.result;
    this.#dir[Symbol.dispose]();
  }
}

/** The fields of /proc/<pid>/task/<thread>/status, one map a thread. */
function threads(pid: number): Map<string, string>[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const lines = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8").split("\n");
    return new Map(lines.map((line) => [line.split(":")[0] ?? "", line.slice(line.indexOf(":") + 1).trim()]));
  });
}

describe("a run that became a user", () => {
  let run: LongRun;
  beforeAll(async () => {
    run = new LongRun();
    if (isRoot) await run.start(asUser);
  });
  afterAll(() => run.end());

  withRoot("has in every thread the user's ids only: real, effective, saved and file system", () => {
    const all = threads(run.pid);
    // Extraction goes on in threads of its own.
    expect(all.length).toBeGreaterThan(2);
    for (const status of all) {
      expect(status.get("Uid")?.split(/\s+/)).toEqual(Array(4).fill(String(uid)));
      expect(status.get("Gid")?.split(/\s+/)).toEqual(Array(4).fill(String(gid)));
      expect(status.get("Groups")).toBe(String(gid));
    }
  });

  withRoot("has in no thread a capability", () => {
    for (const status of threads(run.pid)) {
      for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) expect(status.get(set)).toBe("0000000000000000");
    }
  });

  withRoot("holds nothing open that was not meant for it: the blob it reads, its directories, its streams", () => {
    const open = readdirSync(`/proc/${run.pid}/fd`).map((fd) => readlinkSync(`/proc/${run.pid}/fd/${fd}`));
    const strangers = open.filter(
      (path) => !/^(pipe|socket|anon_inode|\/dev\/null|\/memfd|.*restorer-privileges-)/.test(path),
    );
    expect(strangers).toEqual([]);
  });

  withRoot("cannot be looked into by others of that user", () => {
    // A process that changed its ids is not dumpable: its memory, which held credentials, belongs to root.
    expect(statSync(`/proc/${run.pid}/environ`).uid).toBe(0);
  });
});

describe("privileges", () => {
  interface Scene extends TempDir {
    readonly layers: string;
    readonly cache: string;
  }
  function scene(): Scene {
    const dir = tempDir("privileges", {
      layers: group,
      tree: { data: "good", bin: { run: file("#!", 0o4755) } },
      sbom: { example_app: { dist: { "sbom.cdx.json": "{}" } } },
    });
    const layers = [{ name: "dist", tree: dir.join("tree") }];
    makeCache(dir.join("cache"), [{ id: "example/app", layers }], { sbom: { tree: dir.join("sbom") } });
    return Object.assign(dir, { layers: dir.join("layers"), cache: dir.join("cache") });
  }
  const restore = ({ layers, cache }: Scene, args: readonly string[], options = {}) =>
    runRestorer(["-layers", layers, "-cache-dir", cache, ...args], options);

  function owners(root: string): string[] {
    return [...new Set([...snapshot(root).values()].map((entry) => `${entry.uid}:${entry.gid}`))];
  }

  withRoot("everything restored belongs to the user, set-id files included", async () => {
    using here = scene();
    expect(await restore(here, asUser)).toMatchObject({ exitCode: 0, stderr: "" });
    expect(owners(here.layers)).toEqual([`${uid}:${gid}`]);
    expect(snapshot(here.layers).get("example_app/dist/bin/run")).toMatchObject({ mode: "4755", uid, gid });
  });

  withRoot("a cache that only root can enter is restored all the same, and stays root's", async () => {
    using here = scene();
    chmodSync(here.cache, 0o700);
    expect(await restore(here, asUser)).toMatchObject({ exitCode: 0, stderr: "" });
    expect(owners(here.layers)).toEqual([`${uid}:${gid}`]);
    expect(owners(here.cache)).toEqual(["0:0"]);
    expect(snapshot(here.layers).has("example_app/dist.sbom.cdx.json")).toBe(true);
  });

  withRoot("so is one whose files only root can read", async () => {
    using here = scene();
    for (const name of readdirSync(join(here.cache, "committed")))
      chmodSync(join(here.cache, "committed", name), 0o600);
    expect(await restore(here, asUser)).toMatchObject({ exitCode: 0, stderr: "" });
    expect(readFileSync(join(here.layers, "example_app/dist/data"), "utf8")).toBe("good");
  });

  withRoot("a layers directory that is the user's already is not gone through", async () => {
    using here = scene();
    writeTree(here.layers, { "of-root": "x" });
    chownSync(here.layers, uid, gid);
    expect(await restore(here, asUser)).toMatchObject({ exitCode: 0 });
    expect(statSync(join(here.layers, "of-root")).uid).toBe(0);
    expect(statSync(join(here.layers, "example_app/dist/data")).uid).toBe(uid);
  });

  withRoot("a layers directory that does not exist yet is made for the user", async () => {
    using here = scene();
    const layers = here.join("new/layers");
    const args = [...asUser, "-group", join(here.layers, "group.toml"), "-layers", layers];
    expect(await restore(here, args)).toMatchObject({ exitCode: 0 });
    expect(owners(layers)).toEqual([`${uid}:${gid}`]);
    expect(statSync(layers)).toMatchObject({ uid, gid });
  });

  withRoot("the current ids change nothing", async () => {
    using here = scene();
    expect(await restore(here, ["-uid", "0", "-gid", "0"])).toMatchObject({ exitCode: 0, stderr: "" });
    expect(owners(here.layers)).toEqual(["0:0"]);
  });

  withSetpriv("a user who is not root and asks for another one is told, and goes on as who they are", async () => {
    using here = scene();
    chownSync(here.layers, uid, gid);
    const { exitCode, stderr } = await restore(here, ["-uid", "1", "-gid", "1"], { uid, gid });
    expect(exitCode).toBe(0);
    expect(stderr).toContain("Cannot become user 1:1");
    expect(statSync(join(here.layers, "example_app/dist/data"))).toMatchObject({ uid, gid });
  });

  withSetpriv(
    "root without the capability to become another fails with exit 1 before anything is written",
    async () => {
      using here = scene();
      const command = ["setpriv", "--bounding-set=-setuid,-setgid", "--inh-caps=-setuid,-setgid", "--"];
      mkdirSync(here.join("kaniko"));
      const child = Bun.spawn(
        [
          ...command,
          process.env.RESTORER ?? join(import.meta.dir, "../../dist/restorer"),
          "-layers",
          here.layers,
          "-cache-dir",
          here.cache,
          ...asUser,
        ],
        {
          env: { CNB_PLATFORM_API: "0.15", CNB_KANIKO_DIR: here.join("kaniko"), PATH: process.env.PATH },
          stderr: "pipe",
          stdout: "ignore",
        },
      );
      const stderr = await child.stderr.text();
      expect(stderr).toContain("become user");
      expect(await child.exited).toBe(1);
      expect(readdirSync(here.layers).sort()).toEqual(["analyzed.toml", "group.toml"]);
    },
  );
});
