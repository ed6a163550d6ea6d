import { count, plainOrQuoted } from "../text.ts";
import type { ImageMetadata } from "../toml/metadata.ts";

/** A buildpack of the cache outside of the group; `layers` is how many of its layers the cache holds. */
export interface Stranger {
  readonly buildpack: string;
  readonly layers: number;
  /** Why that is not known. */
  readonly problem?: string;
}

/** The buildpacks of the cache whose ids are not in the group: of several entries with the same id the first one counts. */
export function findStrangers(group: ReadonlySet<string>, cache: ImageMetadata | undefined): Stranger[] {
  const seen = new Set(group);
  const strangers: Stranger[] = [];
  for (const { id, layers, problem } of cache?.buildpacks ?? []) {
    if (seen.has(id)) continue;
    seen.add(id);
    const held = [...layers.values()].filter((layer) => layer.cache).length;
    strangers.push({ buildpack: id, layers: held, ...(problem === undefined ? {} : { problem }) });
  }
  return strangers;
}

/** A buildpack that this build does without: where its id was changed, nobody would notice otherwise. */
export function describeStranger({ buildpack, layers, problem }: Stranger): string {
  const held = problem === undefined ? count(layers, "layer") : `its layers cannot be read, ${problem}`;
  return `The cache also holds ${plainOrQuoted(buildpack)} (${held}), which is not in group.toml`;
}
