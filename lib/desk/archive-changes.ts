import { NotOpened } from "../archive/source.ts";
import { CacheError } from "../caches/cache.ts";
import { fromLatin1, toLatin1 } from "../latin1.ts";
import { escapeId } from "../layers/names.ts";
import type { PackedEntry } from "../pack/header.ts";
import { quote } from "../text.ts";
import { type ArchiveHead, readHead } from "./archive-head.ts";
import type { Desk } from "./desk.ts";
import { type FileChange, type LayerOf, octalMode } from "./file-changes.ts";

/**
 * How two archives that hold the same files differ, as far as their beginnings tell; nothing where these are alike, or where one
 * cannot be read. Throws the signal's reason.
 */
export async function archiveChanges(desk: Desk, a: LayerOf, b: LayerOf): Promise<string[]> {
  const [before, after] = [await headOf(desk, a), await headOf(desk, b)];
  if (before === undefined || after === undefined) return [];
  const owner = changed("owner", ownerOf(before), ownerOf(after));
  if (before.prefix !== after.prefix) {
    const [from, to] = [before, after].map(({ prefix }) => quote(fromLatin1(prefix)));
    return [`layers directory ${from} → ${to}`, ...owner];
  }
  const above = changesAbove(before.above, after.above).map(({ path, what, change }) =>
    [quote(path), ...(change === "changed" ? what : [change])].join(" "),
  );
  return [...above, ...owner];
}

async function headOf({ session }: Desk, { cache, layer }: LayerOf): Promise<ArchiveHead | undefined> {
  const { sha } = layer.metadata;
  if (sha === undefined) return undefined;
  try {
    const path = toLatin1(`${escapeId(layer.buildpack)}/${layer.layer}`);
    return await readHead(cache, sha, path, session.signal);
  } catch (error) {
    if (error instanceof NotOpened || error instanceof CacheError) return undefined;
    throw error;
  }
}

/** The directories above a layer are part of its archive, their owners included. */
export function changesAbove(before: readonly PackedEntry[], after: readonly PackedEntry[]): FileChange[] {
  const names = [...new Set([...before, ...after].map(({ name }) => name))].sort();
  return names.flatMap((name): FileChange[] => {
    const path = fromLatin1(name);
    const [old, now] = [before, after].map((entries) => entries.find((entry) => entry.name === name));
    if (old === undefined) return [{ change: "added", path, what: ["above the layer"] }];
    if (now === undefined) return [{ change: "removed", path, what: ["above the layer"] }];
    const what = [
      ...changed("mode", octalMode(old.mode), octalMode(now.mode)),
      ...changed("owner", ownerOf(old), ownerOf(now)),
    ];
    return what.length === 0 ? [] : [{ change: "changed", path, what }];
  });
}

function changed(what: string, old: string, now: string): string[] {
  return old === now ? [] : [`${what} ${old} → ${now}`];
}

function ownerOf({ uid, gid }: Pick<PackedEntry, "uid" | "gid">): string {
  return `${uid}:${gid}`;
}
