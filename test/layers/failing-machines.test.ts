// Runs alone: it fills disks, kills hundreds of runs, and keeps all cores busy.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  closeSync,
  existsSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { analyzedToml, type CacheFixture, groupToml, makeCache } from "../support/cache-fixture.ts";
import {
  file,
  have,
  isRoot,
  type RunResult,
  restorerPath,
  runRestorer,
  skipUnless,
  startRestorer,
  type TempDir,
  type Tree,
  tempDir,
  writeTree,
} from "../support/harness.ts";
import { tarOf } from "../support/tar-writer.ts";

setDefaultTimeout(120_000);

const buildpack = "example/app";
const directory = "example_app";
const layerNames = ["big", "links", "read-only", "small"] as const;
type Version = "red" | "blue";

/** How many times the kill test kills: KILLS=1000 for the long run. */
const kills = Number(process.env.KILLS ?? 50);

/** A file's text says which version, layer and file it is, so that a mixture shows. */
const textOf = (version: Version, layer: string, index: number): string => `${version} ${layer} ${index}\n`;

/** A layer's files by path: names, modes and number differ between versions. */
function layerTree(version: Version, layer: string, files: number): Tree {
  const tree: Record<string, Tree[string]> = { [`only-${version}`]: version };
  for (let index = 0; index < files; index++) {
    const path = `d${index % 37}/${version === "red" ? "e" : "f"}/${index}`;
    tree[path] = file(textOf(version, layer, index), version === "red" ? 0o644 : 0o755);
  }
  return tree;
}

/** Two caches with the same layers in different versions, and what each layer has to look like. */
class Caches {
  readonly dir: TempDir;
  readonly #caches: Readonly<Record<Version, CacheFixture>>;
  readonly #expected: Readonly<Record<Version, ReadonlyMap<string, string>>>;

  constructor(files: number, padding = 0) {
    this.dir = tempDir("machines");
    const make = (version: Version): [CacheFixture, Map<string, string>] => {
      const expected = new Map<string, string>();
      const layers = layerNames.map((name, index) => {
        const tree = join(this.dir.path, `${version}-tree`, name);
        mkdirSync(tree, { recursive: true });
        const count = Math.ceil((files * (index === 0 ? 2 : 1)) / (layerNames.length + 1));
        writeTree(tree, layerTree(version, name, count));
        if (padding > 0) writeFileSync(join(tree, "padding"), Buffer.alloc(padding, version));
        if (name === "read-only") chmodSync(join(tree, "d0"), 0o555);
        expected.set(name, fingerprint(tree));
        return { name, tree, data: { version } };
      });
      const sbom = join(this.dir.path, `${version}-sbom`);
      const sboms = layerNames.map((name) => [name, { "sbom.cdx.json": `"${version}"` }]);
      writeTree(this.dir.path, { [`${version}-sbom`]: { [directory]: Object.fromEntries(sboms) } });
      const cache = makeCache(this.dir.join(version), [{ id: buildpack, layers }], { sbom: { tree: sbom } });
      return [cache, expected];
    };
    const [red, expectedRed] = make("red");
    const [blue, expectedBlue] = make("blue");
    this.#caches = { red, blue };
    this.#expected = { red: expectedRed, blue: expectedBlue };
  }

  cache(version: Version): CacheFixture {
    return this.#caches[version];
  }

