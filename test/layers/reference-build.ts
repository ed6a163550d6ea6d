import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { groupToml, metadataName } from "../support/cache-fixture.ts";
import {
  directory,
  file,
  isRoot,
  link,
  removeTree,
  restorerPath,
  type Snapshot,
  snapshot,
  type Tree,
  writeTree,
} from "../support/harness.ts";
import { writeRunImage } from "./run-image.ts";

/**
 * The executable of the reference implementation (`lifecycle`, of which the name it is called by picks the phase); empty where
 * it is not given.
 */
export const reference = process.env.REFERENCE ?? "";

/** Platform API without the check of the run image, for the one here lies on disk. */
const platformApi = "0.13";

const deps: Tree = {
  bin: { tool: file("#!/bin/sh\n", 0o755), private: file("secret", 0o600), setuid: file("x", 0o4755) },
  node_modules: {
    left: { "package.json": "{}", [`${"long-name-".repeat(15)}.js`]: "" },
    ".bin": { left: link("../left/index.js") },
    "ünï code": { "a b": "text" },
  },
  "pkg/mod": directory({ "example.com@v1": directory({ "go.mod": file("module x", 0o444) }, 0o555) }, 0o555),
  empty: {},
  open: directory({ drop: directory({}, 0o1777) }, 0o775),
  large: new Uint8Array(3 << 20).fill(7),
  dangling: link("/nowhere"),
};
const launch: Tree = { "env.launch": { "X.override": "1" }, lib: directory({ "x.so": file("elf", 0o755) }, 0o750) };

export interface Layer {
  readonly buildpack: string;
  readonly name: string;
  readonly types: string;
  readonly tree: Tree;
}
/** The cached layers of the build: modes, links and names that are easily lost. */
export const layers: readonly Layer[] = [
  { buildpack: "bp", name: "deps", types: "cache = true\n", tree: deps },
  { buildpack: "bp", name: "both", types: "cache = true\nlaunch = true\nbuild = true\n", tree: launch },
  { buildpack: "example/other", name: "empty", types: "cache = true\nbuild = true\n", tree: {} },
  { buildpack: "example/other", name: "read-only", types: "cache = true\n", tree: { d: directory({ f: "" }, 0o500) } },
];

/** Who restores and exports. */
export interface User {
  readonly uid: number;
  readonly gid: number;
  /** Of the layers directory, which has setgid then (Kubernetes' fsGroup, D22); the user is not one of it. */
  readonly setgid?: number;
  /** Whether phases are started as the user, not as root. */
  readonly isStarted?: boolean;
}

interface CacheMetadata {
  readonly sbom: { readonly sha: string };
  readonly buildpacks: readonly {
    readonly key: string;
    readonly layers: Readonly<Record<string, { sha: string; launch: boolean; build: boolean }>>;
  }[];
}

/** A build on disk: layers, cache, app, and a run image. */
export class Build {
  readonly #root: string;
  readonly #umask: number;
  readonly #user: User;
  readonly layers: string;
  readonly cache: string;

  constructor(root: string, umask: number, user: User) {
    this.#root = root;
    this.#umask = umask;
    this.#user = user;
    this.layers = join(root, "layers");
    this.cache = join(root, "cache");
    writeTree(root, {
      app: { "index.js": "" },
      launcher: file("x", 0o755),
      sboms: {},
      cache: {},
      layouts: {},
      home: {},
    });
    if (reference !== "") for (const phase of ["exporter", "restorer"]) symlinkSync(reference, join(root, phase));
    // Relative, for the reference takes the path for an image's name, which has no capital letters.
    this.#runImage = `layouts/run@${writeRunImage(join(root, "layouts/run"))}`;
    this.startLayers();
    this.#give(root);
  }

  readonly #runImage: string;

