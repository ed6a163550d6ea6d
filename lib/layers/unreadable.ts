import { quote } from "../text.ts";
import { buildpackMetadata, type ImageMetadata } from "../toml/metadata.ts";

/** Something in the metadata of a cache or app image that cannot be used, in a sentence; of which buildpack, if that is known. */
export interface Unreadable {
  readonly code: "bad-metadata";
  readonly text: string;
  readonly buildpack?: string;
}

const code = "bad-metadata" as const;

/** What cannot be used of what is recorded of the buildpacks of a group, and what is nobody's. Single layers aside. */
export function findUnreadable(
  group: readonly { readonly id: string }[],
  app: ImageMetadata,
  cache: ImageMetadata | undefined,
): Unreadable[] {
  const ids = new Set(group.map(({ id }) => id));
  return (["app image", "cache"] as const).flatMap((source): Unreadable[] => {
    const metadata = source === "cache" ? cache : app;
    if (metadata === undefined) return [];
    const ofGroup = [...ids].flatMap((id) => {
      const problem = buildpackMetadata(metadata, id)?.problem;
      const text = `What the ${source}'s metadata says of buildpack ${quote(id)} cannot be used: ${problem}`;
      return problem === undefined ? [] : [{ buildpack: id, code, text }];
    });
    const unused = [...ids].flatMap((id) => {
      const entries = metadata.buildpacks.filter((buildpack) => buildpack.id === id).length;
      const text = `The ${source}'s metadata lists buildpack ${quote(id)} ${entries} times: only the first entry is used`;
      return entries < 2 ? [] : [{ buildpack: id, code, text }];
    });
    const nobodys = metadata.problems.map((problem) => ({
      code,
      text: `An entry of the ${source}'s metadata cannot be used: ${problem}`,
    }));
    return [...ofGroup, ...unused, ...nobodys];
  });
}
