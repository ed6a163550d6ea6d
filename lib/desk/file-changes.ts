import type { LayerItem } from "../archive/layer-check.ts";
import type { Cache } from "../caches/cache.ts";
import { fromLatin1 } from "../latin1.ts";
import { Digester } from "../oci/digest.ts";
import { count, thousands } from "../text.ts";
import type { CachedLayer } from "./cached-layers.ts";
import type { Desk } from "./desk.ts";
import { readLayer } from "./read-layer.ts";

/** A file, link or directory of a layer that is different. */
export interface FileChange {
  readonly change: "added" | "removed" | "changed";
  /** Below the layer, which is "." itself. */
  readonly path: string;
  /** Of one that is changed: what of it is. */
  readonly what: readonly string[];
}

/** For a document. */
export function changeAsData({ change, path, what }: FileChange) {
  return { change, path, what: [...what] };
}

/** A layer of a cache. */
export interface LayerOf {
  readonly cache: Cache;
  readonly layer: CachedLayer;
}

/** What stands at a path in the end, by what it can differ in. */
type Aspects = Readonly<Record<"type" | "mode" | "size" | "target" | "content", string>>;

/** The differences of two layers, by path; both are read to their ends, and verified. Throws as `readLayer` does. */
export async function diffFiles(desk: Desk, a: LayerOf, b: LayerOf): Promise<FileChange[]> {
  return changesBetween(await aspectsOf(desk, a), await aspectsOf(desk, b));
}

/** What is different of what stands at each path in the end. */
export function changesBetween(
  before: ReadonlyMap<string, Aspects>,
  after: ReadonlyMap<string, Aspects>,
): FileChange[] {
  const paths = [...new Set([...before.keys(), ...after.keys()])].sort();
  return paths.flatMap((latin1): FileChange[] => {
    const [old, now] = [before.get(latin1), after.get(latin1)];
    const path = latin1 === "" ? "." : fromLatin1(latin1);
    if (old === undefined) return [{ change: "added", path, what: [] }];
    if (now === undefined) return [{ change: "removed", path, what: [] }];
    const what = differences(old, now);
    return what.length === 0 ? [] : [{ change: "changed", path, what }];
  });
}

function differences(old: Aspects, now: Aspects): string[] {
  if (old.type !== now.type) return [`type ${old.type} → ${now.type}`];
  const shown = (["mode", "size", "target"] as const).flatMap((aspect) => {
    const [a, b] = [old[aspect], now[aspect]];
    if (a === b) return [];
    return aspect === "size"
      ? [`size ${thousands(Number(a))} → ${count(Number(b), "byte")}`]
      : [`${aspect} ${a} → ${b}`];
  });
  return old.content === now.content ? shown : [...shown, "content"];
}

/** Reads a layer of a cache to its end, and verifies it. Throws as `readLayer` does. */
export async function aspectsOf(desk: Desk, { cache, layer }: LayerOf): Promise<ReadonlyMap<string, Aspects>> {
  const collected = new CollectedAspects();
  await readLayer(desk, cache, layer, collected);
  return collected.end();
}

/** Collects what stands at the paths of a layer: told of each item, then of its content. */
export class CollectedAspects {
  readonly #found = new Map<string, Aspects>();
  #present: LayerItem | undefined;
  /** One for all files: layers have tens of thousands. */
  readonly #hash = new Digester();

  readonly item = (item: LayerItem): void => {
    this.#endFile();
    this.#present = item;
    this.#found.set(item.path, toAspects(item));
  };

  readonly data = (chunk: Uint8Array): void => void this.#hash.update(chunk);

  end(): ReadonlyMap<string, Aspects> {
    this.#endFile();
    return this.#found;
  }

  #endFile(): void {
    if (this.#present?.type !== "file") return;
    this.#found.set(this.#present.path, { ...toAspects(this.#present), content: this.#hash.digest() });
  }
}

/** Permission bits in octal, with setuid, setgid and sticky: `0755`. */
export function octalMode(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

function toAspects(item: LayerItem): Aspects {
  return {
    type: item.type === "link" ? "hard link" : item.type,
    mode: "mode" in item ? octalMode(item.mode) : "",
    size: item.type === "file" ? String(item.size) : "",
    target: "target" in item ? fromLatin1(item.target) : "",
    content: "",
  };
}
