import { analyzedToml, groupToml, makeCache } from "./cache-fixture.ts";
import { canaryTree } from "./canary.ts";
import { file, type RunOptions, type RunResult, runRestorer, type TempDir, tempDir } from "./harness.ts";

/** A layers directory before its first restore, the cache that belongs to it, and a canary beside them. */
export function plantingScene(): TempDir & { readonly layers: string; readonly canary: string } {
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

export type PlantingScene = ReturnType<typeof plantingScene>;

export function restore(
  { layers, join }: PlantingScene,
  args: readonly string[] = [],
  options: RunOptions = {},
): Promise<RunResult> {
  const all = ["-layers", layers, "-cache-dir", join("cache"), ...args];
  return runRestorer(all, options);
}
