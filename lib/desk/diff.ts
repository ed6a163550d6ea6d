import type { Cache } from "../caches/cache.ts";
import { ExitCode, RestorerError } from "../failures.ts";
import { chooseLayer } from "../layers/only.ts";
import { compareLayers, errorAsData } from "../layers/report.ts";
import { count } from "../text.ts";
import type { TomlValue } from "../toml/values.ts";
import { isTable } from "../toml/values.ts";
import { archiveChanges } from "./archive-changes.ts";
import { type CachedLayer, cachedLayers, readData } from "./cached-layers.ts";
import { type Desk, layerName } from "./desk.ts";
import { writeDocument } from "./documents.ts";
import { changeAsData, diffFiles, type FileChange } from "./file-changes.ts";
import { type NamedCache, openNamedCache } from "./named-cache.ts";
import type { Cell, Color } from "./table.ts";

/** What is different about one layer. */
interface LayerChange {
  readonly change: "added" | "removed" | "changed";
  readonly layer: Pick<CachedLayer, "buildpack" | "layer">;
  /** Keys of its metadata that differ, dotted. */
  readonly metadata: readonly string[];
  /** Undefined where the contents are the same, or of one side only. */
  readonly files: readonly FileChange[] | undefined;
  /** Where no file differs: how the archives do. */
  readonly archive?: readonly string[];
  /** Why files are not compared, though their digests differ. */
  readonly error?: RestorerError;
}

const colors: Readonly<Record<LayerChange["change"], Color>> = { added: "green", removed: "red", changed: "yellow" };

/** `restorer diff`: what is different in another cache; blobs of equal digests are not read. */
export async function diff(desk: Desk): Promise<number> {
  const [a, b, wanted] = desk.options.words;
  const { isLayersWord, diffLayers } = await import("./diff-layers.ts");
  if (isLayersWord(a) || isLayersWord(b)) return diffLayers(desk, desk.options.words);
  const before = await openNamedCache(desk, a);
  const after = await openNamedCache(desk, b);
  const changes: LayerChange[] = [];
  for (const pair of pairs(before, after, wanted)) {
    const change = await compare(desk, before.cache, after.cache, pair);
    if (change !== undefined) changes.push(change);
  }
  const sbom = wanted === undefined && before.metadata?.sbom !== after.metadata?.sbom;
  if (desk.isJson) {
    const layers = changes.map(({ layer: { buildpack, layer }, change, metadata, files, archive, error }) => ({
      buildpack,
      layer,
      change,
      metadata: [...metadata],
      ...(files === undefined ? {} : { files: files.map(changeAsData) }),
      ...(archive === undefined ? {} : { archive: [...archive] }),
      ...(error === undefined ? {} : { error: errorAsData(error) }),
    }));
    writeDocument(desk, "diff", { a: before.cache.facts(), b: after.cache.facts(), layers, sbomChanged: sbom });
  } else tell(desk, changes, sbom);
  const troubles = changes.flatMap(({ error }) => (error === undefined ? [] : [error.exitCode]));
  if (troubles.length > 0) return Math.max(...troubles);
  const isSame = changes.length === 0 && !sbom;
  return desk.options.exitCode && !isSame ? ExitCode.failed : ExitCode.ok;
}

interface Pair {
  readonly a: CachedLayer | undefined;
  readonly b: CachedLayer | undefined;
}

/** The layers of both caches, by name; only the one that is wanted. Throws a RestorerError (exit 3) where none is. */
function pairs(before: NamedCache, after: NamedCache, wanted: string | undefined): Pair[] {
  const [a, b] = [before, after].map(({ metadata }) => (metadata === undefined ? [] : cachedLayers(metadata)));
  const found = new Map<string, Pair>();
  const key = ({ buildpack, layer }: CachedLayer) => `${buildpack}:${layer}`;
  for (const layer of a ?? []) found.set(key(layer), { a: layer, b: undefined });
  for (const layer of b ?? []) found.set(key(layer), { a: found.get(key(layer))?.a, b: layer });
  const all = [...found.values()].sort((x, y) => compareLayers(x.b ?? x.a ?? {}, y.b ?? y.a ?? {}));
  if (wanted === undefined) return all;
  const chosen = chooseLayer(
    all.flatMap(({ a, b }) => b ?? a ?? []),
    wanted,
  );
  return all.filter(({ a, b }) => a === chosen || b === chosen);
}

async function compare(desk: Desk, before: Cache, after: Cache, { a, b }: Pair): Promise<LayerChange | undefined> {
  if (a === undefined || b === undefined) {
    const layer = a ?? b;
    const change = a === undefined ? "added" : "removed";
    return layer === undefined ? undefined : { change, layer, metadata: [], files: undefined };
  }
  const metadata = changedKeys(recorded(a), recorded(b));
  const differs = a.metadata.sha !== b.metadata.sha;
  if (!differs && metadata.length === 0) return undefined;
  const change = { change: "changed", layer: b, metadata } as const;
  if (!differs) return { ...change, files: undefined };
  const [old, now] = [
    { cache: before, layer: a },
    { cache: after, layer: b },
  ] as const;
  try {
    const files = await diffFiles(desk, old, now);
    return { ...change, files, ...(files.length === 0 ? { archive: await archiveChanges(desk, old, now) } : {}) };
  } catch (error) {
    // The other layers are worth comparing all the same.
    if (!(error instanceof RestorerError)) throw error;
    return { ...change, files: undefined, error };
  }
}

/** Types and data of a layer as one table. */
function recorded({ version, metadata: { build, launch, cache, data } }: CachedLayer): TomlValue {
  const { value, problem } = readData(data);
  const metadata = value ?? (problem === undefined ? undefined : `(${problem})`);
  return { version: version ?? "", build, launch, cache, ...(metadata === undefined ? {} : { metadata }) };
}

/** The dotted keys under which two tables differ. */
function changedKeys(a: TomlValue | undefined, b: TomlValue | undefined, path = ""): string[] {
  if (isTable(a) && isTable(b)) {
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort();
    return keys.flatMap((key) => changedKeys(a[key], b[key], path === "" ? key : `${path}.${key}`));
  }
  return Bun.deepEquals(a, b) ? [] : [path];
}

function describeArchive(changes: readonly string[]): string {
  return `the same files in another archive${changes.length === 0 ? "" : `: ${changes.join(", ")}`}`;
}

function tell(desk: Desk, changes: readonly LayerChange[], sbom: boolean): void {
  const rows = changes.flatMap(({ change, layer, metadata, files, archive, error }): Cell[][] => {
    const name = layerName(layer);
    const what: Cell = { text: change, color: colors[change] };
    if (change !== "changed") return [[what, name, "", ""]];
    return [
      ...metadata.map((key): Cell[] => [what, name, "metadata", desk.message(key)]),
      ...(files ?? []).map(({ change, path, what }): Cell[] => {
        const color = colors[change];
        return [{ text: change, color }, name, desk.message(path), desk.message(what.join(", "))];
      }),
      ...(error === undefined
        ? []
        : [[what, name, "", desk.message(`its files cannot be compared: ${error.message}`)]]),
      ...(archive === undefined ? [] : [[what, name, "", desk.message(describeArchive(archive))]]),
    ];
  });
  const columns = [{ title: "CHANGE" }, { title: "LAYER" }, { title: "PATH" }, { title: "WHAT" }] as const;
  if (rows.length > 0) desk.table(columns, rows);
  if (sbom) desk.line("The SBOM files differ.");
  if (rows.length === 0 && !sbom) desk.line("No differences.");
  else desk.line(`\n${count(changes.length, "layer")} with differences`);
}
