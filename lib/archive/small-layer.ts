import { fileReader } from "./blob-file.ts";
import type { Control } from "./control.ts";
import { LayerExtractor } from "./extract.ts";
import { LayerCheck } from "./layer-check.ts";
import { type LayerOutcome, type LayerTarget, outcomeOf } from "./layer-outcome.ts";
import type { SmallSource } from "./source.ts";
import { Stopwatch } from "./stopwatch.ts";
import { TarReader } from "./tar.ts";
import { Content } from "./verification.ts";

/** A small blob, what it must be, and where it goes. */
export interface SmallJob {
  readonly source: SmallSource;
  /** What the SHA-256 of the uncompressed archive must be, `sha256:<hex>`. */
  readonly diffId: string;
  readonly target: LayerTarget;
}

/** How the job of a small layer ended, see `LayerOutcome`. */
export type SmallOutcome =
  | Extract<LayerOutcome, { ok: true }>
  | { readonly ok: false; readonly fault: "layer" | "disk" | "cancelled"; readonly message: string };

/**
 * Extracts, or checks, a layer from a small blob in this thread, by the rules of the two threads (contract §4, D4): all of it is
 * verified before anything is written.
 */
function doSmallLayer({ source, diffId, target }: SmallJob): SmallOutcome {
  let handler: LayerExtractor | LayerCheck | undefined;
  const [hashing, writing] = [new Stopwatch(), new Stopwatch()];
  try {
    const archive = hashing.run(() => readVerified(source, diffId));
    handler = target.root === undefined ? new LayerCheck(target) : new LayerExtractor(target);
    const reader = new TarReader(handler);
    writing.run(() => reader.write(archive));
    reader.finish();
    return { ok: true, extracted: handler.finish(), hashingMs: hashing.ms, writingMs: writing.ms };
  } catch (error) {
    handler?.abort();
    return outcomeOf(error, target);
  }
}

/** One of several; none is begun any more once the run is cancelled. */
export function doUnlessCancelled(control: Control, job: SmallJob): SmallOutcome {
  return control.isCancelled ? { ok: false, fault: "cancelled", message: "stopped" } : doSmallLayer(job);
}

/** All of a file; one that has grown since it was looked at is read one byte too far, which its digest will tell. */
function readVerified(source: SmallSource, diffId: string): Buffer {
  const read = fileReader(source.fd);
  const content = new Content(diffId, source);
  const archive = Buffer.allocUnsafe(source.size + 1);
  let at = 0;
  for (let length = -1; length !== 0 && at < archive.length; at += length) {
    length = read(archive.subarray(at), at);
    content.take(archive.subarray(at, at + length));
  }
  content.verify();
  return archive.subarray(0, at);
}
