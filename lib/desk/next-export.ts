import { NotOpened } from "../archive/source.ts";
import type { Cache } from "../caches/cache.ts";
import { CacheError } from "../caches/cache.ts";
import type { Directory } from "../disk/directory.ts";
import { describe } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import { fromLatin1, toLatin1 } from "../latin1.ts";
import { type ExportCode, isPacked, type StandingLayer } from "../pack/export-plan.ts";
import type { PackedEntry } from "../pack/header.ts";
import { entriesAbove, type PackJob, packLayer } from "../pack/pack-layer.ts";
import { PackError } from "../pack/tree-reader.ts";
import { quote } from "../text.ts";
import { changesAbove } from "./archive-changes.ts";
import { type ArchiveHead, readHead } from "./archive-head.ts";
import { type CachedLayer, recordedDigest } from "./cached-layers.ts";
import { type Desk, layerName } from "./desk.ts";
import { aspectsOf, CollectedAspects, changesBetween, type FileChange } from "./file-changes.ts";

/** What the next export makes of a layer: the blob in the cache stays, another takes its place, a new one comes, or none. */
export const exportOutcomes = ["reused", "anew", "new", "dropped"] as const;

/** Why, for programs, beside the codes of layers that no exporter packs. */
export const nextExportCodes = {
  "same-digest": "the exporter makes the very archive that the cache holds",
  "other-files": "files, modes, or directories above the layer are other ones",
  "other-archive": "the files are the same, but their archive was written in another way",
  "blob-unavailable": "the cache does not have the blob any more",
  "blob-unusable": "the blob in the cache is not sound",
  "not-in-cache": "the cache does not hold the layer yet",
  "not-standing": "the layer does not stand in the layers directory",
} as const;

/** A layer, what the next export makes of it, and what of it is to blame. */
export interface NextExport {
  readonly buildpack: string;
  readonly layer: string;
  readonly outcome: (typeof exportOutcomes)[number];
  readonly code: keyof typeof nextExportCodes | ExportCode;
  readonly reason: string;
  /** What the cache records. */
  readonly sha: string | undefined;
  /** What it will record. */
  readonly newSha: string | undefined;
  /** Whether its buildpack must ask for it again, which is part of the reason. */
  readonly isUnasked?: boolean;
  /** Of one that is exported anew: what of the layer differs, and of the directories above it, whose names are absolute. */
  readonly changes: readonly FileChange[];
}

/** A layer of the cache, and what stands of it; one of both there is. */
export interface Counterparts {
  readonly cached: CachedLayer | undefined;
  readonly standing: StandingLayer | undefined;
}

/** Foresees the next export to a cache from a layers directory, by packing layers as the exporter will. */
export class NextExports {
  readonly #desk: Desk;
  readonly #cache: Cache;
  readonly #layers: Directory;
  #isMoveTold = false;

  constructor(desk: Desk, cache: Cache, layers: Directory) {
    this.#desk = desk;
    this.#cache = cache;
    this.#layers = layers;
  }

  /** Undefined for a layer that is neither in the cache nor will be. Throws RestorerErrors, and the signal's reason. */
  async foresee({ cached, standing }: Counterparts): Promise<NextExport | undefined> {
    const isHeld = cached?.metadata.cache === true;
    const subject = standing ?? cached;
    if (subject === undefined) return undefined;
    const { buildpack, layer } = subject;
    const sha = cached === undefined ? undefined : recordedDigest(cached);
    const about = { buildpack, layer, sha, newSha: undefined, changes: [] };
    if (standing === undefined || !mayBeExported(standing)) {
      if (!isHeld) return undefined;
      const { code, reason } = standing ?? {
        code: "not-standing",
        reason: "it does not stand in the layers directory",
      };
      return { ...about, outcome: "dropped", code, reason };
    }
    if (cached !== undefined && isHeld && sha !== undefined) return this.#compare(cached, standing, sha);
    if (!isPacked(standing)) return undefined;
    const { diffId } = await this.#pack(standing, undefined);
    return { ...about, outcome: "new", code: "not-in-cache", reason: "the cache does not hold it", newSha: diffId };
  }

