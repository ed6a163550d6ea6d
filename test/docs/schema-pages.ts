import { resolve } from "node:path";
import { toJsonSchema } from "@valibot/to-json-schema";
import type { GenericSchema } from "valibot";
import { documentSchemas, failureSchema } from "../../lib/desk/document-schemas.ts";
import { reportSchema } from "../../lib/layers/report-schema.ts";

const docs = resolve(import.meta.dir, "../../docs");

/** What a schema is of, by the name of its file. */
export const schemas: Readonly<Record<string, readonly [title: string, schema: GenericSchema]>> = {
  report: ["What -report writes, of a restore", reportSchema],
  failure: ["What a command with -output json writes where it fails before it has found anything", failureSchema],
  ...Object.fromEntries(
    Object.entries(documentSchemas).map(([kind, schema]) => [kind, [titleOf(kind), schema] as const]),
  ),
};

function titleOf(kind: string): string {
  const words: Readonly<Record<string, string>> = {
    "inspect-layer": "inspect CACHE LAYER",
    "diff-layers": "diff CACHE layers:DIR",
  };
  return `What restorer ${words[kind] ?? kind} -output json writes`;
}

/** The JSON schemas of docs/, made from those in the code: text by path. `bun test/cli/flags-page.ts` writes them. */
export const schemaPages: ReadonlyMap<string, string> = new Map(
  Object.entries(schemas).map(([name, [title, schema]]) => {
    const { $schema, ...rest } = toJsonSchema(schema, { typeMode: "output" });
    return [resolve(docs, `${name}.schema.json`), `${JSON.stringify({ $schema, title, ...rest }, null, 2)}\n`];
  }),
);
