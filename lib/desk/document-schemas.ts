/** What the commands of the desk give as JSON (`-output json`). Loaded for its types only; the tests check what is written. */
import * as v from "valibot";
import { cacheSchema, errorSchema, strangerSchema, toolSchema, warningSchema } from "../layers/report-schema.ts";

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const text = v.string();
const texts = v.array(text);
const isEmpty = v.pipe(v.boolean(), v.description("No build has been exported to it yet."));
const digest = v.nullable(v.pipe(text, v.description("As it is recorded: normally sha256 and 64 digits.")));
const code = v.pipe(text, v.regex(/^[a-z][a-z-]*$/), v.description("Stable; docs/reference.md lists all."));
const problems = v.pipe(
  v.array(v.object({ code, text })),
  v.description("Why a restore cannot use it, as far as that can be seen without reading blobs."),
);
const named = { buildpack: text, layer: text };
/** What is recorded, but cannot be used, of a whole buildpack or of nobody knows whom. */
const unreadable = v.pipe(
  v.array(v.object({ buildpack: v.optional(text), code: v.literal("bad-metadata"), text })),
  v.description("What cannot be used of what is recorded of whole buildpacks, or of nobody knows whom."),
);
const types = { build: v.boolean(), launch: v.boolean(), cache: v.boolean() };
const fileChanges = v.array(
  v.object({
    change: v.picklist(["added", "removed", "changed"]),
    path: v.pipe(text, v.description("Below the layer, which is . itself; absolute for a directory above it.")),
    what: v.pipe(texts, v.description("Of one that is changed: what of it is, for people.")),
  }),
);

/** A document of a command: what made it, then what it found. */
function document<C extends string, E extends v.ObjectEntries>(command: C, entries: E) {
  return v.object({ tool: toolSchema, command: v.literal(command), ...entries });
}

const image = { image: text, action: text };
const recorded = v.nullable(v.object({ ...types, sha: digest }));

