import { fileReader } from "./blob-file.ts";
import { Control } from "./control.ts";
import { LayerExtractor } from "./extract.ts";
import { LayerCheck } from "./layer-check.ts";
import { type LayerOutcome, type LayerTarget, outcomeOf } from "./layer-outcome.ts";
import { Ring, RingStopped } from "./ring.ts";
import { Stopwatch } from "./stopwatch.ts";
import { TarReader } from "./tar.ts";

/** Extracts or checks one layer from the uncompressed bytes that come through a ring, from the open file `fd` if there is one. */
export interface LayerJob {
  readonly ring: SharedArrayBuffer;
  readonly fd: number | undefined;
  readonly control: SharedArrayBuffer;
  readonly target: LayerTarget;
}

function run(job: LayerJob): LayerOutcome {
  const control = new Control(job.control);
  const ring = new Ring(job.ring, "extract", control);
  let extractor: LayerExtractor | LayerCheck | undefined;
  try {
    extractor = job.target.root === undefined ? new LayerCheck(job.target) : new LayerExtractor(job.target);
    const reader = new TarReader(extractor);
    const stopwatch = new Stopwatch();
    ring.drain(
      (bytes) => stopwatch.run(() => reader.write(bytes)),
      job.fd === undefined ? undefined : fileReader(job.fd),
    );
    reader.finish();
    const extracted = extractor.finish();
    return { ok: true, extracted, busyMs: stopwatch.ms };
  } catch (error) {
    const outcome = outcomeOf(error, job.target);
    // Whether an archive is bad or its blob corrupt is worth reading the rest of a file, not of a download.
    if (outcome.fault === "disk" || job.fd === undefined) ring.stop();
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
