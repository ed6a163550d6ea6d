import type { CacheFacts } from "../caches/cache.ts";
import { count, inline, plainOrQuoted } from "../text.ts";
import type { ImageMetadata } from "../toml/metadata.ts";
import { type CachedLayer, cachedLayers, metadataProblem, type Stock, takeStock } from "./cached-layers.ts";
import type { Desk } from "./desk.ts";
import type { Found } from "./document-schemas.ts";
import { writeDocument } from "./documents.ts";
import type { NamedCache } from "./named-cache.ts";
import type { Cell } from "./table.ts";

/** Whether the contents of a layer are there: `held`; `missing`, though they are promised; or `not-kept`, as recorded. */
export type BlobState = "held" | "missing" | "not-kept";

/** What a cache holds: its layers and SBOM files, blobs that nothing names, and what does not belong there. */
export function inspectCache(desk: Desk, { cache, metadata }: NamedCache): void {
  const stock = takeStock(cache, metadata);
  if (desk.isJson) writeDocument(desk, "inspect", asData(cache.facts(), metadata, stock));
  else tell(desk, cache.facts(), metadata, stock);
}

function tell(desk: Desk, facts: CacheFacts, metadata: ImageMetadata | undefined, stock: Stock): void {
  const layers = metadata === undefined ? [] : cachedLayers(metadata);
  desk.line(`Cache: ${describeFacts(desk, facts)}`);
  desk.line(
    `Holds: ${metadata === undefined ? "nothing yet, no build has been exported to it" : describeHolding(desk, metadata, stock)}`,
  );
  if (layers.length > 0) {
    desk.line();
    tellLayers(desk, layers, stock);
  }
  if (metadata?.sbom !== undefined) {
    const size = stock.size(metadata.sbom);
    const held = size === undefined ? desk.paint("missing", "red") : desk.size(size);
    desk.line(`\nSBOM files: ${held} (${desk.digest(metadata.sbom)})`);
  }
  for (const { diffId, size } of stock.orphans)
    desk.line(`Orphan: ${desk.digest(diffId)}, ${desk.size(size)}, no layer names it`);
  for (const { path, bytes } of stock.leftovers) desk.line(`Left over: ${inline(path)}, ${desk.size(bytes)}`);
}

/** What a cache is, in a line. */
export function describeFacts(desk: Desk, { kind, reference, digest, created }: CacheFacts): string {
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
  const bytes = [...shas].reduce((sum, sha) => sum + (stock.size(sha) ?? 0), 0);
  return `${count(layers.length, "layer")} of ${count(buildpacks.length, "buildpack")}, ${desk.size(bytes)} stored`;
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
      const size = stock.size(metadata.sha);
      return [
        plainOrQuoted(buildpack),
        version === undefined ? "-" : inline(version),
        inline(layer),
        typesOf(metadata).join(",") || "-",
        size === undefined ? "-" : desk.size(size),
        desk.digest(metadata.sha),
        noteOf(desk, one, size),
      ];
    }),
  );
}

/** The types of a layer that are true. */
export function typesOf(types: CachedLayer["metadata"]): string[] {
  return (["build", "launch", "cache"] as const).filter((type) => types[type]);
}

function stateOf({ cache }: CachedLayer["metadata"], size: number | undefined): BlobState {
  if (size !== undefined) return "held";
  return cache ? "missing" : "not-kept";
}

function noteOf(desk: Desk, layer: CachedLayer, size: number | undefined): Cell {
  const state = stateOf(layer.metadata, size);
  const problem = state === "held" ? metadataProblem(layer) : undefined;
  if (problem !== undefined) return { text: desk.message(problem), color: "red" };
  if (state === "missing") return { text: "its blob is missing", color: "red" };
  return state === "not-kept" ? "cache=false, its contents are not kept here" : "";
}

function asData(facts: CacheFacts, metadata: ImageMetadata | undefined, stock: Stock): Found<"inspect"> {
  const sizeOf = (sha: string | undefined) => stock.size(sha) ?? null;
  return {
    cache: facts,
    isEmpty: metadata === undefined,
    buildpacks: (metadata?.buildpacks ?? []).map(({ id, version, layers, store }) => ({
      id,
      version: version ?? null,
      hasStore: store !== undefined,
      layers: [...layers].map(([name, layer]) => ({
        name,
        build: layer.build,
        launch: layer.launch,
        cache: layer.cache,
        sha: layer.sha ?? null,
        size: sizeOf(layer.sha),
        state: stateOf(layer, stock.size(layer.sha)),
      })),
    })),
    sbom: metadata?.sbom === undefined ? null : { sha: metadata.sbom, size: sizeOf(metadata.sbom) },
    orphans: stock.orphans.map(({ diffId, size }) => ({ sha: diffId, size })),
    leftovers: [...stock.leftovers],
  };
}