  async #compare(cached: CachedLayer, standing: StandingLayer, sha: string): Promise<NextExport> {
    const { buildpack, layer, code } = standing;
    const head = await this.#head(standing, sha);
    const { diffId: newSha } = await this.#pack(standing, typeof head === "string" ? undefined : head);
    const isUnasked = code === "no-types";
    const unasked = isUnasked ? "; but its toml has no [types], its buildpack must ask for it again" : "";
    const about = { buildpack, layer, sha, newSha, isUnasked };
    const anew = (why: NextExport["code"], reason: string, changes: readonly FileChange[] = []): NextExport => {
      return { ...about, outcome: "anew", code: why, reason: `${reason}${unasked}`, changes };
    };
    if (typeof head === "string") return anew("blob-unavailable", head);
    if (newSha === sha) {
      const reason = `its digest is the same${unasked}`;
      return { ...about, outcome: "reused", code: "same-digest", reason, changes: [] };
    }
    try {
      const changes = await this.#blame(cached, standing, head);
      if (changes.length > 0) return anew("other-files", "its digest differs", changes);
      return anew("other-archive", "the same files in another archive");
    } catch (error) {
      if (!(error instanceof RestorerError) || error.code !== "blob-unusable") throw error;
      return anew("blob-unusable", error.message);
    }
  }

  /** How the archive in the cache begins; why it cannot be reused, where there is none. */
  async #head({ directory, layer }: StandingLayer, sha: string): Promise<ArchiveHead | undefined | string> {
    try {
      const path = toLatin1(`${directory}/${layer}`);
      return await readHead(this.#cache, sha, path, this.#desk.session.signal);
    } catch (error) {
      const why = error instanceof NotOpened ? error.cause : error;
      if (!(error instanceof NotOpened || error instanceof CacheError)) throw error;
      return `the cache does not have its blob: ${describe(why)}`;
    }
  }

  /** What of a layer, and of the directories above it, differs. */
  async #blame(cached: CachedLayer, standing: StandingLayer, head: ArchiveHead | undefined): Promise<FileChange[]> {
    const before = await aspectsOf(this.#desk, { cache: this.#cache, layer: cached });
    const above: PackedEntry[] = [];
    const collected = new CollectedAspects();
    const top = `/${toLatin1(`${standing.directory}/${standing.layer}`)}`;
    const prefix = this.#prefix(head);
    await this.#pack(standing, head, {
      entry: (entry) => {
        const { name, type, mode, size, linkname: target } = entry;
        if (!`${name}/`.startsWith(`${prefix}${top}/`)) return void above.push(entry);
        const path = name.slice(prefix.length + top.length + 1);
        if (type === "symlink") collected.item({ type, path, target });
        else collected.item(type === "file" ? { type, path, mode, size } : { type, path, mode });
      },
      data: collected.data,
    });
    return [...changesAbove(head?.above ?? [], above), ...changesBetween(before, collected.end())];
  }

  /** Packs it as the exporter of the cache's archive did: where that one was, and with that owner. */
  async #pack({ buildpack, directory, layer }: StandingLayer, head?: ArchiveHead, listener?: PackJob["listener"]) {
    const path = toLatin1(`${directory}/${layer}`);
    const prefix = this.#prefix(head);
    const isHere = prefix === toLatin1(this.#layers.path);
    const above =
      isHere || head === undefined
        ? entriesAbove(this.#layers.path)
        : head.above.filter(({ name }) => prefix.startsWith(`${name}/`));
    if (!isHere) this.#tellMove(prefix);
    const { signal } = this.#desk.session;
    const { uid, gid } = head ?? {};
    const job = { layers: this.#layers, path, prefix, above, uid, gid, signal, ...(listener && { listener }) };
    try {
      return await packLayer(job);
    } catch (error) {
      if (!(error instanceof PackError)) throw error;
      const message = `pack layer ${quote(layerName({ buildpack, layer }))}: ${error.message}`;
      throw new RestorerError(message, { code: "layer-not-packed", cause: error });
    }
  }

  #tellMove(prefix: string): void {
    if (this.#isMoveTold) return;
    this.#isMoveTold = true;
    const { log } = this.#desk.session;
    log.info(
      `The cache was made in ${quote(fromLatin1(prefix))}: compared as if ${quote(this.#layers.path)} lay there`,
    );
  }

  #prefix(head: ArchiveHead | undefined): string {
    return head?.prefix ?? toLatin1(this.#layers.path);
  }
}

/** A layer as a restore leaves it may be asked for again. */
function mayBeExported(layer: StandingLayer): boolean {
  return isPacked(layer) || layer.code === "no-types";
}
