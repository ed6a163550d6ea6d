/** What the demo restores: trees that are on this machine, as if buildpacks had made them. */
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { dependencies } from "../../package.json";
import type { CachedBuildpack } from "../support/cache-fixture.ts";

const project = resolve(import.meta.dir, "../..");

/** The layers that an earlier build left: all real. What has to be made for them is made in `sources`. */
export function earlierBuild(sources: string): CachedBuildpack[] {
  return [
    {
      id: "demo/node",
      version: "3.1.0",
      layers: [
        {
          name: "node_modules",
          tree: join(project, "node_modules"),
          build: true,
          data: { lockfile: lockfileDigest() },
        },
      ],
    },
    {
      id: "demo/modules",
      version: "0.4.2",
      layers: [{ name: "download", tree: moduleCache(sources), build: true, data: { compressed: false, modules: 3 } }],
    },
    {
      id: "demo/compiler",
      version: "1.0.7",
      layers: [
        { name: "stdlib", tree: join(project, "node_modules", "bun-types"), build: true, data: { release: "1.4" } },
      ],
    },
  ];
}

function lockfileDigest(): string {
  return new Bun.CryptoHasher("sha256").update(readFileSync(join(project, "package-lock.json"))).digest("hex");
}

/** A copy of some packages with the modes of a Go module cache: files 0444 in directories 0555. */
function moduleCache(sources: string): string {
  const root = join(sources, "download");
  for (const name of ["smol-toml", "valibot", "yargs"]) {
    cpSync(join(project, "node_modules", name), join(root, name), { recursive: true });
  }
  const close = (directory: string): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) close(path);
      else if (entry.isFile()) chmodSync(path, 0o444);
    }
    chmodSync(directory, 0o555);
  };
  close(root);
  return root;
}

/** Where the SBOM of node_modules is in its layer. */
export const sbomFile = "demo_node/node_modules/sbom.cdx.json";

/** The SBOM layer: a CycloneDX file for node_modules, made from the project's dependencies. */
export function sbomTree(sources: string): string {
  const components = Object.entries(dependencies).map(([name, version]) => ({
    type: "library",
    name,
    version,
  }));
  const sbom = { bomFormat: "CycloneDX", specVersion: "1.5", version: 1, components };
  const path = join(sources, "sbom", sbomFile);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, JSON.stringify(sbom, null, 2));
  return join(sources, "sbom");
}