  /** The layers directory as a platform hands it to a build. */
  startLayers(): void {
    removeTree(this.layers);
    this.#makeDirectory(this.layers, 0o777);
    const ids = [...new Set(layers.map(({ buildpack }) => buildpack))];
    writeTree(this.layers, {
      "group.toml": groupToml(ids.map((id) => ({ id }))),
      "analyzed.toml": `[run-image]\nreference = "${this.#runImage}"\n${this.#appImage()}`,
    });
    this.#give(this.layers);
    if (this.#user.setgid !== undefined) chmodSync(this.layers, 0o2777 & ~this.#umask);
  }

  /** The app image of the last export, and its metadata. */
  #appImage(): string {
    const path = "layouts/index.docker.io/library/app/latest";
    const index = join(this.#root, path, "index.json");
    if (!existsSync(index)) return "";
    const { manifests } = JSON.parse(readFileSync(index, "utf8"));
    const lines = ["[image]", `reference = "${path}@${manifests[0].digest}"`];
    for (const { key, layers: exported } of this.#cacheMetadata().buildpacks) {
      lines.push("[[metadata.buildpacks]]", `key = ${JSON.stringify(key)}`);
      for (const [name, { sha, launch, build }] of Object.entries(exported)) {
        if (!launch) continue;
        lines.push(`[metadata.buildpacks.layers.${JSON.stringify(name)}]`);
        lines.push(`sha = "${sha}"`, "launch = true", "cache = true", `build = ${build}`);
        lines.push(`[metadata.buildpacks.layers.${JSON.stringify(name)}.metadata]`, "version = 1.0");
      }
    }
    return `${lines.join("\n")}\n`;
  }

  /** What buildpacks do that find no layers: they make them. */
  buildAnew(): void {
    for (const { buildpack, name, types, tree } of layers) {
      const parent = this.#buildpackDirectory(buildpack);
      if (!existsSync(parent)) this.#makeDirectory(parent, 0o777);
      const root = join(parent, name);
      this.#makeDirectory(root, 0o777);
      writeTree(root, tree);
      writeFileSync(`${root}.toml`, `[types]\n${types}[metadata]\nversion = 1\n`);
      writeFileSync(`${root}.sbom.cdx.json`, JSON.stringify({ of: name }));
    }
    this.#give(this.layers);
    this.#inheritSetgid();
    // Giving a file away takes its setuid bit.
    chmodSync(join(this.layers, "bp/deps/bin/setuid"), 0o4755);
    this.#endBuild();
  }

  /** Directories made below one with setgid have it, too, unless their mode is set later. */
  #inheritSetgid(): void {
    if (this.#user.setgid === undefined) return;
    const usual = 0o777 & ~this.#umask;
    for (const [name, { type }] of snapshot(this.layers)) {
      const path = join(this.layers, name);
      if (type === "directory" && (statSync(path).mode & 0o7777) === usual) chmodSync(path, 0o2000 | usual);
    }
  }

  /** What buildpacks do that find their layers as they left them: they say what types they are. */
  buildAgain(): void {
    for (const { buildpack, name, types } of layers) {
      appendFileSync(join(this.#buildpackDirectory(buildpack), `${name}.toml`), `[types]\n${types}`);
    }
    this.#endBuild();
  }

  /** What the builder does after the buildpacks: SBOM files move to `<layers>/sbom`, metadata is written. */
  #endBuild(): void {
    for (const { buildpack, name, types } of layers) {
      const parent = this.#buildpackDirectory(buildpack);
      const kinds = types.includes("launch") ? ["cache", "launch"] : ["cache"];
      for (const kind of kinds) {
        const to = join(this.layers, "sbom", kind, buildpack.replaceAll("/", "_"), name);
        mkdirSync(to, { recursive: true });
        copyFileSync(join(parent, `${name}.sbom.cdx.json`), join(to, "sbom.cdx.json"));
      }
    }
    writeTree(this.layers, { config: { "metadata.toml": "" } });
    for (const [name, { type }] of snapshot(join(this.layers, "sbom"))) {
      chmodSync(join(this.layers, "sbom", name), (type === "directory" ? 0o777 : 0o666) & ~this.#umask);
    }
    chmodSync(join(this.layers, "sbom"), 0o777 & ~this.#umask);
    for (const name of ["sbom", "config"]) this.#give(join(this.layers, name));
  }

  /** Exports with the reference; gives what it says about cached layers. */
  export(): { reused: string[]; digests: Record<string, string> } {
    const output = this.run(
      [join(this.#root, "exporter")],
      [
        ...["-layers", this.layers, "-cache-dir", this.cache, "-app", join(this.#root, "app"), "-layout"],
        ...["-layout-dir", join(this.#root, "layouts"), "-launcher", join(this.#root, "launcher")],
        ...["-launcher-sbom", join(this.#root, "sboms"), "-report", join(this.#root, "report.toml")],
        ...["-run", join(this.#root, "run.toml"), "app"],
      ],
    );
    const reused = [...output.matchAll(/Reusing cache layer '([^']*)'/g)].map(([, name = ""]) => name);
    return { reused: reused.sort(), digests: this.#digests() };
  }

  /** Makes a cache of the layers without the reference; gives its digests. */
  makeCache(path: string): Record<string, string> {
    const command = [restorerPath(), "make-cache"];
    this.run(command, ["-layers", this.layers, "-group", join(this.layers, "group.toml"), "-cache-dir", path]);
    return this.#digests(path);
  }

  #digests(cache?: string): Record<string, string> {
    const { buildpacks, sbom } = this.#cacheMetadata(cache);
    const cached = buildpacks.flatMap(({ key, layers: of }) =>
      Object.entries(of).map(([name, { sha }]) => [`${key}:${name}`, sha] as const),
    );
    return { sbom: sbom.sha, ...Object.fromEntries(cached) };
  }

  #cacheMetadata(cache = this.cache): CacheMetadata {
    return JSON.parse(readFileSync(join(cache, "committed", metadataName), "utf8"));
  }

  restore(executable: string, cache = this.cache, api = platformApi): void {
    this.run([executable], ["-layers", this.layers, "-cache-dir", cache], api);
  }

  /** The reference's own restorer. */
  get referenceRestorer(): string {
    return join(this.#root, "restorer");
  }

  /** Runs a phase as the platform does: as root with the user's ids, or as the user. */
  run(command: readonly string[], args: readonly string[], api = platformApi): string {
    const { uid, gid, isStarted = false } = this.#user;
    const start = isStarted ? ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"] : [];
    const script = `umask ${this.#umask.toString(8)} && exec "$@" 2>&1`;
    const ids = ["-uid", String(uid), "-gid", String(gid)];
    const { exitCode, stdout } = Bun.spawnSync(["sh", "-c", script, "sh", ...start, ...command, ...ids, ...args], {
      cwd: this.#root,
      env: {
        PATH: process.env.PATH,
        HOME: join(this.#root, "home"),
        CNB_PLATFORM_API: api,
        CNB_KANIKO_DIR: join(this.#root, "kaniko"),
        CNB_EXPERIMENTAL_MODE: "warn",
      },
    });
    if (exitCode !== 0) throw new Error(`${command.join(" ")} ended with ${exitCode}:\n${stdout}`);
    return stdout.toString();
  }

  #buildpackDirectory(id: string): string {
    return join(this.layers, id.replaceAll("/", "_"));
  }

  #makeDirectory(path: string, mode: number): void {
    mkdirSync(path);
    chmodSync(path, mode & ~this.#umask);
  }

  #give(path: string): void {
    if (!isRoot) return;
    const { uid, gid, setgid = gid } = this.#user;
    for (const name of snapshot(path).keys()) lchownSync(join(path, name), uid, setgid);
    lchownSync(path, uid, setgid);
  }
}

/** The contents of all layers. */
export function contents(build: Build): Snapshot {
  const all: Snapshot = new Map();
  for (const { buildpack, name } of layers) {
    const place = join(buildpack.replaceAll("/", "_"), name);
    for (const [path, entry] of snapshot(join(build.layers, place))) all.set(join(place, path), entry);
  }
  return all;
}

/** The `<layer>.toml` of all layers. */
export function tomls(build: Build): string[] {
  return layers.map(({ buildpack, name }) =>
    readFileSync(join(build.layers, buildpack.replaceAll("/", "_"), `${name}.toml`), "utf8"),
  );
}