  args(layers: string, version: Version): string[] {
    return ["-layers", layers, "-cache-dir", this.#caches[version].path];
  }

  /** What stands of a layer: a version, nothing that counts, or what is wrong with it. */
  state(layers: string, layer: string): string {
    const place = join(layers, directory, layer);
    if (!existsSync(`${place}.toml`)) return "absent";
    const version = (["red", "blue"] as const).find((name) => readFileSync(`${place}.toml`, "utf8").includes(name));
    if (version === undefined) return `a toml that says ${readFileSync(`${place}.toml`, "utf8")}`;
    if (!existsSync(place)) return `${version} toml without a layer`;
    if (fingerprint(place) !== this.#expected[version].get(layer)) return `${version} toml with other contents`;
    if (readFileSync(`${place}.sbom.cdx.json`, "utf8") !== `"${version}"`) return `${version} toml with another SBOM`;
    return version;
  }

  states(layers: string): string[] {
    return layerNames.map((layer) => this.state(layers, layer));
  }

  [Symbol.dispose](): void {
    this.dir[Symbol.dispose]();
  }
}

/** A digest of all names, modes and contents. */
function fingerprint(root: string): string {
  const hash = new Bun.CryptoHasher("sha256");
  const visit = (path: string): void => {
    for (const entry of readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const child = join(path, entry.name);
      hash.update(`${child.slice(root.length)}\0${lstatSync(child).mode.toString(8)}\0`);
      if (entry.isDirectory()) visit(child);
      else hash.update(readFileSync(child));
    }
  };
  visit(root);
  return hash.digest("hex");
}

function layersDir(dir: TempDir, name = "layers"): string {
  writeTree(dir.path, { [name]: { "group.toml": groupToml([{ id: buildpack }]), "analyzed.toml": analyzedToml() } });
  return dir.join(name);
}

const clean = ["analyzed.toml", directory, "group.toml"];
const all = (version: Version): string[] => layerNames.map(() => version);

/** Names left behind by a run anywhere below a directory. */
function leftovers(layers: string): string[] {
  return readdirSync(layers, { recursive: true, encoding: "utf8" }).filter((name) => name.includes(".restorer-"));
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Bun.nanoseconds() + 30e9;
  while (!condition()) {
    if (Bun.nanoseconds() > deadline) throw new Error(`waited too long until ${what}`);
    await Bun.sleep(2);
  }
}

describe("a restorer that is killed", () => {
  let caches: Caches;
  beforeAll(() => {
    caches = new Caches(5000);
  });
  afterAll(() => caches[Symbol.dispose]());

  test(
    `leaves every layer old, new or absent, at ${kills} random moments, and the next run mends all`,
    async () => {
      using dir = tempDir("kill");
      const layers = layersDir(dir);
      const began = Bun.nanoseconds();
      expect((await runRestorer(caches.args(layers, "red"))).exitCode).toBe(0);
      const full = (Bun.nanoseconds() - began) / 1e6;
      expect(caches.states(layers)).toEqual(all("red"));

      const seen = new Map<string, number>();
      for (let round = 1; round <= kills; round++) {
        const version: Version = round % 2 === 1 ? "blue" : "red";
        const run = startRestorer(caches.args(layers, version));
        if (round % 4 < 2) await Bun.sleep(Math.random() * full);
        else await publishing(layers, run.result);
        run.kill("SIGKILL");
        await run.result;
        const states = caches.states(layers);
        for (const state of states) seen.set(state, (seen.get(state) ?? 0) + 1);
        expect(states.filter((state) => !["red", "blue", "absent"].includes(state))).toEqual([]);

        expect(await runRestorer(caches.args(layers, version))).toMatchObject({ exitCode: 0, stderr: "" });
        expect(caches.states(layers)).toEqual(all(version));
        expect(readdirSync(layers).sort()).toEqual(clean);
      }
      console.log(`after ${kills} kills: ${JSON.stringify(Object.fromEntries(seen))}`);
    },
    10_000 + kills * 5_000,
  );

  test("and whose staging nobody vouches for is swept, another one's is not", async () => {
    using dir = tempDir("sweep");
    const layers = layersDir(dir);
    const now = Date.now() / 1000;
    // Of another machine or PID namespace; only the heartbeat tells. A time far ahead is a clock that jumped back.
    const staged = { silent: now - 3600, beating: now, ahead: now + 3600 };
    const name = (index: number) => `.restorer-0123456789ab-1-1-00000000000${index}`;
    for (const [index, time] of Object.values(staged).entries()) {
      mkdirSync(join(layers, name(index), "s1"), { recursive: true });
      utimesSync(join(layers, name(index)), time, time);
    }
    writeTree(layers, { ".restorer-is-not-ours": { keep: "1" } });
    expect((await runRestorer(caches.args(layers, "red"))).exitCode).toBe(0);
    expect(caches.states(layers)).toEqual(all("red"));
    expect(leftovers(layers).sort()).toEqual(
      [name(1), `${name(1)}/s1`, ".restorer-is-not-ours", ".restorer-is-not-ours/keep"].sort(),
    );
  });

  test("twice at once on one layers directory: both end well, all is exact, nothing is left over", async () => {
    using dir = tempDir("twice");
    const layers = layersDir(dir);
    for (const versions of [
      ["red", "red"],
      ["red", "red"],
      ["blue", "blue", "blue", "blue"],
      ["blue", "blue"],
    ] as const) {
      const results = await Promise.all(versions.map((version) => runRestorer(caches.args(layers, version))));
      for (const result of results) expect(result).toMatchObject({ exitCode: 0, stderr: "" });
      expect(caches.states(layers)).toEqual(all(versions[0]));
      expect(readdirSync(layers).sort()).toEqual(clean);
    }
  });

  test("four times at once over many small layers: all end well", async () => {
    const names = Array.from({ length: 40 }, (_, index) => `layer-${index}`);
    using dir = tempDir("race", { tree: { file: "text" } });
    const sboms = names.map((name) => [name, { "sbom.cdx.json": "{}", "sbom.spdx.json": "{}" }]);
    writeTree(dir.path, { sbom: { [directory]: Object.fromEntries(sboms) } });
    const contents = names.map((name) => ({ name, tree: dir.join("tree") }));
    makeCache(dir.join("cache"), [{ id: buildpack, layers: contents }], { sbom: { tree: dir.join("sbom") } });
    const layers = layersDir(dir);
    for (let round = 0; round < 8; round++) {
      writeTree(layers, { sbom: { launch: { other: { "sbom.cdx.json": "{}" } } } });
      const runs = Array.from({ length: 4 }, () => runRestorer(["-layers", layers, "-cache-dir", dir.join("cache")]));
      for (const result of await Promise.all(runs)) expect(result).toMatchObject({ exitCode: 0, stderr: "" });
      expect(readdirSync(layers).sort()).toEqual(clean);
      expect(readdirSync(join(layers, directory)).length).toBe(names.length * 4);
    }
  });

  test("twice at once on one cache: both restore all of it", async () => {
    using dir = tempDir("shared-cache");
    const places = [layersDir(dir, "one"), layersDir(dir, "two")];
    const results = await Promise.all(places.map((layers) => runRestorer(caches.args(layers, "red"))));
    for (const result of results) expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    for (const layers of places) expect(caches.states(layers)).toEqual(all("red"));
  });

  test("64 open files are enough", async () => {
    using dir = tempDir("emfile");
    const layers = layersDir(dir);
    const result = await runLimited("ulimit -n 64", caches.args(layers, "red"));
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expect(caches.states(layers)).toEqual(all("red"));
  });

  test("too few open files end with exit 42 or 1 and a reason, or well; no layer is half there", async () => {
    using dir = tempDir("emfile");
    for (const count of [40, 30, 24, 20, 16, 12]) {
      const layers = layersDir(dir, `layers-${count}`);
      const result = await runLimited(`ulimit -n ${count}`, caches.args(layers, "red"));
      expect(
        existsSync(join(layers, directory)) ? caches.states(layers).filter((s) => !["red", "absent"].includes(s)) : [],
      ).toEqual([]);
      if (result.exitCode === 0) expect(caches.states(layers)).toEqual(all("red"));
      else
        expect({
          exitCode: result.exitCode,
          known: [1, 42].includes(result.exitCode ?? -1),
          stderr: result.stderr,
        }).toMatchObject({ known: true });
    }
  });
});

/** Resolves at a random moment soon after the first old layer is gone, when layers are on their way to their places. */
async function publishing(layers: string, result: Promise<RunResult>): Promise<void> {
  let ended = false;
  result.then(() => {
    ended = true;
  });
  const tomls = layerNames.map((layer) => join(layers, directory, `${layer}.toml`));
  while (!ended && tomls.every((path) => existsSync(path))) await Bun.sleep(1);
  if (!ended) await Bun.sleep(Math.random() * 10);
}

/** Runs the executable under a shell's resource limit. */
async function runLimited(limit: string, args: readonly string[]): Promise<RunResult> {
  using home = tempDir("home");
  const child = Bun.spawn(["sh", "-c", `${limit} && exec "$@"`, "sh", restorerPath(), ...args], {
    env: { PATH: process.env.PATH, HOME: home.path, CNB_PLATFORM_API: "0.15", CNB_KANIKO_DIR: home.join("kaniko") },
    cwd: home.path,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return {
    exitCode: child.exitCode,
    signal: child.signalCode === null ? null : String(child.signalCode),
    stdout,
    stderr,
  };
}

/** Whether this process may mount, which takes more than being root. */
const canMount = isRoot && mayMount();

function mayMount(): boolean {
  using dir = tempDir("mount");
  if (Bun.spawnSync(["mount", "-t", "tmpfs", "tmpfs", dir.path]).exitCode !== 0) return false;
  Bun.spawnSync(["umount", dir.path]);
  return true;
}

/** A mount that ends with the block. */
function mount(path: string, ...args: readonly string[]): Disposable {
  const { exitCode, stderr } = Bun.spawnSync(["mount", ...args, path]);
  if (exitCode !== 0) throw new Error(`mount ${args.join(" ")} ${path}: ${stderr}`);
  return { [Symbol.dispose]: () => void Bun.spawnSync(["umount", path]) };
}

describe("a disk that fails", () => {
  let caches: Caches;
  beforeAll(() => {
    caches = new Caches(200, 1 << 20);
  });
  afterAll(() => caches[Symbol.dispose]());
  const withMounts = skipUnless(canMount, "root who may mount");

  function expectWhole(layers: string, states: readonly string[] = ["red", "blue", "absent"]): void {
    expect(caches.states(layers).filter((state) => !states.includes(state))).toEqual([]);
    expect(leftovers(layers)).toEqual([]);
  }

  for (const options of ["size=256k", "size=1200k", "size=3m", "size=4300k", "nr_inodes=60", "nr_inodes=260"]) {
    withMounts(`of ${options} that is full ends with exit 42, nothing half, and no staging`, async () => {
      using dir = tempDir("full");
      mkdirSync(dir.join("layers"));
      using _ = mount(dir.join("layers"), "-t", "tmpfs", "-o", `${options},mode=755`, "tmpfs");
      const layers = layersDir(dir);
      const { exitCode, stderr } = await runRestorer(caches.args(layers, "red"));
      expect(stderr).toContain("no space left on device");
      expect(exitCode).toBe(42);
      expectWhole(layers, ["red", "absent"]);
    });
  }

  withMounts("that is full keeps older layers that are whole, or removes them", async () => {
    using dir = tempDir("full");
    mkdirSync(dir.join("layers"));
    using _ = mount(dir.join("layers"), "-t", "tmpfs", "-o", "size=6m,mode=755", "tmpfs");
    const layers = layersDir(dir);
    expect((await runRestorer(caches.args(layers, "red"))).exitCode).toBe(0);
    const fill = openSync(join(layers, "filler"), "w");
    try {
      for (;;) writeFileSync(fill, Buffer.alloc(64 << 10));
    } catch {
    } finally {
      closeSync(fill);
    }
    expect((await runRestorer(caches.args(layers, "blue"))).exitCode).toBe(42);
    expectWhole(layers);
  });

  withMounts("a read-only layers directory: exit 42", async () => {
    using dir = tempDir("read-only");
    const layers = layersDir(dir);
    using _ = mount(layers, "--bind", "-o", "ro", layers);
    const { exitCode, stderr } = await runRestorer(caches.args(layers, "red"));
    expect(stderr).toContain("read-only file system");
    expect(exitCode).toBe(42);
    expect(readdirSync(layers).sort()).toEqual(["analyzed.toml", "group.toml"]);
  });

  skipUnless(!isRoot || have("setpriv"), "setpriv")(
    "a layers directory that is not ours to write: exit 42",
    async () => {
      using dir = tempDir("not-ours");
      const layers = layersDir(dir);
      chmodSync(layers, 0o555);
      const { exitCode, stderr } = await runRestorer(caches.args(layers, "red"), isRoot ? { uid: 65534 } : {});
      expect(stderr).toContain("permission denied");
      expect(exitCode).toBe(42);
      expect(readdirSync(layers).sort()).toEqual(["analyzed.toml", "group.toml"]);
    },
  );

  withMounts("a read-only cache restores as any other", async () => {
    using dir = tempDir("read-only");
    const layers = layersDir(dir);
    const { path } = caches.cache("red");
    mkdirSync(dir.join("cache"));
    using _ = mount(dir.join("cache"), "--bind", "-o", "ro", path);
    const result = await runRestorer(["-layers", layers, "-cache-dir", dir.join("cache")]);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expect(caches.states(layers)).toEqual(all("red"));
  });

  const spoilt: Readonly<Record<string, (blob: string) => void>> = {
    "cut off in the middle": (blob) => truncateSync(blob, Math.floor(lstatSync(blob).size / 1024) * 512),
    "a directory": (blob) => {
      rmSync(blob);
      mkdirSync(blob);
    },
    "a fifo": (blob) => {
      rmSync(blob);
      Bun.spawnSync(["mkfifo", blob]);
    },
    "a link to nowhere": (blob) => {
      rmSync(blob);
      symlinkSync("nowhere", blob);
    },
    // Reading at its start is an input/output error.
    "unreadable (EIO)": (blob) => {
      rmSync(blob);
      symlinkSync("/proc/self/mem", blob);
    },
    "endless zeros (a device)": (blob) => {
      rmSync(blob);
      symlinkSync("/dev/zero", blob);
    },
    absent: (blob) => rmSync(blob),
  };
  for (const [how, spoil] of Object.entries(spoilt)) {
    test(`a blob that is ${how} costs its layer only`, async () => {
      using dir = tempDir("spoilt");
      const layers = layersDir(dir);
      Bun.spawnSync(["cp", "-a", caches.cache("red").path, dir.join("cache")]);
      const sha = caches.cache("red").sha(buildpack, "links");
      spoil(dir.join("cache", "committed", `${sha}.tar`));
      const { exitCode, stderr } = await runRestorer(["-layers", layers, "-cache-dir", dir.join("cache")]);
      expect(exitCode).toBe(0);
      expect(stderr).toContain('"example/app:links"');
      expect(caches.states(layers)).toEqual(layerNames.map((name) => (name === "links" ? "absent" : "red")));
      expect(existsSync(join(layers, directory, "links"))).toBe(false);
      expectWhole(layers);
    });
  }
});

describe("a restorer that is asked to stop", () => {
  // Its blob takes a minute to read and hash, though it holds little and takes no room on the disk.
  let dir: TempDir;
  let cache = "";
  beforeAll(() => {
    dir = tempDir("signals");
    cache = dir.join("cache");
    const at = `/layers/${directory}`;
    const entries = [{ name: `${at}/endless/file`, data: "new" }];
    const made = makeCache(cache, [{ id: buildpack, layers: [{ name: "endless", tar: tarOf(entries) }] }]);
    const blob = openSync(made.blob(buildpack, "endless"), "r+");
    ftruncateSync(blob, 2 ** 37);
    closeSync(blob);
  });
  afterAll(() => dir[Symbol.dispose]());

  function standing(): { place: TempDir; layers: string } {
    const place = tempDir("stop");
    const layers = layersDir(place);
    writeTree(layers, { [directory]: { endless: { file: "old" }, "endless.toml": "[metadata]\nold = true\n" } });
    return { place, layers };
  }

  const isExtracting = (layers: string) => () => leftovers(layers).some((name) => name.endsWith("/file"));

  function expectOld(layers: string): void {
    expect(readdirSync(layers).sort()).toEqual(clean);
    expect(readdirSync(join(layers, directory)).sort()).toEqual(["endless", "endless.toml"]);
    expect(readFileSync(join(layers, directory, "endless", "file"), "utf8")).toBe("old");
  }

  for (const [signal, number] of [
    ["SIGINT", 2],
    ["SIGTERM", 15],
    ["SIGHUP", 1],
  ] as const) {
    test(`by ${signal} exits with ${128 + number}, without staging and with the old layer whole`, async () => {
      const { place, layers } = standing();
      using _ = place;
      const run = startRestorer(["-layers", layers, "-cache-dir", cache]);
      await until(isExtracting(layers), "a file is staged");
      const asked = Bun.nanoseconds();
      run.kill(signal);
      const { exitCode, stderr } = await run.result;
      expect(exitCode).toBe(128 + number);
      // The whole job takes a minute; a second is promised, and a busy machine is given some more.
      expect((Bun.nanoseconds() - asked) / 1e9).toBeLessThan(5);
      expect(stderr).toContain(`stopped by ${signal}`);
      expectOld(layers);
    });
  }

  const sandboxes: Readonly<Record<string, (layers: string) => string[]>> = {
    unshare: (layers) => ["unshare", "-pf", "--mount-proc", restorerPath(), "-layers", layers, "-cache-dir", cache],
    bwrap: (layers) => [
      ...["bwrap", "--unshare-pid", "--as-pid-1", "--proc", "/proc", "--dev", "/dev"],
      ...["/usr", "/lib", "/lib64"].flatMap((path) => (existsSync(path) ? ["--ro-bind", path, path] : [])),
      ...["--ro-bind", restorerPath(), "/restorer", "--ro-bind", cache, "/cache", "--bind", layers, "/layers"],
      ...["--remount-ro", "/", "--chdir", "/", "/restorer", "-cache-dir", "/cache"],
    ],
  };
  for (const [tool, command] of Object.entries(sandboxes)) {
    const works =
      isRoot &&
      have(tool) &&
      Bun.spawnSync([
        ...(tool === "unshare"
          ? ["unshare", "-pf", "--mount-proc"]
          : ["bwrap", "--ro-bind", "/", "/", "--unshare-pid"]),
        "true",
      ]).exitCode === 0;
    const what = tool === "bwrap" ? " on a read-only root without /tmp" : "";
    skipUnless(works, `${tool} as root`)(`as PID 1${what} (${tool}) stops just as well`, async () => {
      const { place, layers } = standing();
      using _ = place;
      const child = Bun.spawn(command(layers), {
        env: { PATH: process.env.PATH, HOME: "/", CNB_PLATFORM_API: "0.15" },
        stdout: "ignore",
        stderr: "pipe",
      });
      await until(isExtracting(layers), "a file is staged");
      const asked = Bun.nanoseconds();
      process.kill(descendant(child.pid), "SIGTERM");
      const stderr = await child.stderr.text();
      expect(await child.exited).toBe(143);
      expect((Bun.nanoseconds() - asked) / 1e9).toBeLessThan(5);
      expect(stderr).toContain("stopped by SIGTERM");
      expectOld(layers);
    });
  }
});

/** The last process of a chain of wrappers. */
function descendant(pid: number): number {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
  return child === undefined ? pid : descendant(Number(child));
}
