import { fileReader } from "./blob-file.ts";
import { Control } from "./control.ts";
import { LayerExtractor } from "./extract.ts";
import { LayerCheck } from "./layer-check.ts";
import { type LayerOutcome, type LayerTarget, outcomeOf } from "./layer-outcome.ts";
import { Ring, RingStopped } from "./ring.ts";
import { SharedWrites } from "./shared-writes.ts";
import { Stopwatch } from "./stopwatch.ts";
import { TarReader } from "./tar.ts";
import { Content } from "./verification.ts";
import type { Described } from "./wrong-content.ts";

/**
 * Extracts or checks one layer from the uncompressed bytes that come through a ring, which it reads itself where the blob is a
 * file, and verifies where the other side leaves it that.
 */
export interface LayerJob {
  readonly ring: SharedArrayBuffer;
  readonly writes: SharedArrayBuffer;
  readonly control: SharedArrayBuffer;
  readonly target: LayerTarget;
  /** What the SHA-256 of the uncompressed archive must be, `sha256:<hex>`. */
  readonly diffId: string;
  readonly source: Described;
}

function run({ ring: memory, writes: records, control: words, target, diffId, source }: LayerJob): LayerOutcome {
  const control = new Control(words);
  const ring = new Ring(memory, "extract", control);
  // The other side has time for it only where it does not decompress.
  const writes =
    source.kind === "file" ? new SharedWrites(records, memory, control, () => ring.askForHelp()) : undefined;
  let extractor: LayerExtractor | LayerCheck | undefined;
  try {
    extractor = target.root === undefined ? new LayerCheck(target) : new LayerExtractor(target, writes);
    const reader = new TarReader(extractor);
    const content = new Content(diffId, source);
    const [hashing, writing] = [new Stopwatch(), new Stopwatch()];
    const take = (bytes: Buffer) => {
      if (ring.isHashingLeft) hashing.run(() => content.take(bytes));
      writing.run(() => {
        reader.write(bytes);
        extractor?.settle();
      });
    };
    ring.drain(take, source.kind === "file" ? fileReader(source.fd) : undefined);
    if (ring.isHashingLeft) content.verify();
    reader.finish();
    return { ok: true, extracted: extractor.finish(), hashingMs: hashing.ms, writingMs: writing.ms };
  } catch (error) {
    const outcome = outcomeOf(error, target);
    // Whether an archive is bad or its blob corrupt is worth reading the rest of a file, not of a download.
    if (outcome.fault === "disk" || source.kind !== "file") ring.stop();
    else ring.leave();
    extractor?.abort();
    if (error instanceof RingStopped) {
      return { ok: false, fault: control.isCancelled ? "cancelled" : "unverified", message: "stopped" };
    }
    return outcome;
  }
}

declare const self: Worker;

self.onmessage = ({ data }: MessageEvent<LayerJob>) => {
  postMessage(run(data));
};
