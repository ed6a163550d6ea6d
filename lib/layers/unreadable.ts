import { quote } from "../text.ts";
import { buildpackMetadata, type ImageMetadata } from "../toml/metadata.ts";

/** Something in the metadata of a cache or app image that cannot be used, in a sentence; of which buildpack, if that is known. */
export interface Unreadable {
  readonly code: "bad-metadata";
  readonly text: string;
  readonly buildpack?: string;
}

const code = "bad-metadata" as const;

/** What cannot be used of what is recorded of buildpacks with these ids, and what is nobody's. Single layers aside. */
export function findUnreadable(
  ids: ReadonlySet<string>,
  app: ImageMetadata,
  cache: ImageMetadata | undefined,
): Unreadable[] {
  const found = unreadableOf("app image", app, ids);
  return cache === undefined ? found : [...found, ...unreadableOf("cache", cache, ids)];
}

function unreadableOf(source: string, metadata: ImageMetadata, ids: ReadonlySet<string>): Unreadable[] {
  const found: Unreadable[] = [];
  for (const id of ids) {
    const problem = buildpackMetadata(metadata, id)?.problem;
    if (problem === undefined) continue;
    const text = `What the ${source}'s metadata says of buildpack ${quote(id)} cannot be used: ${problem}`;
    found.push({ buildpack: id, code, text });
  }
  for (const id of ids) {
    let entries = 0;
    for (const buildpack of metadata.buildpacks) if (buildpack.id === id) entries += 1;
    if (entries < 2) continue;
    const text = `The ${source}'s metadata lists buildpack ${quote(id)} ${entries} times: only the first entry is used`;
    found.push({ buildpack: id, code, text });
  }
  for (const problem of metadata.problems) {
    found.push({ code, text: `An entry of the ${source}'s metadata cannot be used: ${problem}` });
  }
  return found;
}
