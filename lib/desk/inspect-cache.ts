import type { CacheBlob, CacheFacts } from "../caches/cache.ts";
import { compareLayers } from "../layers/report.ts";
import { findUnreadable, type Unreadable } from "../layers/unreadable.ts";
import { count, inline, plainOrQuoted } from "../text.ts";
import { type BuildpackMetadata, type ImageMetadata, noMetadata } from "../toml/metadata.ts";
import {
  blobProblem,
  type CachedLayer,
  cachedLayers,
  layersOf,
  type Problem,
  problemsOf,
  type Stock,
  takeStock,
} from "./cached-layers.ts";
import type { Desk } from "./desk.ts";
import type { Found } from "./document-schemas.ts";
import { writeDocument } from "./documents.ts";
import type { NamedCache } from "./named-cache.ts";
import type { Cell } from "./table.ts";

/**
 * Whether the contents of a layer are there: `held`; `unusable`, where something else is there; `missing`, though they are
 * promised; or `not-kept`, as recorded.
 */
type BlobState = "held" | "unusable" | "missing" | "not-kept";

/** What a cache holds: its layers and SBOM files, blobs that nothing names, and what does not belong there. */
export function inspectCache(desk: Desk, { cache, metadata }: NamedCache): void {
  const stock = takeStock(cache, metadata);
  if (desk.isJson) writeDocument(desk, "inspect", asData(cache.facts(), metadata, stock));
  else tell(desk, cache.facts(), metadata, stock);
}

/** Of the lines above the table. */
const labelWidth = 7;

function tell(desk: Desk, facts: CacheFacts, metadata: ImageMetadata | undefined, stock: Stock): void {
  const layers = metadata === undefined ? [] : cachedLayers(metadata);
  desk.line(`Cache: ${describeFacts(desk, facts)}`, labelWidth);
  desk.line(
    `Holds: ${metadata === undefined ? "nothing yet, no build has been exported to it" : describeHolding(desk, metadata, stock)}`,
    labelWidth,
  );
  if (layers.length > 0) {
    desk.line();
    tellLayers(desk, layers, stock);
  }
  if (metadata?.sbom !== undefined) {
    const blob = stock.blob(metadata.sbom);
    const held = blob === undefined ? "-" : desk.sizeInWords(blob.size);
    const problem = blobProblem(metadata.sbom, blob, true);
    desk.line(`\nSBOM files: ${held} (${desk.digest(metadata.sbom)})${also(desk, problem)}`);
  }
  const odd = unreadable(metadata);
  if (odd.length > 0) desk.line();
  for (const { text } of odd) desk.line(desk.message(text));
  for (const { diffId, size, problem } of stock.orphans)
    desk.line(`Orphan: ${desk.digest(diffId)}, ${desk.sizeInWords(size)}, no layer names it${also(desk, problem)}`);
  for (const { path, bytes } of stock.leftovers) desk.line(`Left over: ${inline(path)}, ${desk.sizeInWords(bytes)}`);
}

function also(desk: Desk, problem: Problem | undefined): string {
  return problem === undefined ? "" : `; ${desk.paint(desk.message(problem.text), "red")}`;
}

/** What is recorded of whole buildpacks, or of nobody knows whom, and cannot be used. */
export function unreadable(metadata: ImageMetadata | undefined): readonly Unreadable[] {
  if (metadata === undefined) return [];
  return findUnreadable(new Set(metadata.buildpacks.map(({ id }) => id)), noMetadata, metadata);
}

/** What a cache is, in a line. */
function describeFacts(desk: Desk, { kind, reference, digest, created }: CacheFacts): string {
  const kinds = { directory: "a directory", image: "an image", layout: "an image in an OCI layout" } as const;
  const facts = [
    kinds[kind],
    ...(digest === undefined ? [] : [`digest ${desk.digest(digest)}`]),
    ...(created === undefined ? [] : [`written ${inline(created)}`]),
  ];
  return `${inline(reference)} (${facts.join(", ")})`;
}