/** The documents, by command; of commands that have two kinds, the second by a name of its own. */
export const documentSchemas = {
  explain: document("explain", {
    platformApi: text,
    group: v.nullable(
      v.pipe(text, v.description("Null: every buildpack of cache and app image is taken to be in it.")),
    ),
    cache: v.pipe(
      v.nullable(cacheSchema),
      v.description("The one that would be used; where none can be, the first that is given."),
    ),
    appImage: v.pipe(
      v.nullable(text),
      v.description("Where metadata of an earlier app image is from: a path, or a reference."),
    ),
    layers: v.array(
      v.object({
        ...named,
        action: v.picklist(["restore", "metadata", "skip", "remove", "refuse"]),
        code,
        reason: text,
        source: v.optional(v.picklist(["app image", "cache"])),
        sha: v.optional(text),
        size: v.optional(v.pipe(count, v.description("Bytes of its blob, as stored."))),
        cache: v.optional(v.pipe(text, v.description("Where its contents would come from: a path, or a reference."))),
        writes: texts,
        removes: texts,
        detail: v.optional(
          v.pipe(
            v.object({ appImage: recorded, cache: recorded, rule: text, change: text }),
            v.description(
              "Of the layer that is asked for: what is recorded, the rule that decides, what can be changed.",
            ),
          ),
        ),
      }),
    ),
    outsideOfGroup: v.optional(
      v.pipe(
        v.object({ ...named, cache: recorded, rule: text, change: text }),
        v.description("The layer that is asked for, where the cache holds it for a buildpack that the group lacks."),
      ),
    ),
    stores: v.pipe(texts, v.description("Buildpacks whose store.toml comes back.")),
    refusedBuildpacks: v.array(v.object({ buildpack: text, code, reason: text })),
    notInGroup: v.array(strangerSchema),
    unreadable,
    images: v.object({
      build: v.nullable(v.object(image)),
      run: v.nullable(
        v.object({
          ...image,
          isChecked: v.pipe(v.boolean(), v.description("Whether it is readable is looked at first.")),
          mirrors: v.pipe(texts, v.description("What stands in for it where it is not.")),
          recordsTarget: v.boolean(),
          completes: v.pipe(v.boolean(), v.description("What analyzed.toml lacks of it is filled in.")),
        }),
      ),
    }),
    warnings: v.array(warningSchema),
  }),
  inspect: document("inspect", {
    cache: cacheSchema,
    isEmpty,
    buildpacks: v.array(
      v.object({
        id: text,
        version: v.nullable(text),
        hasStore: v.boolean(),
        layers: v.array(
          v.object({
            name: text,
            ...types,
            sha: digest,
            size: v.nullable(v.pipe(count, v.description("Bytes of its blob, as stored."))),
            state: v.pipe(
              v.picklist(["held", "unusable", "missing", "not-kept"]),
              v.description(
                "Missing: promised by cache=true, but not there. Unusable: what is there is not it, as far as can be seen without reading it.",
              ),
            ),
            problems,
          }),
        ),
      }),
    ),
    unreadable,
    sbom: v.nullable(v.object({ sha: text, size: v.nullable(count), problems })),
    orphans: v.pipe(
      v.array(v.object({ sha: text, size: count, problems })),
      v.description("Blobs that no layer names."),
    ),
    leftovers: v.pipe(
      v.array(v.object({ path: text, bytes: count })),
      v.description("What does not belong to a cache, or was left by an export that did not end."),
    ),
  }),
  "inspect-layer": document("inspect", {
    cache: cacheSchema,
    layer: v.object({
      buildpack: text,
      version: v.nullable(text),
      name: text,
      ...types,
      sha: digest,
      metadata: v.any(),
      problems,
    }),
    entries: v.optional(
      v.array(
        v.object({
          type: v.picklist(["file", "directory", "symlink", "link"]),
          path: text,
          mode: v.optional(v.pipe(text, v.description("Octal."))),
          size: v.optional(count),
          target: v.optional(text),
        }),
      ),
    ),
    directories: v.optional(v.array(v.object({ path: text, bytes: count, files: count }))),
    contents: v.optional(v.object({ entries: count, files: count, bytes: count, verified: v.literal(true) })),
    exitCode: v.optional(v.pipe(v.number(), v.integer(), v.description("With error."))),
    error: v.optional(errorSchema),
  }),
  verify: document("verify", {
    cache: cacheSchema,
    isEmpty,
    layers: v.array(
      v.object({
        buildpack: v.optional(text),
        layer: v.optional(text),
        sbom: v.optional(
          v.pipe(v.literal(true), v.description("The blob of the SBOM files, which does not belong to a layer.")),
        ),
        state: v.picklist(["sound", "bad", "absent"]),
        code,
        sha: digest,
        files: v.optional(count),
        bytes: v.optional(count),
        reason: v.optional(text),
      }),
    ),
    unreadable,
    bad: v.pipe(count, v.description("How many blobs are bad and entries unreadable; the exit code is 42 then.")),
  }),
  diff: document("diff", {
    a: cacheSchema,
    b: cacheSchema,
    layers: v.array(
      v.object({
        ...named,
        change: v.picklist(["added", "removed", "changed"]),
        metadata: v.pipe(texts, v.description("Dotted keys that differ.")),
        files: v.optional(fileChanges),
        archive: v.optional(
          v.pipe(texts, v.description("Where no file differs: how the archives do, as far as it can be seen.")),
        ),
        error: v.optional(errorSchema),
      }),
    ),
    sbomChanged: v.boolean(),
  }),
  "diff-layers": document("diff", {
    a: cacheSchema,
    layersDir: text,
    layers: v.array(
      v.object({
        ...named,
        outcome: v.picklist(["reused", "anew", "new", "dropped"]),
        code,
        reason: text,
        sha: v.pipe(v.nullable(text), v.description("What the cache records.")),
        newSha: v.pipe(v.nullable(text), v.description("What the next export will record.")),
        files: fileChanges,
      }),
    ),
  }),
  "make-cache": document("make-cache", {
    cache: cacheSchema,
    layers: v.array(
      v.object({
        ...named,
        outcome: v.picklist(["packed", "skipped"]),
        code,
        reason: text,
        sha: v.optional(text),
        size: v.optional(count),
        files: v.optional(count),
      }),
    ),
    sbom: v.nullable(v.object({ sha: text, size: count })),
    warnings: v.array(warningSchema),
  }),
  version: document("version", {}),
  help: document("help", {
    name: text,
    words: texts,
    arguments: v.pipe(v.array(v.object({ name: text, description: text })), v.description("What each word may be.")),
    summary: text,
    flags: v.array(
      v.object({
        name: text,
        value: v.nullable(text),
        variables: texts,
        default: v.nullable(text),
        description: text,
      }),
    ),
  }),
  completion: document("completion", { shell: text, script: text }),
} as const;

/** What a command gives instead where it fails before it has found anything. */
export const failureSchema = v.object({
  tool: toolSchema,
  command: text,
  exitCode: v.pipe(v.number(), v.integer()),
  error: errorSchema,
});

export type DocumentKind = keyof typeof documentSchemas;

/** What a document says beside what made it. */
export type Found<K extends DocumentKind> = Omit<v.InferOutput<(typeof documentSchemas)[K]>, "tool" | "command">;
export type Failure = v.InferOutput<typeof failureSchema>;
