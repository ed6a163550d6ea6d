import { invalid } from "../cli/arguments.ts";
import type { Directory } from "../disk/directory.ts";
import { describe } from "../errors.ts";
import { ExitCode, RestorerError } from "../failures.ts";
import { toLatin1 } from "../latin1.ts";
import { chooseLayer } from "../layers/only.ts";
import { compareLayers } from "../layers/report.ts";
import { type ExportedLayer, formatCacheMetadata } from "../pack/cache-metadata.ts";
import { because, isPacked, type StandingLayer } from "../pack/export-plan.ts";
import { NewCache } from "../pack/new-cache.ts";
import { entriesAbove, type Packed } from "../pack/pack-layer.ts";
import { count, formatBytes, inline, plainOrQuoted, quote, thousands } from "../text.ts";
import { type Desk, layerName } from "./desk.ts";
import type { Found } from "./document-schemas.ts";
import { writeDocument } from "./documents.ts";
import { exporters, ifRecordable, layersOf, openLayers } from "./exporters.ts";
import type { Cell } from "./table.ts";

/** What became of a layer; `packed` where it is in the new cache. */
interface Made {
  readonly standing: StandingLayer;
  readonly packed: Packed | undefined;
}

/** `restorer make-cache`: a new volume cache of the layers that stand in a layers directory, as an exporter writes it. */
export async function makeCache(desk: Desk): Promise<number> {
  const { inputs } = desk.session;
  const { cacheDir } = inputs;
  if (cacheDir === undefined) throw invalid("make-cache needs the directory to make: -cache-dir NEW");
  using layers = openLayers(inputs.layersDir);
  const buildpacks = exporters(desk.session.log, layers, {
    groupPath: inputs.groupPath,
    isNeeded: desk.options.named.group,
  });
  const standing = asked(layersOf(buildpacks, layers), inputs.only).map(ifRecordable);
  const cache = new NewCache(cacheDir, layers);
  try {
    const { made, sbom } = await fill(desk, cache, layers, standing);
    const exported = made.flatMap(({ standing, packed }): ExportedLayer[] =>
      packed === undefined ? [] : [{ standing, diffId: packed.diffId }],
    );
    cache.commit(formatCacheMetadata(buildpacks, exported, sbom?.diffId));
    if (exported.length === 0) warnOfEmpty(desk, standing);
    tell(desk, cacheDir, made, sbom);
    return ExitCode.ok;
  } catch (error) {
    cache.discard();
    throw error;
  } finally {
    cache.close();
  }
}

/** Only the layers that -only names, whatever their types say; all where it names none. Throws as `chooseLayer` does. */
function asked(standing: readonly StandingLayer[], only: readonly string[]): StandingLayer[] {
  if (only.length === 0) return [...standing];
  const candidates = standing.filter(({ hasContents, file }) => hasContents && file !== undefined);
  const chosen = new Set(only.map((name) => chooseLayer(candidates, name)));
  return standing.map((layer) => {
    if (!chosen.has(layer)) return { ...layer, ...because("not-asked-for") };
    return layer.code === "packed" ? layer : { ...layer, ...because("asked-for") };
  });
}

async function fill(
  desk: Desk,
  cache: NewCache,
  layers: Directory,
  standing: readonly StandingLayer[],
): Promise<{ readonly made: Made[]; readonly sbom: Packed | undefined }> {
  const { inputs, progress, signal } = desk.session;
  const prefix = toLatin1(inputs.layersDir);
  const job = { layers, prefix, above: entriesAbove(inputs.layersDir), uid: inputs.uid, gid: inputs.gid, signal };
  const made: Made[] = [];
  let bytes = 0;
  progress.start(
    () => `Packing: ${thousands(made.length)} of ${count(standing.length, "layer")}, ${formatBytes(bytes)}`,
  );
  const add = async (path: string) => {
    const packed = await cache.add({ ...job, path: toLatin1(path) });
    bytes += packed.size;
    return packed;
  };
  try {
    for (const layer of standing) {
      const packed = isPacked(layer) ? await add(`${layer.directory}/${layer.layer}`) : undefined;
      made.push({ standing: layer, packed });
    }
    const hasSboms = layers.openIfThere("sbom")?.openIfThere("cache") !== undefined;
    return { made, sbom: hasSboms ? await add("sbom/cache") : undefined };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof RestorerError) throw error;
    throw new RestorerError(`make cache ${quote(inputs.cacheDir ?? "")}: ${describe(error)}`, {
      code: "layer-not-packed",
      cause: error,
      hint: "-only names layers to pack without the others.",
    });
  } finally {
    progress.stop();
  }
}

/** After a restore no layer has types: an exporter would make an empty cache, too, but nobody wants one. */
function warnOfEmpty({ session }: Desk, standing: readonly StandingLayer[]): void {
  const [first, ...others] = standing.filter(({ code }) => code === "no-types");
  const more = others.length === 0 ? "" : ` and ${count(others.length, "other")}`;
  const why =
    first === undefined
      ? "none has cache=true in its toml"
      : `${quote(layerName(first))}${more} stand as a restore leaves them, without [types]. To pack them all the same, name each: -only ${plainOrQuoted(first.layer)}`;
  session.log.warn(`The cache that was made holds no layer: ${why}`, "empty-cache");
}

const columns = [
  { title: "ACTION" },
  { title: "LAYER" },
  { title: "FILES", align: "right" },
  { title: "SIZE", align: "right" },
  { title: "DIGEST" },
  { title: "WHY" },
] as const;

function tell(desk: Desk, cacheDir: string, made: readonly Made[], sbom: Packed | undefined): void {
  if (desk.isJson) {
    const { warnings } = desk.session.log;
    writeDocument(desk, "make-cache", { ...asData(cacheDir, made, sbom), warnings: [...warnings] });
    return;
  }
  const packed = made.filter(({ packed }) => packed !== undefined);
  const rows = made.map(({ standing, packed }): Cell[] => [
    packed === undefined ? { text: "skipped", color: "dim" } : { text: "packed", color: "green" },
    layerName(standing),
    packed === undefined ? "-" : desk.count(packed.files),
    packed === undefined ? "-" : desk.size(packed.size),
    desk.digest(packed?.diffId),
    desk.message(standing.reason),
  ]);
  if (rows.length > 0) desk.table(columns, rows);
  else desk.line("There are no layers to pack.");
  if (sbom !== undefined) desk.line(`\nSBOM files: ${desk.sizeInWords(sbom.size)} (${desk.digest(sbom.diffId)})`);
  desk.line(`\nMade ${inline(cacheDir)} of ${count(packed.length, "layer")}`);
}

function asData(
  cacheDir: string,
  made: readonly Made[],
  sbom: Packed | undefined,
): Omit<Found<"make-cache">, "warnings"> {
  return {
    cache: { kind: "directory", reference: cacheDir },
    layers: made
      .toSorted((a, b) => compareLayers(a.standing, b.standing))
      .map(({ standing: { buildpack, layer, code, reason }, packed }) => ({
        buildpack,
        layer,
        outcome: packed === undefined ? "skipped" : "packed",
        code,
        reason,
        ...(packed === undefined ? {} : { sha: packed.diffId, size: packed.size, files: packed.files }),
      })),
    sbom: sbom === undefined ? null : { sha: sbom.diffId, size: sbom.size },
  };
}
