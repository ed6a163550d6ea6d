/** The layers of an earlier build, as its buildpacks leave them, and the cache that is made of them. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { stringify, type TomlTable } from "smol-toml";
import { type CachedBuildpack, type CacheFixture, metadataName } from "../support/cache-fixture.ts";
import { restorerPath } from "../support/restorer-path.ts";

/** Writes layers below a layers directory: contents, types and metadata, and the SBOM files where the builder moves them. */
export function writeLayers(layersDir: string, buildpacks: readonly CachedBuildpack[], sboms: string): void {
  for (const { id, layers } of buildpacks) {
    for (const { name, tree = "", build = false, launch = false, data } of layers) {
      const path = join(layersDir, id.replaceAll("/", "_"), name);
      copyTree(tree, path);
      const metadata = data === undefined ? {} : { metadata: data as TomlTable };
      writeFileSync(`${path}.toml`, stringify({ types: { build, launch, cache: true }, ...metadata }));
    }
  }
  copyTree(sboms, join(layersDir, "sbom", "cache"));
}

/** Files are linked where they can be: nobody writes to them. */
function copyTree(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  for (const how of ["-al", "-a"]) {
    const { exitCode } = Bun.spawnSync(["cp", how, from, to], { stderr: "ignore" });
    if (exitCode === 0) return;
    Bun.spawnSync(["rm", "-rf", to]);
  }
  throw new Error(`cannot copy ${from} to ${to}`);
}

/** Makes a cache with `restorer make-cache`, in place of an exporter. */
export function makeCacheOf(layersDir: string, path: string): CacheFixture {
  const command = [restorerPath(), "make-cache", "-layers", layersDir, "-cache-dir", path];
  const { exitCode, stderr } = Bun.spawnSync(command, { env: { PATH: process.env.PATH } });
  if (exitCode !== 0) throw new Error(`${command.join(" ")} ended with ${exitCode}: ${stderr}`);
  const committed = join(path, "committed");
  const metadataPath = join(committed, metadataName);
  const { sbom, buildpacks }: CacheMetadata = JSON.parse(readFileSync(metadataPath, "utf8"));
  const sha = (buildpack: string, layer: string): string => {
    const found = buildpacks.find(({ key }) => key === buildpack)?.layers[layer]?.sha;
    if (found === undefined) throw new Error(`the cache has no layer ${buildpack}:${layer}`);
    return found;
  };
  const blob = (buildpack: string, layer: string) => join(committed, `${sha(buildpack, layer)}.tar`);
  return { path, committed, metadataPath, sbomSha: sbom.sha, sha, blob };
}

interface CacheMetadata {
  readonly sbom: { readonly sha: string };
  readonly buildpacks: readonly {
    readonly key: string;
    readonly layers: Readonly<Record<string, { readonly sha: string }>>;
  }[];
}
