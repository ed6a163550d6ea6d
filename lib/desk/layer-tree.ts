import type { LayerItem } from "../archive/layer-check.ts";
import { parentOf } from "../latin1.ts";

/** A directory of a layer, with all that is below it. */
interface DirectorySize {
  /** Below the layer, which is "" itself; bytes in a latin1 string. */
  readonly path: string;
  readonly bytes: number;
  readonly files: number;
}

interface Node {
  bytes: number;
  files: number;
}

/** Adds up what lies below each directory of a layer. */
export class LayerTree {
  readonly #nodes = new Map<string, Node>([["", { bytes: 0, files: 0 }]]);

  add(item: LayerItem): void {
    if (item.type === "directory") {
      if (!this.#nodes.has(item.path)) this.#nodes.set(item.path, { bytes: 0, files: 0 });
      return;
    }
    const bytes = item.type === "file" ? item.size : 0;
    for (let path = item.path; path !== ""; ) {
      path = parentOf(path);
      const node = this.#nodes.get(path);
      if (node === undefined) continue;
      node.bytes += bytes;
      node.files += 1;
    }
  }

  /** The directories down to `depth` levels below the layer, a parent before its children, the largest first. */
  directories(depth = Number.POSITIVE_INFINITY): DirectorySize[] {
    const children = new Map<string, DirectorySize[]>();
    for (const [path, node] of this.#nodes) {
      if (path === "" || path.split("/").length > depth) continue;
      const parent = parentOf(path);
      const siblings = children.get(parent) ?? [];
      if (siblings.push({ path, ...node }) === 1) children.set(parent, siblings);
    }
    const result: DirectorySize[] = [];
    const stack: DirectorySize[] = [{ path: "", ...(this.#nodes.get("") ?? { bytes: 0, files: 0 }) }];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      result.push(next);
      const below = children.get(next.path) ?? [];
      stack.push(...below.sort((a, b) => a.bytes - b.bytes || (a.path < b.path ? 1 : -1)));
    }
    return result;
  }
}