function describeHolding(desk: Desk, { buildpacks }: ImageMetadata, stock: Stock): string {
  const layers = buildpacks.flatMap((buildpack) => [...buildpack.layers.values()]);
  const shas = new Set(layers.map(({ sha }) => sha));
  const bytes = [...shas].reduce((sum, sha) => sum + (stock.blob(sha)?.size ?? 0), 0);
  return `${count(layers.length, "layer")} of ${count(buildpacks.length, "buildpack")}, ${desk.sizeInWords(bytes)} stored`;
}

function tellLayers(desk: Desk, layers: readonly CachedLayer[], stock: Stock): void {
  const columns = [
    { title: "BUILDPACK" },
    { title: "VERSION" },
    { title: "LAYER" },
    { title: "TYPES" },
    { title: "SIZE", align: "right" },
    { title: "DIGEST" },
    { title: "NOTE" },
  ] as const;
  desk.table(
    columns,
    layers.map((one): Cell[] => {
      const { buildpack, version, layer, metadata } = one;
      const blob = stock.blob(metadata.sha);
      return [
        plainOrQuoted(buildpack),
        version === undefined ? "-" : inline(version),
        inline(layer),
        typesOf(metadata).join(",") || "-",
        blob === undefined ? "-" : desk.size(blob.size),
        desk.digest(metadata.sha),
        noteOf(desk, one, blob),
      ];
    }),
  );
}

/** The types of a layer that are true. */
export function typesOf(types: CachedLayer["metadata"]): string[] {
  return (["build", "launch", "cache"] as const).filter((type) => types[type]);
}

function stateOf({ cache }: CachedLayer["metadata"], blob: CacheBlob | undefined): BlobState {
  if (blob !== undefined) return blob.problem === undefined ? "held" : "unusable";
  return cache ? "missing" : "not-kept";
}

function noteOf(desk: Desk, layer: CachedLayer, blob: CacheBlob | undefined): Cell {
  const problems = problemsOf(layer, blob).map(({ text }) => text);
  if (problems.length > 0) return { text: desk.message(problems.join("; ")), color: "red" };
  return stateOf(layer.metadata, blob) === "not-kept" ? "cache=false, its contents are not kept here" : "";
}

function asData(facts: CacheFacts, metadata: ImageMetadata | undefined, stock: Stock): Found<"inspect"> {
  return {
    cache: facts,
    isEmpty: metadata === undefined,
    buildpacks: (metadata?.buildpacks ?? []).toSorted(byId).map((buildpack) => ({
      id: buildpack.id,
      version: buildpack.version ?? null,
      hasStore: buildpack.store !== undefined,
      layers: layersOf(buildpack)
        .sort(compareLayers)
        .map((layer) => layerAsData(layer, stock.blob(layer.metadata.sha))),
    })),
    unreadable: [...unreadable(metadata)],
    sbom: metadata?.sbom === undefined ? null : blobAsData(metadata.sbom, stock.blob(metadata.sbom)),
    orphans: stock.orphans.map(({ diffId, size, problem }) => ({ sha: diffId, size, problems: listOf(problem) })),
    leftovers: [...stock.leftovers],
  };
}

function listOf(problem: Problem | undefined): Problem[] {
  return problem === undefined ? [] : [problem];
}

function byId(a: BuildpackMetadata, b: BuildpackMetadata): number {
  return compareLayers({ buildpack: a.id }, { buildpack: b.id });
}

function layerAsData(
  one: CachedLayer,
  blob: CacheBlob | undefined,
): Found<"inspect">["buildpacks"][number]["layers"][number] {
  const { layer: name, metadata } = one;
  const { build, launch, cache, sha } = metadata;
  const state = stateOf(metadata, blob);
  const problems = problemsOf(one, blob);
  return { name, build, launch, cache, sha: sha ?? null, size: blob?.size ?? null, state, problems };
}

function blobAsData(sha: string, blob: CacheBlob | undefined): NonNullable<Found<"inspect">["sbom"]> {
  return { sha, size: blob?.size ?? null, problems: listOf(blobProblem(sha, blob, true)) };
}
