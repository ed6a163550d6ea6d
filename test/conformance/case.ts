import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { fromTagged, isTable, parseJson, type Value } from "./value.ts";

const folder = join(import.meta.dir, "cases");

const integer = v.pipe(v.bigint(), v.transform(Number));
const octal = v.pipe(v.string(), v.regex(/^[0-7]{3,4}$/, "must be an octal mode"));
const owner = v.pipe(v.string(), v.regex(/^[0-9]+:[0-9]+$/, "must be uid:gid"));
// Not v.record, which leaves out keys such as `__proto__`.
const table = v.custom<Value>(isTable, "must be an object");
const taggedTable = v.pipe(table, v.transform(fromTagged));

const entry = v.strictObject({
  path: v.string(),
  type: v.picklist(["file", "dir", "symlink", "other"]),
  optional: v.optional(v.boolean()),
  mode: v.nullish(octal),
  owner: v.nullish(owner),
  target: v.nullish(v.string()),
  sha256: v.nullish(v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))),
  toml: v.optional(taggedTable),
  json: v.optional(table),
  sameFileAs: v.optional(v.string()),
});
const tree = v.nullable(
  v.pipe(
    v.array(entry),
    v.check((entries) => new Set(entries.map(({ path }) => path)).size === entries.length, "has a path twice"),
  ),
);

const texts = v.optional(v.array(v.string()), []);
const flag = v.optional(v.boolean(), false);
const exit = v.union([
  v.pipe(
    integer,
    v.transform((code) => [code]),
  ),
  v.array(integer),
]);
const expectation = v.strictObject({
  exit,
  tree,
  kaniko: tree,
  analyzed: v.nullish(taggedTable),
  analyzedPath: v.optional(v.string(), "layers/analyzed.toml"),
  cacheUnchanged: v.boolean(),
  stdoutIncludes: texts,
  stderrIncludes: texts,
  outputExcludes: texts,
  silentStdout: flag,
  silentStderr: flag,
  stderrNotEmpty: flag,
  absent: texts,
  mayChange: texts,
});
/** What the reference does where it differs; `output` is a record of its messages, which nothing compares. */
const reference = v.strictObject({
  exit: v.exactOptional(exit),
  tree: v.exactOptional(tree),
  kaniko: v.exactOptional(tree),
  analyzed: v.exactOptional(v.nullish(taggedTable)),
  outputIncludes: v.exactOptional(v.array(v.string())),
  output: v.exactOptional(v.array(v.string())),
});

const rulePath = v.pipe(
  v.string(),
  v.transform((source) => new RegExp(source)),
);
const rule = v.union([
  v.strictObject({
    path: rulePath,
    method: v.optional(v.string()),
    status: integer,
    code: v.optional(v.string(), "UNKNOWN"),
    headers: v.optional(v.record(v.string(), v.string()), {}),
  }),
  v.strictObject({
    path: rulePath,
    method: v.optional(v.string()),
    body: v.picklist(["corrupt", "truncate", "short", "garbage"]),
  }),
]);
const faultRegistry = v.strictObject({
  rules: v.optional(v.array(rule), []),
  auth: v.optional(
    v.variant("kind", [
      v.strictObject({ kind: v.literal("basic"), user: v.string() }),
      v.strictObject({ kind: v.literal("bearer"), token: v.string() }),
      v.strictObject({ kind: v.literal("token"), user: v.string() }),
    ]),
  ),
});

const before = v.strictObject({
  images: v.optional(
    v.array(v.strictObject({ layout: v.string(), repo: v.string(), tag: v.optional(v.string(), "latest") })),
    [],
  ),
  faultRegistry: v.optional(faultRegistry),
  mkdir: texts,
  symlink: v.optional(v.record(v.string(), v.string()), {}),
  remove: texts,
  chown: v.optional(v.record(v.string(), owner), {}),
  chmod: v.optional(v.record(v.string(), octal), {}),
});

const unset = v.pipe(
  v.null(),
  v.transform(() => undefined),
);

/** What a case is about; `suites.ts` says which test file runs which area. */
export const areas = [
  "analyzed",
  "blobs",
  "cache",
  "cache-image",
  "cli",
  "decision",
  "group",
  "hostile",
  "image",
  "log",
  "names",
  "owner",
  "sbom",
  "skip",
  "store",
  "tar",
  "values",
] as const;

const definition = v.strictObject({
  title: v.string(),
  area: v.picklist(areas),
  why: v.string(),
  platformApis: v.pipe(v.array(v.string()), v.minLength(1)),
  args: v.array(v.string()),
  env: v.record(v.string(), v.union([v.string(), unset])),
  needs: v.optional(v.array(v.picklist(["root", "nonroot", "amd64"])), []),
  cwd: v.optional(v.string()),
  umask: v.optional(octal, "022"),
  before,
  expect: expectation,
  deviation: v.nullable(v.string()),
  reference: v.optional(reference, {}),
});

export type Area = (typeof areas)[number];
export type Entry = v.InferOutput<typeof entry>;
export type Before = v.InferOutput<typeof before>;
export type FaultRegistrySpec = v.InferOutput<typeof faultRegistry>;
export type Expectation = v.InferOutput<typeof expectation>;
export type Reference = v.InferOutput<typeof reference>;
export type Definition = v.InferOutput<typeof definition>;

/** A case as its folder has it. */
export interface Case {
  readonly name: string;
  readonly folder: string;
  /** case.json before `{layers}` and the like are replaced. */
  readonly source: Value;
  readonly definition: Definition;
}

/** The names of all cases, sorted. */
export function caseNames(): string[] {
  return readdirSync(folder).sort();
}

/** Reads a case. Throws an error that names the case and the key when case.json is not as it should be. */
export function readCase(name: string): Case {
  const path = join(folder, name);
  try {
    const source = parseJson(readFileSync(join(path, "case.json"), "utf8"));
    return { name, folder: path, source, definition: parseDefinition(source) };
  } catch (error) {
    throw new Error(`the case ${name}: ${error instanceof Error ? error.message : error}`);
  }
}

/** Checks what a case.json holds. */
export function parseDefinition(source: Value): Definition {
  const result = v.safeParse(definition, source);
  if (result.success) return result.output;
  const lines = result.issues.map((issue) => `${v.getDotPath(issue) ?? "case.json"}: ${issue.message}`);
  throw new Error(lines.join("\n"));
}
