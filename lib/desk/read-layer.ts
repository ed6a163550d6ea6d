import type { Extracted } from "../archive/extract.ts";
import { LayerCheck, type LayerListener } from "../archive/layer-check.ts";
import { readBlob } from "../archive/read-blob.ts";
import { closeSource, NotOpened } from "../archive/source.ts";
import type { Cache } from "../caches/cache.ts";
import { describe } from "../errors.ts";
import { ExitCode, RestorerError } from "../failures.ts";
import { drained } from "../streams.ts";
import { quote } from "../text.ts";
import { type CachedLayer, recordedDigest } from "./cached-layers.ts";
import { type Desk, layerName } from "./desk.ts";

/** What is read of a cache. */
interface Wanted {
  /** How messages name it. */
  readonly name: string;
  readonly sha: string;
  /** Of what its entries have for a prefix. */
  readonly anchor: readonly string[];
}

/**
 * Reads a cached layer to its end and tells a listener what it holds, by the rules of a restore; nothing that was told is
 * verified before this resolves. Throws a RestorerError: exit 1 where the cache does not hold it, 42 where it is not sound.
 */
export async function readLayer(
  desk: Desk,
  cache: Cache,
  layer: CachedLayer,
  listener: LayerListener,
): Promise<Extracted> {
  const sha = recordedDigest(layer);
  const name = `layer ${quote(layerName(layer))}`;
  if (sha === undefined)
    throw new RestorerError(`read ${name}: the cache records no digest for it`, { code: "no-digest" });
  return readWanted(desk, cache, { name, sha, anchor: layer.anchor }, listener);
}

/** As `readLayer`, of any blob whose entries lie below one place. */
export async function readWanted(
  { session }: Desk,
  cache: Cache,
  { name, sha, anchor }: Wanted,
  listener: LayerListener,
): Promise<Extracted> {
  const { inputs, signal, umask } = session;
  const check = new LayerCheck({ layersDir: inputs.layersDir, umask, anchor }, listener);
  const unavailable = (cause: unknown) =>
    new RestorerError(`read ${name}: ${describe(cause)}`, { code: "blob-unavailable", cause });
  const source = await cache.open(sha).catch((error) => {
    throw unavailable(error);
  });
  try {
    await readBlob({ source, diffId: sha, handler: check, signal, pause: drained });
    return check.finish();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof NotOpened) throw unavailable(error.cause);
    if (!isAboutBlob(error)) throw error;
    const code = "blob-unusable";
    throw new RestorerError(`read ${name}: ${describe(error)}`, {
      exitCode: ExitCode.restoreFailed,
      code,
      cause: error,
    });
  } finally {
    closeSource(source);
  }
}

/** Whether reading failed because of the blob, and not because of who listens, or the run. */
export function isAboutBlob(error: unknown): boolean {
  return error instanceof Error && /^(Blob|Compression|Tar)Error$/.test(error.name);
}
