import { invalid } from "../cli/arguments.ts";
import { ExitCode } from "../failures.ts";
import { chooseLayer } from "../layers/only.ts";
import { cachedLayers } from "./cached-layers.ts";
import type { Desk } from "./desk.ts";
import { openNamedCache, takeCache } from "./named-cache.ts";

/** `restorer inspect`: what is in a cache; in one layer of it; in one file of that. */
export async function inspect(desk: Desk): Promise<number> {
  const { word, rest } = takeCache(desk);
  const [wanted, path] = rest;
  checkTree(desk, wanted, path);
  const named = await openNamedCache(desk, word);
  if (wanted === undefined) {
    const { inspectCache } = await import("./inspect-cache.ts");
    inspectCache(desk, named);
    return ExitCode.ok;
  }
  const layer = chooseLayer(named.metadata === undefined ? [] : cachedLayers(named.metadata), wanted);
  if (path === undefined) {
    const { inspectLayer } = await import("./inspect-layer.ts");
    await inspectLayer(desk, named.cache, layer);
  } else {
    const { writeFileOf } = await import("./file-content.ts");
    await writeFileOf(desk, named.cache, layer, path);
  }
  return ExitCode.ok;
}

/** What would be left out of account is refused. Throws a RestorerError (exit 3). */
function checkTree({ options }: Desk, layer: string | undefined, path: string | undefined): void {
  if (options.depth !== undefined && !options.tree) throw invalid("-depth is for -tree, which is not given");
  if (!options.tree) return;
  if (layer === undefined) throw invalid("-tree shows a layer, and none is named");
  if (path !== undefined) throw invalid("-tree shows a layer, not a file of it");
}
