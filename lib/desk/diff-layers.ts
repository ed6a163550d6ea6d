import { resolve } from "node:path";
import { invalid } from "../cli/arguments.ts";
import type { Directory } from "../disk/directory.ts";
import { ExitCode } from "../failures.ts";
import { chooseLayer } from "../layers/only.ts";
import { compareLayers } from "../layers/report.ts";
import { count, inline, thousands } from "../text.ts";
import { cachedLayers } from "./cached-layers.ts";
import { type Desk, layerName } from "./desk.ts";
import { writeDocument } from "./documents.ts";
import { exporters, ifRecordable, layersOf, openLayers } from "./exporters.ts";
import { changeAsData } from "./file-changes.ts";
import { layersMarker, type NamedCache, openNamedCache } from "./named-cache.ts";
import { type Counterparts, exportOutcomes, type NextExport, NextExports } from "./next-export.ts";
import type { Cell, Color } from "./table.ts";

/** Whether a word names a layers directory: `layers:DIR`. */
export function isLayersWord(word: string | undefined): boolean {
  return word?.startsWith(layersMarker) === true;
}

/** `restorer diff CACHE layers:DIR`: which layers the next export will reuse, and what is to blame where it will not. */
export async function diffLayers(desk: Desk, [a = "", b = "", wanted]: readonly string[]): Promise<number> {
  if (isLayersWord(a))
    throw invalid(`diff: a layers directory is the second word, behind the cache: diff ${inline(b)} ${inline(a)}`);
  const { progress, log } = desk.session;
  const path = resolve(b.slice(layersMarker.length));
  const named = await openNamedCache(desk, a);
  using layers = openLayers(path);
  const all = counterparts(desk, named, layers);
  const chosen = wanted === undefined ? all : [chooseLayer(all, wanted)];
  const exports = new NextExports(desk, named.cache, layers);
  const found: NextExport[] = [];
  let done = 0;
  progress.start(() => `Packing: ${thousands(done)} of ${count(chosen.length, "layer")}`);
  try {
    for (const one of chosen) {
      const next = await exports.foresee(one);
      if (next !== undefined) found.push(next);
      done += 1;
    }
  } finally {
    progress.stop();
    log.flush();
  }
  if (desk.isJson)
    writeDocument(desk, "diff-layers", { a: named.cache.facts(), layersDir: path, layers: found.map(asData) });
  else tell(desk, found);
  return desk.options.exitCode && found.some(({ outcome }) => outcome !== "reused") ? ExitCode.failed : ExitCode.ok;
}

type Named = Counterparts & { readonly buildpack: string; readonly layer: string };

/** The layers of cache and layers directory, by buildpack and name. */
function counterparts({ session }: Desk, { metadata }: NamedCache, layers: Directory): Named[] {
  const known = metadata?.buildpacks.map(({ id }) => id);
  const buildpacks = exporters(session.log, layers, { groupPath: `${layers.path}/group.toml`, isNeeded: false, known });
  const standing = layersOf(buildpacks, layers).map(ifRecordable);
  const found = new Map<string, Named>();
  const key = ({ buildpack, layer }: Pick<Named, "buildpack" | "layer">) => `${buildpack}:${layer}`;
  for (const cached of metadata === undefined ? [] : cachedLayers(metadata)) {
    const { buildpack, layer } = cached;
    found.set(key(cached), { buildpack, layer, cached, standing: undefined });
  }
  for (const one of standing) {
    const { buildpack, layer } = one;
    found.set(key(one), { buildpack, layer, cached: found.get(key(one))?.cached, standing: one });
  }
  return [...found.values()].sort(compareLayers);
}

const colors: Readonly<Record<NextExport["outcome"], Color>> = {
  reused: "green",
  anew: "yellow",
  new: "cyan",
  dropped: "red",
};

function tell(desk: Desk, found: readonly NextExport[]): void {
  const rows = found.flatMap((next): Cell[][] => {
    const { outcome, reason, changes } = next;
    const what: Cell = { text: outcome, color: colors[outcome] };
    const name = layerName(next);
    const why: Cell[] = [what, name, "", desk.message(reason)];
    const blamed = changes.map((change): Cell[] => [
      what,
      name,
      desk.message(change.path),
      desk.message(change.change === "changed" ? change.what.join(", ") : [change.change, ...change.what].join(", ")),
    ]);
    return blamed.length === 0 || next.isUnasked === true ? [why, ...blamed] : blamed;
  });
  const columns = [{ title: "EXPORT" }, { title: "LAYER" }, { title: "PATH" }, { title: "WHAT" }] as const;
  if (rows.length > 0) desk.table(columns, rows);
  const parts = exportOutcomes.flatMap((outcome) => {
    const n = found.filter((next) => next.outcome === outcome).length;
    return n === 0 ? [] : [`${thousands(n)} ${outcome}`];
  });
  const blank = rows.length > 0 ? "\n" : "";
  desk.line(
    `${blank}${found.length === 0 ? "There are no layers to compare." : `${count(found.length, "layer")}: ${parts.join(", ")}`}`,
  );
}

function asData({ buildpack, layer, outcome, code, reason, sha, newSha, changes }: NextExport) {
  return {
    buildpack,
    layer,
    outcome,
    code,
    reason,
    sha: sha ?? null,
    newSha: newSha ?? null,
    files: changes.map(changeAsData),
  };
}
