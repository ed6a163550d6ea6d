import { isDigest } from "../oci/digest.ts";
import { buildpackMetadata, type ImageMetadata } from "../toml/metadata.ts";

/** The digests under which a cache holds the contents of these buildpacks' layers, and its SBOM files. */
export function recordedDigests(cache: ImageMetadata, buildpacks: readonly { readonly id: string }[]): string[] {
  const layers = buildpacks.flatMap(({ id }) => [...(buildpackMetadata(cache, id)?.layers.values() ?? [])]);
  const recorded = [cache.sbom, ...layers.filter((layer) => layer.cache).map(({ sha }) => sha)];
  return recorded.filter((sha) => sha !== undefined).filter(isDigest);
}
