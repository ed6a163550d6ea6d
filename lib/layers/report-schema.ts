/** What a report is (D26). Loaded for its types only: a restore does not check what it writes; the tests do. */
import * as v from "valibot";

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const code = v.pipe(v.string(), v.regex(/^[a-z][a-z-]*$/), v.description("Stable; docs/reference.md lists all."));
const sentence = v.string();

/** What wrote a document. */
export const toolSchema = v.object({ name: v.literal("restorer"), version: v.string() });

/** Why a run or a command fails. */
export const errorSchema = v.object({
  code,
  text: sentence,
  hint: v.optional(v.pipe(sentence, v.description("What can be done about it, or how the command is called."))),
});

/** A cache as data. */
export const cacheSchema = v.object({
  kind: v.picklist(["directory", "image", "layout"]),
  reference: v.pipe(v.string(), v.description("A path, the reference of an image, or oci:DIR[:TAG].")),
  digest: v.optional(v.pipe(v.string(), v.description("Of the manifest of an image."))),
  created: v.optional(v.pipe(v.string(), v.description("When it was made, by its own word, in ISO 8601."))),
});

/** A warning as data. */
export const warningSchema = v.object({
  code,
  buildpack: v.optional(v.string()),
  layer: v.optional(v.string()),
  text: sentence,
});

const layerSchema = v.object({
  buildpack: v.string(),
  layer: v.string(),
  outcome: v.picklist(["restored", "metadata", "skipped", "removed", "refused"]),
  code,
  reason: sentence,
  source: v.optional(v.picklist(["app image", "cache"])),
  sha: v.optional(v.pipe(v.string(), v.description("The diffID of its contents."))),
  cache: v.optional(v.pipe(v.string(), v.description("The reference of the cache that its contents came from."))),
  files: v.optional(count),
  bytesRead: v.optional(v.pipe(count, v.description("Of its blob, as stored."))),
  bytesWritten: v.optional(v.pipe(count, v.description("Of its files."))),
  milliseconds: v.optional(
    v.pipe(count, v.description("From when its blob was opened to when it stood in its place.")),
  ),
  retries: v.optional(v.pipe(count, v.description("How often something of its blob had to be asked for again."))),
});

const imageSchema = v.object({
  image: v.pipe(v.string(), v.description("The name by which it was read.")),
  action: v.picklist(["saved", "recorded", "checked"]),
  reference: v.optional(v.pipe(v.string(), v.description("What analyzed.toml has for it now."))),
});

/** A buildpack of the cache that the group lacks. */
export const strangerSchema = v.object({
  buildpack: v.string(),
  layers: count,
  problem: v.optional(v.pipe(v.string(), v.description("Why it is not known which layers it has."))),
});

/** All of a report. */
export const reportSchema = v.object({
  reportVersion: v.literal(2),
  tool: toolSchema,
  platformApi: v.string(),
  exitCode: v.pipe(v.number(), v.integer()),
  error: v.optional(errorSchema),
  seconds: v.pipe(v.number(), v.minValue(0)),
  cache: v.pipe(
    v.nullable(
      v.object({
        ...cacheSchema.entries,
        ageSeconds: v.optional(v.pipe(count, v.description("Since it was made, where it says when."))),
      }),
    ),
    v.description("The one that was used; where none could be, the first that is given."),
  ),
  images: v.object({ build: v.nullable(imageSchema), run: v.nullable(imageSchema) }),
  layers: v.pipe(v.array(layerSchema), v.description("Sorted by buildpack and name.")),
  notInGroup: v.array(strangerSchema),
  warnings: v.pipe(
    v.array(warningSchema),
    v.description("As they were told; those about layers behind the others, sorted as these are."),
  ),
});

export type ReportDocument = v.InferOutput<typeof reportSchema>;
