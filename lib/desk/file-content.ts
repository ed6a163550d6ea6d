import type { LayerItem } from "../archive/layer-check.ts";
import type { Cache } from "../caches/cache.ts";
import { RestorerError } from "../failures.ts";
import { fromLatin1, toLatin1 } from "../latin1.ts";
import { quote } from "../text.ts";
import type { CachedLayer } from "./cached-layers.ts";
import { type Desk, layerName } from "./desk.ts";
import { readLayer } from "./read-layer.ts";

/**
 * Writes the content of one file of a layer to stdout, after the whole layer was verified: it is read twice. Throws a
 * RestorerError where the path is not that of a file.
 */
export async function writeFileOf(desk: Desk, cache: Cache, layer: CachedLayer, path: string): Promise<void> {
  const wanted = toLatin1(path.replace(/^\.?\/+|\/+$/g, ""));
  const position = await find(desk, cache, layer, wanted);
  let at = -1;
  let isWanted = false;
  await readLayer(desk, cache, layer, {
    item: ({ type }) => {
      if (type === "file") isWanted = ++at === position;
    },
    data: (chunk) => {
      if (isWanted) desk.writeBytes(chunk);
    },
  });
}

/**
 * Which of the files of a layer, counted from 0, has the content of a path in the end: a later entry takes the place of an
 * earlier one.
 */
async function find(desk: Desk, cache: Cache, layer: CachedLayer, wanted: string): Promise<number> {
  let at = -1;
  const positions = new Map<string, number>();
  let found: LayerItem | undefined;
  await readLayer(desk, cache, layer, {
    item: (item) => {
      if (item.type === "file") positions.set(item.path, ++at);
      if (item.type === "link") positions.set(item.path, positions.get(item.target) ?? -1);
      if (item.path === wanted) found = item;
    },
  });
  const position = positions.get(wanted);
  if (found !== undefined && position !== undefined && (found.type === "file" || found.type === "link"))
    return position;
  throw new RestorerError(`read ${quote(fromLatin1(wanted))} of layer ${quote(layerName(layer))}: ${whyNot(found)}`, {
    code: "no-such-file",
    hint: "`restorer inspect CACHE LAYER` lists what the layer holds.",
  });
}

function whyNot(found: LayerItem | undefined): string {
  if (found === undefined) return "the layer has no such file";
  if (found.type === "directory") return "it is a directory";
  return `it is a symbolic link to ${"target" in found ? quote(fromLatin1(found.target)) : "something else"}`;
}
