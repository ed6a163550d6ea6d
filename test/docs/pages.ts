import { manPage, manPagePath } from "./man-page.ts";
import { referencePage, referencePagePath } from "./reference-page.ts";
import { schemaPages } from "./schema-pages.ts";

/** The pages of docs/ that are made from the code, but for docs/flags.md: text by path. `bun test/cli/flags-page.ts` writes them all. */
export const pages: ReadonlyMap<string, string> = new Map([
  [referencePagePath, referencePage()],
  [manPagePath, manPage()],
  ...schemaPages,
]);

export async function writePages(): Promise<void> {
  for (const [path, text] of pages) await Bun.write(path, text);
}
