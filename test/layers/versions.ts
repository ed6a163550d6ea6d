import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { analyzedToml, type CacheFixture, groupToml, makeCache } from "../support/cache-fixture.ts";
import { file, type TempDir, type Tree, tempDir, writeTree } from "../support/harness.ts";

/** The buildpack of both versions, its directory, and its layers. */
export const buildpack = "example/app";
export const directory = "example_app";
export const layerNames = ["big", "links", "read-only", "small"] as const;
export type Version = "red" | "blue";

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
export class Caches {
  readonly dir: TempDir;
  readonly #caches: Readonly<Record<Version, CacheFixture>>;
  readonly #expected: Readonly<Record<Version, ReadonlyMap<string, string>>>;

  /** `padding` bytes more in some layers: one with more than 32 KiB goes by way of threads. */
  constructor(files: number, padding = 0, padded: readonly string[] = layerNames) {
    this.dir = tempDir("machines");
    const make = (version: Version): [CacheFixture, Map<string, string>] => {
      const expected = new Map<string, string>();
      const layers = layerNames.map((name, index) => {
        const tree = join(this.dir.path, `${version}-tree`, name);
        mkdirSync(tree, { recursive: true });
        const count = Math.ceil((files * (index === 0 ? 2 : 1)) / (layerNames.length + 1));
        writeTree(tree, layerTree(version, name, count));
        if (padding > 0 && padded.includes(name)) writeFileSync(join(tree, "padding"), Buffer.alloc(padding, version));
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
    if (!existsSync(`${place}.sbom.cdx.json`)) return `${version} toml without its SBOM`;
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

/** Makes a layers directory as the detector and the analyzer leave it. */
export function layersDir(dir: TempDir, name = "layers"): string {
  writeTree(dir.path, { [name]: { "group.toml": groupToml([{ id: buildpack }]), "analyzed.toml": analyzedToml() } });
  return dir.join(name);
}

/** What stands in a layers directory after a run, and what all layers are when they are of one version. */
export const clean = ["analyzed.toml", directory, "group.toml"];
export const all = (version: Version): string[] => layerNames.map(() => version);

/** Names left behind by a run anywhere below a directory. */
export function leftovers(layers: string): string[] {
  return readdirSync(layers, { recursive: true, encoding: "utf8" }).filter((name) => name.includes(".restorer-"));
}
